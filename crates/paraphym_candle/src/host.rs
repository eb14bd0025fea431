//! The running host: what an app holds, asks and stops.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent_worker::client::Agents;
use agent_worker::settings::TurnSettings;
use agent_worker::stream::TurnStream;
use cache_janitor::{CacheJanitor, JanitorStatus};
use chat_config::{ChatConfig, Revision};
use conversation_store::ConversationStore;
use domain::{ConversationId, GenerationError, ModelName};
use engine::{ModelCard, ModelLoader};
use memory_governor::{LedgerStatus, MemoryGovernor};
use model_host::ModelHost;
use model_host::client::{GenerationStream, Request};
use model_host::messages::{HostStatus, Unload, UnloadError};
use model_store::{Installed, PullError, PullEvent, Store};
use runtime::{Census, Runtime};
use supervision::{
    Abandoned, AskError, ChildInfo, ChildPath, EndReason, Handle, LifecycleEvent, RootHandle,
    SupervisorHandle,
};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use toolbox::{ToolSource, Toolbox};
use tracing::Instrument;

use crate::agents::{self, NoAgent};
use crate::asker::{Asker, turn_of};
use crate::builder::Builder;
use crate::doctor::{self, DoctorReport};
use crate::edge::Edge;
use crate::ending::{self, Ending};
use crate::inspect::inspect_with;
use crate::{long_term, servers};

/// How long `shutdown` lets running answers finish.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// How long a question about state may take; nobody who answers it computes.
const DEADLINE: Duration = Duration::from_secs(5);

/// A running host. Share it behind an `Arc`; its methods take `&self`.
pub struct Paraphym {
    parts: Parts,
    /// Whether an ending is to be short.
    hurry: CancellationToken,
    /// Whether it was ended in order.
    ends: AtomicBool,
}

/// What the builder hands over.
pub(crate) struct Parts {
    pub(crate) root: RootHandle,
    pub(crate) settings: (Handle<ChatConfig>, chat_config::Store),
    pub(crate) governor: Handle<MemoryGovernor>,
    pub(crate) janitor: Handle<CacheJanitor>,
    pub(crate) conversations: Handle<ConversationStore>,
    #[cfg_attr(not(feature = "memory"), expect(dead_code, reason = "it is nothing"))]
    pub(crate) retrieval: long_term::Held,
    pub(crate) tools: Toolbox,
    pub(crate) sources: Vec<Arc<dyn ToolSource>>,
    #[cfg_attr(not(feature = "mcp"), expect(dead_code, reason = "it is nothing"))]
    pub(crate) servers: servers::Held,
    pub(crate) asker: Asker,
    pub(crate) app: Option<SupervisorHandle>,
    pub(crate) store: Store,
    pub(crate) loader: Arc<dyn ModelLoader>,
    pub(crate) runtime: Runtime,
    pub(crate) edge: Option<Edge>,
    pub(crate) ending: watch::Sender<Option<Ending>>,
    pub(crate) asked_to_stop: watch::Receiver<Option<Duration>>,
}

/// The host at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// The root's children; each supervisor's own are under `which_children` of it.
    pub tree: Vec<ChildInfo>,
    /// The memory budget and who holds what of it.
    pub memory: LedgerStatus,
    /// The models.
    pub models: HostStatus,
    /// The process's threads.
    pub threads: Census,
}

/// How the stop went.
#[derive(Clone, Debug)]
pub struct ShutdownReport {
    /// What was not finished: who had it, and what it was. Empty after a clean stop.
    pub abandoned: Vec<Abandoned>,
    /// Who did not stop in time and was killed.
    pub killed: Vec<ChildPath>,
    /// How long it took.
    pub took: Duration,
}

