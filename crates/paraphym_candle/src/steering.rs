//! Control as a child of the tree: where its socket is, and whom it may ask. To end the tree is not among what it can do: it
//! asks whoever holds [`crate::Paraphym`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::protocol::ending::Ending;
use control::{ControlConfig, ControlDeps, place};
use root::Tree;
use runtime::Runtime;
use supervision::{ChildPath, Events, StartFailure};
use telemetry::LogControl;
use tokio::sync::watch;

use crate::edge::Edge;
use crate::start_error::StartError;

/// Which socket, and how much it matters.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) socket: PathBuf,
    /// Whether there is no start without it.
    pub(crate) insists: bool,
}

impl Wanted {
    /// Where programs look for it. A second server of the same user goes without.
    pub(crate) fn usual() -> Self {
        Self {
            socket: place::usual_here(),
            insists: false,
        }
    }
}

/// The child's name.
pub(crate) const CHILD_ID: &str = control::CHILD_ID;

/// What was chosen of it before the start.
#[derive(Default)]
pub(crate) struct Choice {
    pub(crate) wanted: Option<Wanted>,
    /// Whether faults on purpose may be asked for.
    pub(crate) chaos: bool,
}

/// What control is made of, beside the tree.
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

/// Why there is no start, where this child did not start.
pub(crate) fn not_controlled(failure: StartFailure) -> StartError {
    let reason = failure.reason;
    StartError::NotControlled { reason }
}

impl Choice {
    /// Adds the child before all others, so that it is there for all of their lives and tells of their end; where it is wanted.
    /// Which child it is.
    pub(crate) fn add_to(
        self,
        tree: &mut Tree,
        edge: Option<&Edge>,
        deps: Deps,
    ) -> Option<ChildPath> {
        let wanted = self.wanted?;
        let runtime = deps.runtime;
        let control_deps = ControlDeps {
            tree: tree.spec.handle(),
            events: deps.events,
            governor: tree.governor.clone(),
            models: tree.models.clone(),
            conversations: tree.store.clone(),
            settings: (tree.settings.clone(), deps.settings),
            agents: tree.agents.clone(),
            edge: operated(edge),
            log: deps.log,
            threads: Arc::new(move || runtime.census()),
            clock: deps.clock,
            chaos: self.chaos,
            stop: deps.ends.0,
            ending: deps.ends.1,
        };
        let config = ControlConfig {
            insists: wanted.insists,
            ..ControlConfig::new(wanted.socket)
        };
        let path = ChildPath::root(tree.spec.id()).join(&CHILD_ID.into());
        tree.change(|spec| {
            let spec = spec.first_child(control::child(config, control_deps));
            if self.chaos { spec.allow_chaos() } else { spec }
        });
        Some(path)
    }
}

#[cfg(feature = "gateway")]
fn operated(edge: Option<&Edge>) -> Option<Arc<dyn control::edge::Edge>> {
    let edge = edge?.clone();
    Some(Arc::new(crate::edge::operated::Operated(edge)))
}

#[cfg(not(feature = "gateway"))]
fn operated(_: Option<&Edge>) -> Option<Arc<dyn control::edge::Edge>> {
    None
}
