//! What an operator can do to one child, as data.

use std::fmt;

use crate::chaos::Chaos;
use crate::tap::TapEnd;

/// What an operator can do to one child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intervention {
    /// Stop it in order, keep its queue, start it again.
    Restart,
    /// Drop what it does, as a crash would.
    Kill,
    /// Stop it for good.
    Stop,
    /// Start one that is down.
    Start,
    /// Let its queue wait.
    Pause,
    /// Handle its queue again.
    Resume,
    /// Look at its messages.
    Tap,
    /// A fault on purpose.
    Chaos(Chaos),
}

impl fmt::Display for Intervention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restart => "restart",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Tap => "tap",
            Self::Chaos(chaos) => return write!(f, "{chaos}"),
        })
    }
}

/// What travels to the supervisor of the child.
#[derive(Debug)]
pub(crate) enum Order {
    Plain(Intervention),
    Tap(TapEnd),
}

impl Order {
    /// What is told of it.
    pub(crate) fn what(&self) -> Intervention {
        match self {
            Self::Plain(what) => what.clone(),
            Self::Tap(_) => Intervention::Tap,
        }
    }
}