impl Paraphym {
    /// Begins to choose.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            hurry: CancellationToken::new(),
            ends: AtomicBool::new(false),
        }
    }

    /// Asks the default model one thing, without history, as the settings say tokens are chosen. The stream ends with exactly one
    /// `Finished` or `Failed`; dropping it stops the computing within one step.
    ///
    /// # Errors
    /// Refused at once: no such model, too many waiting, the tree is stopping.
    pub async fn prompt(
        &self,
        text: impl Into<String>,
    ) -> Result<GenerationStream, GenerationError> {
        self.parts.asker.prompt(text).await
    }

    /// Who asks in the place of this host, and keeps no tree alive: for the app's own actors.
    pub fn asker(&self) -> &Asker {
        &self.parts.asker
    }

    /// The supervisor of everything: the tree as it is, every child by its path, and what an operator does to them
    /// ([`supervision::SupervisorHandle::administration`]).
    pub fn supervisor(&self) -> SupervisorHandle {
        self.parts.root.supervisor()
    }

    /// The settings that hold, with where each value came from.
    pub fn settings(&self) -> Arc<Revision> {
        self.parts.settings.1.current()
    }

    /// The keeper of settings: [`chat_config::client`] changes them, reads their history and subscribes.
    pub fn config(&self) -> &Handle<ChatConfig> {
        &self.parts.settings.0
    }

    /// The tools of now: built in, the app's own, and those of the MCP servers that were reached. Where two have one name,
    /// the first stays.
    pub fn tools(&self) -> Toolbox {
        let offered = self.parts.sources.iter().flat_map(|source| source.tools());
        let merged = self.parts.tools.merged(offered);
        for skipped in merged.skipped {
            tracing::debug!(%skipped, "a tool is left out");
        }
        merged.toolbox
    }

    /// The MCP servers: how each is, and which come and go.
    #[cfg(feature = "mcp")]
    pub fn servers(&self) -> &mcp_client::McpServers {
        &self.parts.servers
    }

    /// What was said, at rest: [`conversation_store::client`] reads, searches and changes it.
    pub fn conversations(&self) -> &Handle<ConversationStore> {
        &self.parts.conversations
    }

    /// What a turn of the default agent is run with, by the settings that hold now.
    pub fn turn_settings(&self) -> TurnSettings {
        self.parts.asker.turn_settings()
    }

    /// What a turn of this agent is run with, by the settings that hold now (`agents.NAME`).
    ///
    /// # Errors
    /// No such agent; the names there are.
    pub fn agent_settings(&self, agent: &str) -> Result<TurnSettings, NoAgent> {
        agents::turn_of(&self.settings().settings, agent, &self.parts.asker.model)
    }

    /// The names of the agents of the settings, the default one first.
    pub fn agent_names(&self) -> Vec<String> {
        agents::names(&self.settings().settings)
    }

    /// Asks a model with every choice open, without a conversation.
    ///
    /// # Errors
    /// Refused at once: a field out of its range, no such model, too many waiting, the tree is stopping.
    pub async fn generate(&self, request: Request) -> Result<GenerationStream, GenerationError> {
        self.parts.asker.generate(request).await
    }

    /// Says something in a conversation: its history is the model's context, and remembers the answer.
    ///
    /// # Errors
    /// Refused at once: a field out of its range, too many turns waiting, the tree is stopping.
    pub async fn ask(
        &self,
        conversation: &ConversationId,
        text: &str,
        settings: TurnSettings,
    ) -> Result<TurnStream, GenerationError> {
        self.parts.asker.ask(conversation, text, settings).await
    }

    /// Conversations: their history, cancelling by id.
    pub fn agents(&self) -> &Agents {
        &self.parts.asker.agents
    }

    /// Loads a model without asking it anything; the stream tells how far it is.
    ///
    /// # Errors
    /// No such model, or the tree is stopping.
    pub async fn warm(&self, model: &ModelName) -> Result<GenerationStream, GenerationError> {
        let id = self.parts.asker.next_id("warm");
        let turn = turn_of(&id);
        let asked = model_host::client::warm(&self.parts.asker.models, id, model.clone(), None);
        asked.instrument(turn).await
    }

    /// Lets a resident model's memory go. The next question loads it again.
    ///
    /// # Errors
    /// It is not loaded, or it is busy.
    pub async fn unload(&self, model: &ModelName) -> Result<(), UnloadError> {
        let asked = self
            .parts
            .asker
            .models
            .ask(
                Unload {
                    model: model.clone(),
                },
                DEADLINE,
            )
            .await;
        asked.map_err(|error| match error {
            AskError::Handler(refused) => refused,
            other => UnloadError::Unavailable {
                model: model.clone(),
                reason: other.to_string(),
            },
        })
    }

    /// Brings the default model if it is not here. One that was named by a path is never pulled.
    ///
    /// # Errors
    /// Every source and why it failed, or the disk.
    pub async fn pull_default(
        &self,
        progress: &mut (dyn FnMut(PullEvent) + Send),
    ) -> Result<Installed, PullError> {
        self.parts
            .store
            .pull(&self.parts.asker.model, progress)
            .await
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(crate) fn models(&self) -> &Handle<ModelHost> {
        &self.parts.asker.models
    }

    /// The models on disk.
    pub fn store(&self) -> &Store {
        &self.parts.store
    }

    /// The model that answers when none is named.
    pub fn default_model(&self) -> &ModelName {
        &self.parts.asker.model
    }

    /// What a model is and needs, from its header alone; the text of the error says what to do.
    pub(crate) async fn inspect(&self, model: &ModelName) -> Result<(PathBuf, ModelCard), String> {
        let path = self
            .parts
            .store
            .resolve(model)
            .map_err(|error| error.to_string())?;
        let inspected = inspect_with(Arc::clone(&self.parts.loader), path.clone()).await;
        inspected
            .map(|card| (path, card))
            .map_err(|error| error.to_string())
    }

    /// Where HTTP is served; `None` if it is not.
    pub async fn address(&self) -> Option<SocketAddr> {
        let mut bound = self.parts.edge.as_ref()?.address();
        let found = bound.wait_for(Option::is_some).await.ok()?;
        *found
    }

    /// The memory budget.
    ///
    /// # Errors
    /// The governor does not answer.
    pub async fn memory(&self) -> Result<LedgerStatus, GenerationError> {
        let asked = self
            .parts
            .governor
            .ask(memory_governor::Status, DEADLINE)
            .await;
        asked.map_err(|error| unavailable("memory_governor", &error))
    }

    /// The caches: what each holds, when it is swept next, and the last sweeps.
    ///
    /// # Errors
    /// The janitor does not answer.
    pub async fn caches(&self) -> Result<JanitorStatus, GenerationError> {
        let asked = self
            .parts
            .janitor
            .ask(cache_janitor::Status, DEADLINE)
            .await;
        asked.map_err(|error| unavailable("cache_janitor", &error))
    }

    /// Tree, memory, models, threads.
    ///
    /// # Errors
    /// A part does not answer; its name and why.
    pub async fn status(&self) -> Result<Status, GenerationError> {
        let models = self
            .parts
            .asker
            .models
            .ask(model_host::messages::Status, DEADLINE)
            .await;
        Ok(Status {
            tree: self.parts.root.supervisor().which_children().await,
            memory: self.memory().await?,
            models: models.map_err(|error| unavailable("model_host", &error))?,
            threads: self.parts.runtime.census(),
        })
    }

    /// Looks at everything that usually goes wrong.
    pub async fn doctor(&self) -> DoctorReport {
        doctor::examine(self).await
    }

    /// The runtime it runs on.
    pub fn runtime(&self) -> &Runtime {
        &self.parts.runtime
    }

    /// Every step of every life in the tree, from now on.
    pub fn events(&self) -> broadcast::Receiver<LifecycleEvent> {
        self.parts.root.events()
    }

    /// Waits until the tree ends: it was stopped, or its root gave up restarting.
    pub async fn ended(&self) -> EndReason {
        self.parts.root.ended().await
    }

    /// Waits until somebody asks, over the control socket, that this host ends, and says within what time; never, where there
    /// is no such socket. Nothing has been stopped then: [`Paraphym::shutdown_within`] does that.
    pub async fn asked_to_stop(&self) -> Duration {
        let mut asked = self.parts.asked_to_stop.clone();
        let within = asked.wait_for(Option::is_some).await;
        match within.ok().and_then(|within| *within) {
            Some(within) => within,
            None => std::future::pending().await,
        }
    }

    /// Stops in order, letting running answers finish for up to 5 s. Afterwards no task of ours is left.
    pub async fn shutdown(&self) -> ShutdownReport {
        self.shutdown_within(SHUTDOWN).await
    }

    /// How far the ending is, once it has begun.
    pub fn ending(&self) -> watch::Receiver<Option<Ending>> {
        self.parts.ending.subscribe()
    }

    /// The same with a deadline of your own.
    pub async fn shutdown_within(&self, deadline: Duration) -> ShutdownReport {
        let parts = &self.parts;
        let told = ending::Told {
            to: &parts.ending,
            hurry: &self.hurry,
        };
        let report = ending::end(&parts.root, parts.edge.as_ref(), told, deadline).await;
        self.ends.store(true, Ordering::Relaxed);
        report
    }

    /// Shortens an ending, whether it has begun or not: answers are cut off now, and the actors have one second.
    pub fn hurry(&self) {
        self.hurry.cancel();
    }
}

impl Drop for Paraphym {
    fn drop(&mut self) {
        // The tree is asked to stop when its handle goes, which it does next.
        if !self.ends.load(Ordering::Relaxed) && !self.parts.root.has_ended() {
            tracing::warn!(
                "a host was dropped without `shutdown`: it stops by itself, and nobody waits for it or hears what is left unfinished"
            );
        }
    }
}

fn unavailable(part: &str, error: &dyn std::error::Error) -> GenerationError {
    GenerationError::Unavailable {
        part: part.to_owned(),
        reason: error.to_string(),
    }
}
