//! What an operator can do to one child, as data.

use std::fmt;

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
        })
    }
}

/// What travels to the supervisor of the child.
#[derive(Debug)]
pub(crate) enum Order {
    Plain(Intervention),
}

impl Order {
    /// What is told of it.
    pub(crate) fn what(&self) -> Intervention {
        match self {
            Self::Plain(what) => what.clone(),
        }
    }
}
