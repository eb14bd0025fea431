//! What control is told and given: where it listens, for how many, and whom it may ask.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agent_worker::client::Agents;
use chat_config::ChatConfig;
use conversation_store::ConversationStore;
use memory_governor::MemoryGovernor;
use model_host::ModelHost;
use runtime::Census;
use supervision::{Events, Handle, SupervisorHandle};
use telemetry::LogControl;
use tokio::sync::watch;

use crate::edge::Edge;
use crate::protocol::ending::Ending;

/// Where to listen, and for how many.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// The socket. Its folder is made, for its owner alone, where it is missing.
    pub socket: PathBuf,
    /// Whether a socket that another server has fails the start. If not, this one goes without control and says so.
    pub insists: bool,
    /// The server's version, as it is told.
    pub version: String,
    /// How much at once.
    pub limits: Limits,
}

impl ControlConfig {
    /// Listens there, with default limits.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            insists: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            limits: Limits::default(),
        }
    }
}

/// The bounds of control. Each says why it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections: a few people and a few dashboards; each holds up to 2 MiB of lines. Further ones are told so. 16.
    pub connections: usize,
    /// A client that takes nothing of what it is told for so long is hung up on. 10 s.
    pub write_time: Duration,
    /// How long a stop waits for what is under way. 2 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16,
            write_time: Duration::from_secs(10),
            drain: Duration::from_secs(2),
        }
    }
}

/// Whom control speaks to. The functions answer from memory: they are called on the runtime's own threads.
#[derive(Clone)]
pub struct ControlDeps {
    /// The root of the tree, as it can be had before the start.
    pub tree: SupervisorHandle,
    /// What happens in it.
    pub events: Events,
    /// Memory.
    pub governor: Handle<MemoryGovernor>,
    /// Models.
    pub models: Handle<ModelHost>,
    /// Conversations at rest, and the audit log.
    pub conversations: Handle<ConversationStore>,
    /// Settings, to change and to look at.
    pub settings: (Handle<ChatConfig>, chat_config::Store),
    /// Live conversations.
    pub agents: Agents,
    /// The server for requests, where there is one.
    pub edge: Option<Arc<dyn Edge>>,
    /// The log, where it is ours.
    pub log: Option<LogControl>,
    /// The process's threads.
    pub threads: Arc<dyn Fn() -> Census + Send + Sync>,
    /// The wall clock.
    pub clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// Whether the spec of the root allows faults on purpose.
    pub chaos: bool,
    /// Whoever started the tree is asked here to stop it within so long: nobody can do that from inside.
    pub stop: watch::Sender<Option<Duration>>,
    /// How far the ending is, once it has begun: every connection is told.
    pub ending: watch::Receiver<Option<Ending>>,
}
