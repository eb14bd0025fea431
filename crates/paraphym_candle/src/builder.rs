//! What can be chosen before the start, and the start itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent_worker::settings::Config;
use bearer::TokenFile;
use chat_config::settings::Settings;
use control::protocol::ending::Ending;
use conversation_store::Archive;
use domain::{Bytes, ModelName};
use engine::ModelLoader;
use gateway::Serving;
use mcp_client::{McpServers, ServerConfig};
use memory_governor::FileProbe;
use model_host::HostConfig;
use model_store::{DEFAULT_MODEL, Store, StoreConfig, StoreError};
use root::{Tree, TreeConfig, TreeParts};
use runtime::{Clock, CoarseClock, RunError, Runtime};
use supervision::{ChildPath, ChildSpec, Events, StartTreeError, SupervisorSpec, start_root};
use telemetry::{LogControl, Metrics, MetricsError};
use tokio::sync::watch;
use toolbox::{Tool, Toolbox};

use crate::chronicle::Chronicle;
use crate::edge::{Edge, Edges};
use crate::history::now_ms;
use crate::host::{Paraphym, Parts};
use crate::live::Live;
use crate::observers::{self, Observers};
use crate::resolve::FromStore;
use crate::servers::Servers;
use crate::service_manager::ServiceManager;
use crate::settings::{self, Source};
use crate::shelf::Shelf;
use crate::start_error::StartError;
use crate::steering::{Steering, Wanted};
use crate::{applier, tools, upkeep};

/// Chooses, then starts. Everything has a default.
///
/// What is chosen here holds for good; everything else is as the settings say, and those change while it runs.
#[must_use]
pub struct Builder {
    settings: Source,
    log: Option<(LogControl, String)>,
    pub(crate) observers: Observers,
    model: Option<ModelName>,
    models_dir: Option<PathBuf>,
    conversations: Option<Shelf>,
    forgets_conversations: bool,
    memory_limit: Option<Bytes>,
    models: Option<HostConfig>,
    agents: Option<Config>,
    bind: Option<SocketAddr>,
    tokens: Option<TokenFile>,
    control: Option<Wanted>,
    chaos: bool,
    loader: Option<Arc<dyn ModelLoader>>,
    runtime: Option<Runtime>,
    seed: Option<u64>,
    tools: Vec<Arc<dyn Tool>>,
    servers: Vec<ServerConfig>,
    without_servers: bool,
    service_manager: Option<ServiceManager>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            settings: Source::Nowhere,
            log: None,
            observers: Observers::default(),
            model: None,
            models_dir: None,
            conversations: None,
            forgets_conversations: false,
            memory_limit: None,
            models: None,
            agents: None,
            bind: None,
            tokens: None,
            control: None,
            chaos: false,
            loader: None,
            runtime: None,
            seed: None,
            tools: Vec::new(),
            servers: Vec::new(),
            without_servers: false,
            service_manager: None,
        }
    }
}

