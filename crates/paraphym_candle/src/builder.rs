//! What can be chosen before the start.

use std::path::PathBuf;
use std::sync::Arc;

use agent_worker::settings::Config;
use conversation_store::{Archive, StoreConfig};
use domain::{Bytes, ModelName};
use engine::ModelLoader;
use model_host::HostConfig;
use runtime::Runtime;
use telemetry::LogControl;
use toolbox::Tool;

use crate::app;
use crate::edge;
use crate::observers::Observers;
use crate::recorder::Recorder;
use crate::servers;
use crate::service_manager::ServiceManager;
use crate::settings::Source;
use crate::shelf::Shelf;
use crate::steering;

/// Chooses, then starts. Everything has a default.
///
/// What is chosen here holds for good; everything else is as the settings say, and those change while it runs.
#[must_use]
#[derive(Default)]
pub struct Builder {
    pub(crate) settings: Source,
    pub(crate) log: Option<(LogControl, String)>,
    pub(crate) observers: Observers,
    pub(crate) recorder: Recorder,
    pub(crate) model: Option<ModelName>,
    pub(crate) models_dir: Option<PathBuf>,
    pub(crate) copies_dir: Option<PathBuf>,
    pub(crate) conversations: Option<Shelf>,
    pub(crate) forgets_conversations: bool,
    pub(crate) memory_limit: Option<Bytes>,
    pub(crate) models: Option<HostConfig>,
    pub(crate) agents: Option<Config>,
    pub(crate) edge: edge::Choice,
    pub(crate) steering: steering::Choice,
    pub(crate) loader: Option<Arc<dyn ModelLoader>>,
    pub(crate) runtime: Option<Runtime>,
    pub(crate) seed: Option<u64>,
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) servers: servers::Choice,
    pub(crate) service_manager: Option<ServiceManager>,
    pub(crate) app: app::Choice,
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

    /// Keeps everything in this folder: models in `models`, packed copies of them in `packed`, conversations and memories in
    /// `paraphym.db`, who may ask in `tokens.json`. What is chosen by itself, before or after, stays as it is chosen.
    pub fn data_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let conversations = StoreConfig::at(folder.join("paraphym.db"));
        self.conversations.get_or_insert(Shelf::At(conversations));
        #[cfg(feature = "gateway")]
        self.edge
            .tokens
            .get_or_insert_with(|| bearer::TokenFile::at(folder.join("tokens.json")));
        self.models_dir.get_or_insert(folder.join("models"));
        self.copies_dir.get_or_insert(folder.join("packed"));
        self
    }

    /// Where models lie; `paraphym/models` in the XDG data folder if not said.
    pub fn models_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.models_dir = Some(dir.into());
        self
    }

    /// Where packed copies of models lie, which are loaded two or three times as quickly; `paraphym/packed` in the XDG cache
    /// folder if not said. Whether there are any is the setting `model.packed_copies`.
    pub fn copies_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.copies_dir = Some(dir.into());
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
    #[cfg(feature = "gateway")]
    pub fn serve(mut self, bind: std::net::SocketAddr) -> Self {
        self.edge.bind = Some(bind);
        self
    }

    /// Where the tokens of those who may ask over HTTP are kept. If not said, nobody has one;
    /// [`TokenFile::in_data_folder`](bearer::TokenFile::in_data_folder) is where the `paraphym` program keeps them.
    #[cfg(feature = "gateway")]
    pub fn tokens(mut self, file: bearer::TokenFile) -> Self {
        self.edge.tokens = Some(file);
        self
    }

    /// Can be controlled over this Unix socket, too, as `paraphym ctl` does: by the same user and root. Whoever asks it to end
    /// is heard by [`crate::Paraphym::asked_to_stop`].
    #[cfg(feature = "control")]
    pub fn control(mut self, socket: impl Into<PathBuf>) -> Self {
        let (socket, insists) = (socket.into(), true);
        self.steering.wanted = Some(steering::Wanted { socket, insists });
        self
    }

    /// The same where `paraphym ctl` looks for it, unless another server of the same user is there already.
    #[cfg(feature = "control")]
    pub fn control_at_the_usual_place(mut self) -> Self {
        self.steering.wanted = Some(steering::Wanted::usual());
        self
    }

    /// Faults on purpose may be asked for over the control socket, to try out what a tree makes of them.
    #[cfg(feature = "control")]
    pub fn allow_chaos(mut self) -> Self {
        self.steering.chaos = true;
        self
    }

    /// One more tool beside those that are built in; [`toolbox::function`] makes one of an async closure.
    pub fn tool(mut self, tool: Arc<dyn Tool>) -> Self {
        self.tools.push(tool);
        self
    }

    /// One more MCP server, whose tools are offered beside the others while it is up.
    #[cfg(feature = "mcp")]
    pub fn mcp_server(mut self, server: mcp_client::ServerConfig) -> Self {
        self.servers.own.push(server);
        self
    }

    /// The MCP servers of the settings stay away: for a host whose agents call no tool of theirs.
    #[cfg(feature = "mcp")]
    pub fn without_servers_of_settings(mut self) -> Self {
        self.servers.alone = true;
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

    /// Who records what is counted; the process's recorder if not said, which the first system of a process installs where
    /// there is none.
    pub fn recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = recorder;
        self
    }

    /// Fixes the chance in restarts' jitter, for tests.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}
