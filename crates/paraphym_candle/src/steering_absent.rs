//! Nobody controls this build from outside: what others ask of control, of one that never is.

use std::time::Duration;

use root::Tree;
use runtime::Runtime;
use supervision::{ChildPath, Events, StartFailure, StartTreeError};
use telemetry::LogControl;
use tokio::sync::watch;

use crate::edge::Edge;
use crate::ending::Ending;
use crate::start_error::StartError;

/// The name the child would have.
pub(crate) const CHILD_ID: &str = "control";

/// There is nothing to choose.
#[derive(Default)]
pub(crate) struct Choice;

/// What control would be made of.
#[expect(dead_code, reason = "nobody reads it here")]
pub(crate) struct Deps {
    pub(crate) events: Events,
    pub(crate) settings: chat_config::Store,
    pub(crate) log: Option<LogControl>,
    pub(crate) runtime: Runtime,
    pub(crate) clock: chat_config::Clock,
    /// Where it is put that an ending was asked for, and how far that is.
    pub(crate) ends: (
        watch::Sender<Option<Duration>>,
        watch::Receiver<Option<Ending>>,
    ),
}

/// Not reached: there is no such child.
pub(crate) fn not_controlled(failure: StartFailure) -> StartError {
    StartTreeError::Child(failure).into()
}

impl Choice {
    #[expect(clippy::unused_self, reason = "as where there is control")]
    pub(crate) fn add_to(self, _: &mut Tree, _: Option<&Edge>, _: Deps) -> Option<ChildPath> {
        None
    }
}
