//! Why a spec can never run: found before anything is started.

use std::time::Duration;

use crate::names::{ChildId, ChildPath};

/// A spec that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Its path would not say which child it means.
    #[error("child id {:?}: an id is not empty, has no `/` in it and is not `*`; choose another", .child.as_str())]
    Id {
        /// The id.
        child: ChildId,
    },
    /// A queue of no places.
    #[error("child {child}: capacity is 0, but a queue needs room for at least 1 message")]
    NoCapacity {
        /// Whose.
        child: ChildPath,
    },
    /// Two children of one supervisor share an id.
    #[error("supervisor {supervisor} has two children called {child}; give one another id")]
    Duplicate {
        /// Whose children.
        supervisor: ChildId,
        /// The id.
        child: ChildId,
    },
    /// A significant child under a supervisor that does not care; refused in OTP, too.
    #[error(
        "child {child} is significant, but its supervisor's auto_shutdown is Never; choose AnySignificant or AllSignificant"
    )]
    Significant {
        /// Which.
        child: ChildId,
    },
    /// A permanent child never ends by itself for good, so its end can mean nothing; refused in OTP, too.
    #[error("child {child} is significant and permanent; make it transient or temporary")]
    SignificantPermanent {
        /// Which.
        child: ChildId,
    },
    /// Only a template can be told `SimpleOneForOne`.
    #[error(
        "supervisor {supervisor}: SimpleOneForOne needs a template; use `SupervisorSpec::simple_one_for_one`"
    )]
    NoTemplate {
        /// Whose.
        supervisor: ChildId,
    },
    /// The children of a template are all made from it, at run time.
    #[error(
        "supervisor {supervisor} makes its children from a template, but child {child} was added to its spec; start it under another supervisor"
    )]
    BesideTemplate {
        /// Whose.
        supervisor: ChildId,
        /// Which.
        child: ChildId,
    },
    /// A child rests on a sibling that does not exist.
    #[error(
        "child {child} depends on {on}, which is not among its siblings; add it, or mend the id"
    )]
    UnknownDependency {
        /// Whose.
        child: ChildId,
        /// On whom.
        on: ChildId,
    },
    /// Children rest on each other in a circle.
    #[error("children depend on each other in a circle: {}; take one of these arrows out", circle(.path))]
    DependencyCycle {
        /// Each depends on the next, the last on the first.
        path: Vec<ChildId>,
    },
    /// A handler budget that would be used up before the clock can tell.
    #[error(
        "child {child}: handler_budget is {value:?}, but a handler needs at least 1 ms; give it more, or `None` to leave its handlers unwatched"
    )]
    HandlerBudget {
        /// Whose.
        child: ChildId,
        /// What was asked for.
        value: Duration,
    },
    /// A handler budget for what handles no messages.
    #[error(
        "child {child}: handler_budget is {value:?}, but it is no actor and handles no messages; leave handler_budget out"
    )]
    NoHandlers {
        /// Whose.
        child: ChildId,
        /// What was asked for.
        value: Duration,
    },
    /// A spec stands for one place in one tree.
    #[error("the spec of {child} is already in use; make a new one for a new place")]
    UsedTwice {
        /// Its second path.
        child: ChildPath,
    },
}

fn circle(path: &[ChildId]) -> String {
    let first = path.first();
    let ids: Vec<&str> = path.iter().chain(first).map(ChildId::as_str).collect();
    ids.join(" -> ")
}
