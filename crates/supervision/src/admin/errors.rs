//! The answers an administrator gets when the answer is no: OTP's, as types that say which child and what to do.

use crate::exit::StartFailure;
use crate::names::{ChildId, ChildPath};
use crate::spec::SpecError;

/// Why a child was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartChildError {
    /// A child of that id lives.
    #[error("{child} is already started; use `ensure_actor` to get its handle")]
    AlreadyStarted {
        /// Which.
        child: ChildPath,
    },
    /// A child of that id has ended and its spec is kept.
    #[error("{child} has ended and its spec is kept; use another id, or `ensure_actor`")]
    AlreadyPresent {
        /// Which.
        child: ChildPath,
    },
    /// It did not become ready; nothing of it is left.
    #[error(transparent)]
    Failed(#[from] StartFailure),
    /// The supervisor takes no children any more.
    #[error("{supervisor} is stopping or down and starts no children")]
    Stopping {
        /// Which.
        supervisor: ChildPath,
    },
    /// The child of that id is another kind of actor.
    #[error("{child} is not an actor of the type asked for; use another id")]
    OtherActor {
        /// Which.
        child: ChildPath,
    },
    /// The spec can never run.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Why a child was not stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TerminateChildError {
    /// No child of that id.
    #[error("{supervisor} has no child {child}; `which_children` lists them")]
    NotFound {
        /// Whose.
        supervisor: ChildPath,
        /// The id.
        child: ChildId,
    },
    /// The supervisor is down, and the child with it.
    #[error("{supervisor} is down, and its children with it")]
    Down {
        /// Which.
        supervisor: ChildPath,
    },
}
