//! Why an operator's order was not carried out, and the way out.

use std::time::Duration;

use crate::exit::{ChildState, StartFailure};
use crate::names::{ChildId, ChildPath};

/// Why an operator's order was not carried out. But for `Timeout`, nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The path names no place.
    #[error(
        "path {path:?}: write the ids from the root down with `/` between them, as `topology` shows them"
    )]
    Path {
        /// What was given.
        path: String,
    },
    /// No child of that id.
    #[error("{supervisor} has no child {child}; `topology` shows who is there")]
    NotFound {
        /// Whose.
        supervisor: ChildPath,
        /// The id.
        child: ChildId,
    },
    /// The path goes on below a child that has none of its own.
    #[error("{child} is no supervisor and has no child {below}; leave out what is behind it")]
    NotASupervisor {
        /// Which.
        child: ChildPath,
        /// What was looked for below it.
        below: String,
    },
    /// Nobody above it could carry the order out.
    #[error("{child} is the top of the tree; name a child of it, or stop the whole tree")]
    Top {
        /// Which.
        child: ChildPath,
    },
    /// The order is about a queue, and only an actor has one.
    #[error("{child} is {kind} and has no queue to {order}; name an actor")]
    NoQueue {
        /// Which.
        child: ChildPath,
        /// `a supervisor` or `a task`.
        kind: &'static str,
        /// What was asked for.
        order: String,
    },
    /// To kill a supervisor would lose the queues below it.
    #[error("{child} is a supervisor: `restart` keeps the queues below it; or kill a child of it")]
    Supervisor {
        /// Which.
        child: ChildPath,
    },
    /// A temporary child is never started a second time.
    #[error("{child} is temporary and never started a second time; `stop` ends it")]
    Temporary {
        /// Which.
        child: ChildPath,
    },
    /// It lives, so there is nothing to start.
    #[error("{child} is not down ({state:?}); `restart` stops it first")]
    NotDown {
        /// Which.
        child: ChildPath,
        /// Where in its life.
        state: ChildState,
    },
    /// It is not up, so there is nothing to do this to.
    #[error("{child} is not up ({state:?}); `start` or `restart` it, or wait")]
    NotUp {
        /// Which.
        child: ChildPath,
        /// Where in its life.
        state: ChildState,
    },
    /// It was told to end for good.
    #[error("{child} is on its way out; wait until it is down, then `start` it")]
    Leaving {
        /// Which.
        child: ChildPath,
    },
    /// It was told to end for good before it was up again.
    #[error("{child} was told to end before it was up; `start` it if that was not meant")]
    Terminated {
        /// Which.
        child: ChildPath,
    },
    /// It did not become ready; its spec is kept.
    #[error(transparent)]
    Failed(#[from] StartFailure),
    /// A number is out of its range.
    #[error("{field} is {value}, but may be {allowed}")]
    Limit {
        /// Which.
        field: &'static str,
        /// What was asked for.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// So many look at this child already.
    #[error("{most} look at the messages of {child} already; wait until one of them is done")]
    TooManyTaps {
        /// Which.
        child: ChildPath,
        /// How many may.
        most: usize,
    },
    /// Faults on purpose are not allowed in this tree.
    #[error(
        "chaos is off in this tree; the spec of its root allows it with `allow_chaos`, before the start"
    )]
    ChaosOff,
    /// A supervisor on the way is stopping or down.
    #[error("{supervisor} is stopping or down, and its children with it")]
    Down {
        /// Which.
        supervisor: ChildPath,
    },
    /// No answer in time; the order may still be carried out.
    #[error(
        "{path} was not dealt with within {deadline:?}; the order may still be carried out, so look before giving it again"
    )]
    Timeout {
        /// What was given.
        path: String,
        /// The whole time that was allowed.
        deadline: Duration,
    },
}