impl Builder {
    /// The settings file, which need not exist, and above it the environment (`PARAPHYM_MODEL__TEMPERATURE`). Without one
    /// the settings are the defaults, and what is changed is forgotten with the process.
    pub fn config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings = Source::File(file.into());
        self
    }

    /// Settings that were opened already.
    pub fn settings(mut self, store: chat_config::Store) -> Self {
        self.settings = Source::Opened(store);
        self
    }

    /// The log of the process, so that `telemetry.log` holds at once; `usual` is its filter where the settings name none.
    pub fn log(mut self, control: LogControl, usual: impl Into<String>) -> Self {
        self.log = Some((control, usual.into()));
        self
    }

    /// The model that answers when none is named: a catalogue name, a name in the models' folder, or a path.
    pub fn model(mut self, model: impl Into<ModelName>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Where models lie; `paraphym/models` in the XDG data folder if not said.
    pub fn models_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.models_dir = Some(dir.into());
        self
    }

    /// Where conversations, turns and memories are kept. If not said, a conversation is forgotten once it is idle for
    /// `chat.kept_for`, and memories with the process; [`conversation_store::StoreConfig::in_data_folder`] is where the
    /// `paraphym` program keeps them.
    pub fn conversations(mut self, kept: conversation_store::StoreConfig) -> Self {
        self.conversations = Some(Shelf::At(kept));
        self
    }

    /// The same in a file that is open already: who does much before the start hears first that it is refused.
    pub fn open_conversations(mut self, archive: Archive) -> Self {
        self.conversations = Some(Shelf::Open(Box::new(archive)));
        self
    }

    /// Conversations are not kept there: what lies there are memories, documents and the log of changes.
    pub fn forget_conversations(mut self) -> Self {
        self.forgets_conversations = true;
        self
    }

    /// The most memory models may take, weights and caches together. Host and cgroup bound it in any case.
    pub fn memory_limit(mut self, limit: Bytes) -> Self {
        self.memory_limit = Some(limit);
        self
    }

    /// The bounds of model access: batch, queue, keep-alive.
    pub fn models(mut self, config: HostConfig) -> Self {
        self.models = Some(config);
        self
    }

    /// The bounds of conversations.
    pub fn agents(mut self, config: Config) -> Self {
        self.agents = Some(config);
        self
    }

    /// Serves HTTP at this address, too; port 0 takes a free one. Off loopback somebody must have a token.
    pub fn serve(mut self, bind: SocketAddr) -> Self {
        self.bind = Some(bind);
        self
    }

    /// Where the tokens of those who may ask over HTTP are kept. If not said, nobody has one;
    /// [`TokenFile::in_data_folder`] is where the `paraphym` program keeps them.
    pub fn tokens(mut self, file: TokenFile) -> Self {
        self.tokens = Some(file);
        self
    }

    /// Can be controlled over this Unix socket, too, as `paraphym ctl` does: by the same user and root. Whoever asks it to end
    /// is heard by [`Paraphym::asked_to_stop`].
    pub fn control(mut self, socket: impl Into<PathBuf>) -> Self {
        let (socket, insists) = (socket.into(), true);
        self.control = Some(Wanted { socket, insists });
        self
    }

    /// The same where `paraphym ctl` looks for it, unless another server of the same user is there already.
    pub fn control_at_the_usual_place(mut self) -> Self {
        self.control = Some(Wanted::usual());
        self
    }

    /// Faults on purpose may be asked for over the control socket, to try out what a tree makes of them.
    pub fn allow_chaos(mut self) -> Self {
        self.chaos = true;
        self
    }

    /// One more tool beside those that are built in.
    pub fn tool(mut self, tool: Arc<dyn Tool>) -> Self {
        self.tools.push(tool);
        self
    }

    /// One more MCP server, whose tools are offered beside the others while it is up.
    pub fn mcp_server(mut self, server: ServerConfig) -> Self {
        self.servers.push(server);
        self
    }

    /// The MCP servers of the settings stay away: for a host whose agents call no tool of theirs.
    pub fn without_servers_of_settings(mut self) -> Self {
        self.without_servers = true;
        self
    }

    /// Tells the service manager how it goes, and that it lives.
    pub fn service_manager(mut self, manager: ServiceManager) -> Self {
        self.service_manager = Some(manager);
        self
    }

    /// Another engine than candle's.
    pub fn loader(mut self, loader: Arc<dyn ModelLoader>) -> Self {
        self.loader = Some(loader);
        self
    }

    /// The runtime that `run` handed in; the one we are inside if not said.
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Fixes the chance in restarts' jitter, for tests.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the tree; every part is ready when this returns. No model is loaded yet.
    ///
    /// # Errors
    /// Which part did not start, and why; the others were stopped again.
    pub async fn start(self) -> Result<Paraphym, StartError> {
        let runtime = joined(self.runtime).await?;
        let settings = self.settings.open().await?;
        let first = Arc::clone(&settings.current().settings);
        let (model, store) = place(self.model, self.models_dir, &first)?;
        let tools = tools::fixed(self.tools)?;
        let keeps = self.conversations.is_some() && !self.forgets_conversations;
        let loader = settings::loader(self.loader, &first, &runtime)?;
        let metrics = installed();
        let servers = Servers::new(self.servers, !self.without_servers);
        let clock = clock();
        let from = (store.clone(), settings.clone(), tools.clone());
        let archive = Shelf::opened(self.conversations).await?;
        let opened = (archive, mcp_client::children(servers.at_first(&first))?);
        let parts = parts(from, opened, &loader, &clock);
        let fixed = (self.memory_limit.is_some(), self.models.is_some());
        let config = bounds((self.memory_limit, self.models, self.agents), keeps, &first);
        let max_models = config.models.max_models;
        let mut tree = Tree::new(config, parts);
        let (served, tells) = ((self.bind, &model), (servers, fixed, &self.log));
        let (live, serving) = applied(&mut tree, served, &settings, tells)?;
        let upkeep = upkeep::child(runtime.clone(), metrics.clone());
        tree.spec = tree.spec.child(upkeep);
        let edges = Edges {
            live,
            bind: self.bind,
            max_models,
            model: &model,
            settings: &settings,
            host: &tree.models,
            store: &store,
            conversations: &tree.store,
            metrics,
            governor: &tree.governor,
            clock: Arc::clone(&clock),
            serving,
            tokens: self.tokens,
        };
        let (spec, edge) = edges.add_to(tree.spec).await?;
        tree.spec = spec;
        let events = self.seed.map_or_else(Events::default, Events::with_seed);
        let ((stop, asked_to_stop), ending) = (watch::channel(None), watch::Sender::new(None));
        let seen = (edge.as_ref(), ending.subscribe());
        managed(self.service_manager, &mut tree, seen, &model);
        let wanted = self.control.map(|wanted| (wanted, self.chaos));
        let shared = (events.clone(), settings.clone(), runtime.clone());
        let ends = (stop, ending.subscribe(), edge.as_ref());
        let steered = steered(wanted, &mut tree, shared, (self.log, clock), ends);
        let root = start_root(observers::add_to(tree.spec, self.observers), events).await;
        let root = root.map_err(|error| not_started(error, edge.as_ref(), steered.as_ref()))?;
        Ok(Paraphym::new(Parts {
            root,
            settings: (tree.settings, settings),
            governor: tree.governor,
            janitor: tree.janitor,
            conversations: tree.store,
            models: tree.models,
            retrieval: tree.retrieval,
            tools,
            servers: tree.servers,
            agents: tree.agents,
            store,
            loader,
            runtime,
            model,
            edge,
            ending,
            asked_to_stop,
        }))
    }
}

