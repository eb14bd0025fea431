//! The ways a life ends, and what its askers are told.

use std::fmt;
use std::time::Duration;

use crate::names::{ChildId, ChildPath};

/// How one incarnation of a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It ended itself, or ended when asked.
    Normal,
    /// It panicked or returned an error; the text is the panic message or the error.
    Crashed(String),
    /// Its handler was dropped where it stood; `on_stop` still ran.
    Killed,
    /// Its task was aborted; nothing of it ran after that.
    Aborted,
    /// It never became ready.
    StartFailed(StartFailure),
    /// Its start looked around and decided that this child is not wanted: neither a failure nor a life (OTP's `ignore`).
    Ignored,
    /// It was a supervisor, and the end of this significant child was its own.
    AutoShutdown(ChildPath),
    /// It was a supervisor whose children crashed too often.
    Escalated(Escalation),
}

impl Exit {
    /// Nothing went wrong: a transient child is not started again.
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::Normal | Self::Ignored | Self::AutoShutdown(_))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended normally"),
            Self::Crashed(reason) => f.write_str(reason),
            Self::Killed => f.write_str("was killed"),
            Self::Aborted => f.write_str("was aborted"),
            Self::StartFailed(failure) => write!(f, "{failure}"),
            Self::Ignored => f.write_str("was ignored by its own start"),
            Self::AutoShutdown(child) => {
                write!(f, "ended because its significant child {child} did")
            }
            Self::Escalated(escalation) => write!(f, "{escalation}"),
        }
    }
}

/// A start that failed: which child and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("child {child} did not start: {reason}")]
pub struct StartFailure {
    /// The deepest child that failed.
    pub child: ChildPath,
    /// What it said, or that it took too long.
    pub reason: String,
}

/// A supervisor gave up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{supervisor} gave up after more than {max_restarts} restarts within {period:?}; the last to crash was {child}: {reason}"
)]
pub struct Escalation {
    /// Who gave up.
    pub supervisor: ChildPath,
    /// Whose crash was one too many.
    pub child: ChildPath,
    /// Why that child crashed.
    pub reason: String,
    /// How many restarts were allowed …
    pub max_restarts: u32,
    /// … within this time.
    pub period: Duration,
}

/// Why a child takes no messages any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// No supervisor ever started it, or its supervisor is gone.
    Orphaned,
    /// It was asked to stop.
    Stopped,
    /// It ended itself.
    Finished,
    /// Its start decided that it is not wanted.
    Ignored,
    /// It could not be started.
    StartFailed(String),
    /// It crashed and its spec says not to start it again.
    Crashed(String),
    /// This significant sibling ended, and its supervisor with it.
    AutoShutdown(ChildId),
    /// A supervisor above it gave up.
    Escalated(String),
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphaned => f.write_str("no supervisor runs it"),
            Self::Stopped => f.write_str("it was asked to stop"),
            Self::Finished => f.write_str("it had finished"),
            Self::Ignored => f.write_str("its start decided that it is not wanted"),
            Self::StartFailed(reason) => write!(f, "it could not be started: {reason}"),
            Self::Crashed(reason) => {
                write!(f, "it crashed and is not to be started again: {reason}")
            }
            Self::AutoShutdown(id) => {
                write!(f, "its supervisor ended because the significant {id} did")
            }
            Self::Escalated(reason) => write!(f, "its supervisor gave up: {reason}"),
        }
    }
}

/// Where a child is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// Not ready yet; messages queue.
    Starting,
    /// Handling messages.
    Up,
    /// Waiting to be started again; messages queue.
    BackingOff,
    /// Asked to stop.
    Stopping,
    /// Gone for good, unless an administrator starts it again.
    Down,
}
