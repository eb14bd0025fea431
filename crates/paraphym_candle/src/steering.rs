//! Control as a child of the tree: where its socket is, and whom it may ask. To end the tree is not among what it can do: it
//! asks whoever holds [`crate::Paraphym`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::protocol::ending::Ending;
use control::{ControlConfig, ControlDeps, place};
use root::Tree;
use runtime::Runtime;
use supervision::{ChildPath, Events};
use telemetry::LogControl;
use tokio::sync::watch;

use crate::edge::Edge;
use crate::operated::Operated;

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

/// What control is made of, beside the tree.
pub(crate) struct Steering {
    wanted: Wanted,
    events: Events,
    settings: chat_config::Store,
    log: Option<LogControl>,
    runtime: Runtime,
    clock: chat_config::Clock,
    stop: watch::Sender<Option<Duration>>,
    chaos: bool,
    ending: watch::Receiver<Option<Ending>>,
    edge: Option<Edge>,
}

impl Steering {
    /// Beside where it listens: whether faults on purpose may be asked for. Beside how it ends: what it operates.
    pub(crate) fn new(
        (wanted, chaos): (Wanted, bool),
        (events, settings, runtime): (Events, chat_config::Store, Runtime),
        log: Option<LogControl>,
        clock: chat_config::Clock,
        (stop, ending, edge): (
            watch::Sender<Option<Duration>>,
            watch::Receiver<Option<Ending>>,
            Option<&Edge>,
        ),
    ) -> Self {
        Self {
            wanted,
            events,
            settings,
            log,
            runtime,
            clock,
            stop,
            chaos,
            ending,
            edge: edge.cloned(),
        }
    }

    /// Adds the child before all others, so that it is there for all of their lives and tells of their end. Which child it is.
    pub(crate) fn add_to(self, tree: &mut Tree) -> ChildPath {
        let runtime = self.runtime;
        let deps = ControlDeps {
            tree: tree.spec.handle(),
            events: self.events,
            governor: tree.governor.clone(),
            models: tree.models.clone(),
            conversations: tree.store.clone(),
            settings: (tree.settings.clone(), self.settings),
            agents: tree.agents.clone(),
            edge: self.edge.map(|edge| Arc::new(Operated(edge)) as _),
            log: self.log,
            threads: Arc::new(move || runtime.census()),
            clock: self.clock,
            chaos: self.chaos,
            stop: self.stop,
            ending: self.ending,
        };
        let config = ControlConfig {
            insists: self.wanted.insists,
            ..ControlConfig::new(self.wanted.socket)
        };
        let path = ChildPath::root(tree.spec.id()).join(&control::CHILD_ID.into());
        let placeholder = supervision::SupervisorSpec::new("root");
        let spec = std::mem::replace(&mut tree.spec, placeholder);
        let spec = spec.first_child(control::child(config, deps));
        tree.spec = if self.chaos { spec.allow_chaos() } else { spec };
        path
    }
}
