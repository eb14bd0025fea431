//! Faults on purpose, to see what a tree makes of them. Off unless the spec of the root allows it.

use std::fmt;
use std::time::Duration;

use crate::admin::AdminError;

/// What an actor that stalls is shown to handle.
pub(crate) const STALL: &str = "chaos stall";

/// A fault on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chaos {
    /// The next message that is queued crashes the actor, as a panic of its handler would; the message is lost and its
    /// asker hears `Crashed`.
    Crash,
    /// The actor takes no message for so long, as if it were handling one called `chaos stall`: past its budget it is
    /// stuck. At most 10 minutes.
    Stall {
        /// How long.
        lasts: Duration,
    },
    /// Each queued message is handled that much later.
    Slow {
        /// At most 10 s.
        delay: Duration,
        /// For how long messages are slowed down, at most 10 minutes; zero ends it.
        lasts: Duration,
    },
}

impl Chaos {
    /// The longest time a fault lasts: 10 min.
    pub const LONGEST: Duration = Duration::from_mins(10);
    /// The longest delay before one message: 10 s.
    pub const SLOWEST: Duration = Duration::from_secs(10);

    pub(crate) fn check(&self) -> Result<(), AdminError> {
        let (lasts, delay) = match *self {
            Self::Crash => return Ok(()),
            Self::Stall { lasts } => (lasts, Duration::ZERO),
            Self::Slow { delay, lasts } => (lasts, delay),
        };
        if lasts > Self::LONGEST {
            return Err(AdminError::Limit {
                field: "lasts",
                value: format!("{lasts:?}"),
                allowed: "up to 10 min",
            });
        }
        if delay > Self::SLOWEST {
            return Err(AdminError::Limit {
                field: "delay",
                value: format!("{delay:?}"),
                allowed: "up to 10 s",
            });
        }
        Ok(())
    }
}

impl fmt::Display for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash => f.write_str("crash at the next message"),
            Self::Stall { lasts } => write!(f, "stall for {lasts:?}"),
            Self::Slow { delay, lasts } => write!(f, "slow by {delay:?} for {lasts:?}"),
        }
    }
}
