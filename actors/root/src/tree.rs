//! The composition of the tree: every handle is made here, before anything runs, and handed to those who need it.

use std::sync::Arc;
use std::time::Duration;

use agent_worker::client::Agents;
use agent_worker::keeper::WallClock;
use agent_worker::tool_rack::ToolRack;
use cache_janitor::CacheJanitor;
use chat_config::ChatConfig;
use conversation_store::{Archive, ConversationStore};
use domain::Bytes;
use engine::ModelLoader;
use memory_governor::{DEFAULT_POLL, GovernorConfig, MemoryGovernor, Probe};
use model_host::{ModelHost, ModelHostDeps, ResolveModel};
use supervision::{ChildSpec, Handle, Strategy, SupervisorSpec};
use toolbox::{ToolSource, Toolbox};

/// Restarts among the root's own children that are borne within `PERIOD`. They keep their queues, so a sibling needs
/// not fall with them; more than this is not bad luck but a fault that a restart does not mend.
const RESTARTS_MAX: u32 = 10;
/// The window of `RESTARTS_MAX`.
const PERIOD: Duration = Duration::from_mins(1);

/// The bounds of the whole tree.
#[derive(Clone, Debug, Default)]
pub struct TreeConfig {
    /// The most bytes that may be leased; host and cgroup alone decide if absent.
    pub memory_limit: Option<Bytes>,
    /// How often the machine's memory is looked at; every 5 s if absent.
    pub memory_poll: Option<Duration>,
    /// The bounds of model access.
    pub models: model_host::HostConfig,
    /// The bounds of conversations.
    pub agents: agent_worker::settings::Config,
    /// Whether conversations and turns are at rest, too, and not in memory alone.
    pub keeps_conversations: bool,
}

/// What the tree needs from outside.
pub struct TreeParts {
    /// Reads models.
    pub loader: Arc<dyn ModelLoader>,
    /// Finds them.
    pub resolve: Arc<dyn ResolveModel>,
    /// Tells how much memory there is.
    pub probe: Arc<dyn Probe>,
    /// The settings, opened.
    pub settings: chat_config::Store,
    /// The tools that are always there.
    pub tools: Toolbox,
    /// Where tools come from that are not.
    pub sources: Vec<Arc<dyn ToolSource>>,
    /// Children of those; they are there before conversations are, and after the models.
    pub reached: Vec<ChildSpec>,
    /// What was said, opened.
    pub conversations: Archive,
    /// The wall clock, for what is old in the control log.
    pub ages: Arc<dyn runtime::Clock>,
    /// The wall clock, for the history of settings.
    pub clock: chat_config::Clock,
    /// The same in milliseconds since 1970, for what is written down.
    pub now_ms: WallClock,
}

/// The tree before it is started, and the handles that will answer once it is.
pub struct Tree {
    /// The root and its inner children. Edges are added behind them with [`Tree::add`].
    pub spec: SupervisorSpec,
    /// Settings.
    pub settings: Handle<ChatConfig>,
    /// Byte leases.
    pub governor: Handle<MemoryGovernor>,
    /// Sweeps.
    pub janitor: Handle<CacheJanitor>,
    /// What was said, at rest.
    pub store: Handle<ConversationStore>,
    /// Model access.
    pub models: Handle<ModelHost>,
    /// Conversations.
    pub agents: Agents,
}

impl Tree {
    /// Puts the tree together. Nothing runs yet.
    pub fn new(config: TreeConfig, parts: TreeParts) -> Self {
        let memory = GovernorConfig {
            limit: config.memory_limit,
            poll: config.memory_poll.unwrap_or(DEFAULT_POLL),
        };
        let (settings_spec, settings) = chat_config::child(parts.settings, parts.clock);
        let (governor_spec, governor) = memory_governor::child_with(memory, parts.probe);
        let (janitor_spec, janitor) = cache_janitor::child(governor.clone());
        let (store_spec, store) =
            conversation_store::child(parts.conversations, Some(janitor.clone()), parts.ages);
        let deps = ModelHostDeps {
            loader: parts.loader,
            resolve: parts.resolve,
            governor: governor.clone(),
            janitor: janitor.clone(),
        };
        let (model_specs, models) = model_host::children(config.models, deps);
        let (agent_specs, workers) = agent_worker::client::children(&config.agents);
        let rack = ToolRack::new(parts.tools, parts.sources);
        let mut agents = Agents::new(workers, models.clone(), config.agents).with_tools(rack);
        if config.keeps_conversations {
            agents = agents.with_store(store.clone(), parts.now_ms);
        }

        let mut spec = SupervisorSpec::new("root")
            .strategy(Strategy::OneForOne)
            .intensity(RESTARTS_MAX, PERIOD)
            .child(settings_spec)
            .child(governor_spec)
            .child(janitor_spec)
            .child(store_spec);
        let middle = model_specs.into_iter().chain(parts.reached);
        for child in middle.chain(agent_specs) {
            spec = spec.child(child);
        }
        spec = spec.child(agents.keeper(janitor.clone()));
        Self {
            spec,
            settings,
            governor,
            janitor,
            store,
            models,
            agents,
        }
    }

    /// Puts a child behind all others.
    pub fn add(&mut self, child: ChildSpec) {
        self.change(|spec| spec.child(child));
    }

    /// Changes what is to be started.
    pub fn change(&mut self, with: impl FnOnce(SupervisorSpec) -> SupervisorSpec) {
        let spec = std::mem::replace(&mut self.spec, SupervisorSpec::new("root"));
        self.spec = with(spec);
    }
}