/// The wall clock.
fn clock() -> chat_config::Clock {
    Arc::new(|| CoarseClock::default().stamp().system_time())
}

/// How long an ending that was asked for may take.
type Stop = watch::Sender<Option<Duration>>;

/// What the tree needs from outside.
fn parts(
    (store, settings, tools): (Store, chat_config::Store, Toolbox),
    (conversations, servers): (Archive, (ChildSpec, McpServers)),
    loader: &Arc<dyn ModelLoader>,
    clock: &chat_config::Clock,
) -> TreeParts {
    TreeParts {
        loader: Arc::clone(loader),
        resolve: Arc::new(FromStore(store)),
        probe: Arc::new(FileProbe),
        embedding_model: ModelName::new(&settings.current().settings.recall.model),
        settings,
        tools,
        servers,
        ages: Arc::new(CoarseClock::default()),
        conversations,
        clock: Arc::clone(clock),
        now_ms: Arc::new(now_ms),
    }
}

/// What is fixed is not told: whether the app chose the memory limit, and the bounds of models.
type Tells<'a> = (Servers, (bool, bool), &'a Option<(LogControl, String)>);

/// Adds what is live where there is an address, and behind it the child that tells changed settings. What is live, and the hold
/// on the server for requests, which is told, too.
fn applied(
    tree: &mut Tree,
    (bind, model): (Option<SocketAddr>, &ModelName),
    settings: &chat_config::Store,
    (servers, (limit_is_fixed, models_are_fixed), log): Tells<'_>,
) -> Result<(Option<Live>, Serving), StartError> {
    let live = Live::where_served(bind, tree, settings, model)?;
    let serving = Serving::default();
    let parts = applier::Parts {
        settings: tree.settings.clone(),
        chronicle: Chronicle::new(settings.clone(), tree.store.clone()),
        governor: tree.governor.clone(),
        models: tree.models.clone(),
        serving: serving.clone(),
        typing: live.as_ref().map(|live| live.typing.clone()),
        servers: (servers, tree.servers.clone()),
        limit_is_fixed,
        models_are_fixed,
        log: log.clone(),
    };
    let spec = std::mem::replace(&mut tree.spec, SupervisorSpec::new("root"));
    tree.spec = spec.child(applier::child(parts));
    Ok((live, serving))
}

