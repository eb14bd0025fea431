//! The answers an administrator gets: OTP's, as types that say which child and what to do.

use crate::exit::{ChildState, StartFailure};
use crate::names::{ChildId, ChildPath};
use crate::spec_error::SpecError;

/// What became of a start that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It is ready.
    Running,
    /// Its start decided that it is not wanted (OTP's `ignore`). The spec is kept, and `restart_child` asks it again;
    /// that of a temporary child or of a template's is not.
    Ignored,
}

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
    #[error(
        "{child} has ended and its spec is kept; `restart_child` starts it again, `delete_child` makes room for another"
    )]
    AlreadyPresent {
        /// Which.
        child: ChildPath,
    },
    /// It did not become ready; nothing of it is left.
    #[error(transparent)]
    Failed(#[from] StartFailure),
    /// It was told to end before it was ready, by `terminate_child` or, if it is temporary, with its group. Its spec is
    /// kept unless it is temporary or a template's.
    #[error("{child} was told to end before it was ready; start it again if that was not meant")]
    Terminated {
        /// Which.
        child: ChildPath,
    },
    /// A sibling that it depends on is not up.
    #[error("{child} depends on {on}, which {}; start that first", .state.map_or("does not exist".to_owned(), |state| format!("is {state:?}")))]
    Dependency {
        /// Whose.
        child: ChildPath,
        /// On whom.
        on: ChildId,
        /// Where that one is in its life; `None` if there is no such child.
        state: Option<ChildState>,
    },
    /// Its start decided that it is not wanted, so there is no handle to give.
    #[error("{child} ignored its start: it decided that it is not wanted")]
    Ignored {
        /// Which.
        child: ChildPath,
    },
    /// The supervisor makes its children from a template.
    #[error(
        "{supervisor} makes its children from a template; start them through the `Instances` that came with its spec"
    )]
    Template {
        /// Which.
        supervisor: ChildPath,
    },
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

/// Why a spec was not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GetChildspecError {
    /// No child of that id.
    #[error("{supervisor} has no child {child}; `which_children` lists them")]
    NotFound {
        /// Whose.
        supervisor: ChildPath,
        /// The id.
        child: ChildId,
    },
    /// The supervisor is down, and its specs with it.
    #[error("{supervisor} is down, and its children with it")]
    Down {
        /// Which.
        supervisor: ChildPath,
    },
}

/// Why a child that had ended was not started again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestartChildError {
    /// No child of that id is kept.
    #[error("{supervisor} has no child {child}; `which_children` lists them")]
    NotFound {
        /// Whose.
        supervisor: ChildPath,
        /// The id.
        child: ChildId,
    },
    /// It has not ended.
    #[error("{child} is running ({state:?}); `terminate_child` ends it first")]
    Running {
        /// Which.
        child: ChildPath,
        /// Where in its life.
        state: ChildState,
    },
    /// Its supervisor is about to start it again by itself.
    #[error("{child} is being restarted already ({state:?}); wait, or `terminate_child` first")]
    Restarting {
        /// Which.
        child: ChildPath,
        /// Where in its life.
        state: ChildState,
    },
    /// The children of a template are forgotten when they end.
    #[error("{supervisor} makes its children from a template and keeps none; start a new one")]
    Template {
        /// Which.
        supervisor: ChildPath,
    },
    /// It was told to end before it was ready; its spec is kept.
    #[error("{child} was told to end before it was ready; restart it again if that was not meant")]
    Terminated {
        /// Which.
        child: ChildPath,
    },
    /// It did not become ready; its spec is kept.
    #[error(transparent)]
    Failed(#[from] StartFailure),
    /// The supervisor is stopping or down, and the child with it.
    #[error("{supervisor} is stopping or down, and its children with it")]
    Down {
        /// Which.
        supervisor: ChildPath,
    },
}

/// Why a kept spec was not forgotten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteChildError {
    /// No child of that id is kept.
    #[error("{supervisor} has no child {child}; `which_children` lists them")]
    NotFound {
        /// Whose.
        supervisor: ChildPath,
        /// The id.
        child: ChildId,
    },
    /// It has not ended.
    #[error("{child} is running ({state:?}); `terminate_child` ends it first")]
    Running {
        /// Which.
        child: ChildPath,
        /// Where in its life.
        state: ChildState,
    },
    /// Its supervisor is about to start it again.
    #[error("{child} is being restarted ({state:?}); `terminate_child` ends that first")]
    Restarting {
        /// Which.
        child: ChildPath,
        /// Where in its life.
        state: ChildState,
    },
    /// The children of a template are forgotten when they end.
    #[error(
        "{supervisor} makes its children from a template and keeps none; use `terminate_child`"
    )]
    Template {
        /// Which.
        supervisor: ChildPath,
    },
    /// The supervisor is down, and its specs with it.
    #[error("{supervisor} is down, and its children with it")]
    Down {
        /// Which.
        supervisor: ChildPath,
    },
}