/// Adds whoever speaks to the service manager, where there is one.
fn managed(
    manager: Option<ServiceManager>,
    tree: &mut Tree,
    seen: (Option<&Edge>, watch::Receiver<Option<Ending>>),
    model: &ModelName,
) {
    let Some(manager) = manager else { return };
    let spec = std::mem::replace(&mut tree.spec, SupervisorSpec::new("root"));
    tree.spec = manager.add_to(spec, seen, (tree.models.clone(), model));
}

/// Adds control, where it is wanted. Which child it is.
fn steered(
    wanted: Option<(Wanted, bool)>,
    tree: &mut Tree,
    shared: (Events, chat_config::Store, Runtime),
    (log, clock): (Option<(LogControl, String)>, chat_config::Clock),
    ends: (Stop, watch::Receiver<Option<Ending>>, Option<&Edge>),
) -> Option<ChildPath> {
    let wanted = wanted?;
    let log = log.map(|(control, _)| control);
    Some(Steering::new(wanted, shared, log, clock, ends).add_to(tree))
}

/// The process's metrics, where they are ours to render.
fn installed() -> Option<Metrics> {
    match Metrics::install() {
        Ok(metrics) => Some(metrics),
        // The app's own recorder gets our numbers; there is nothing for us to render.
        Err(MetricsError::Foreign) => None,
        Err(error) => {
            tracing::warn!(%error, "there will be no metrics");
            None
        }
    }
}

/// The bounds of the tree; what the app chose wins.
fn bounds(
    (limit, models, agents): (Option<Bytes>, Option<HostConfig>, Option<Config>),
    keeps_conversations: bool,
    settings: &Settings,
) -> TreeConfig {
    TreeConfig {
        memory_limit: limit.or_else(|| settings::memory_limit(settings)),
        memory_poll: Some(settings::memory_poll(settings)),
        models: models.unwrap_or_else(|| settings::host(settings)),
        agents: agents.unwrap_or_else(|| settings::agents(settings)),
        recall: settings::recall(settings),
        keeps_conversations,
    }
}

/// The model that answers when none is named, and where models lie; what the app chose wins.
fn place(
    model: Option<ModelName>,
    dir: Option<PathBuf>,
    settings: &Settings,
) -> Result<(ModelName, Store), StoreError> {
    let set = &settings.model;
    let model = model.or_else(|| set.name.clone().map(ModelName::new));
    let model = model.unwrap_or_else(|| ModelName::new(DEFAULT_MODEL));
    let dir = dir.or_else(|| set.models_dir.clone().map(PathBuf::from));
    Ok((model, Store::open(StoreConfig::at(dir))?))
}

/// A tree that failed at one of its edges failed for the place that was chosen: that has a cure of its own.
fn not_started(
    error: StartTreeError,
    edge: Option<&Edge>,
    steered: Option<&ChildPath>,
) -> StartError {
    let StartTreeError::Child(failure) = error else {
        return error.into();
    };
    match edge {
        Some(edge) if failure.child == edge.path => StartError::NotServed {
            bind: edge.bind,
            reason: failure.reason,
        },
        _ if steered == Some(&failure.child) => StartError::NotControlled {
            reason: failure.reason,
        },
        _ => StartTreeError::Child(failure).into(),
    }
}

/// The runtime to start on.
async fn joined(given: Option<Runtime>) -> Result<Runtime, RunError> {
    let runtime = match given {
        Some(runtime) => runtime,
        None => Runtime::ambient().await?,
    };
    let confinement = runtime.confinement();
    if !confinement.is_complete() {
        tracing::warn!(
            ?confinement,
            "libraries may start threads of their own: call `paraphym_candle::confine()` first in `main`"
        );
    }
    Ok(runtime)
}
