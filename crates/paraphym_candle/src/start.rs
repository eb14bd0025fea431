//! The start: every handle is made and handed to those who need it, then the tree begins.

use std::path::PathBuf;
use std::sync::Arc;

use agent_worker::settings::Config;
use chat_config::settings::Settings;
use conversation_store::Archive;
use domain::{Bytes, ModelName};
use engine::ModelLoader;
use memory_governor::FileProbe;
use model_host::HostConfig;
use model_store::{DEFAULT_MODEL, Store, StoreConfig, StoreError};
use root::{Tree, TreeConfig, TreeParts};
use runtime::{Clock, CoarseClock, RunError, Runtime};
use supervision::{ChildPath, Events, RootHandle, StartTreeError, SupervisorSpec, start_root};
use telemetry::LogControl;
use tokio::sync::watch;
use toolbox::Toolbox;

use crate::asker::Asker;
use crate::chronicle::Chronicle;
use crate::edge::{self, Edge};
use crate::ending::Ending;
use crate::follower::Follows;
use crate::history::now_ms;
use crate::host::{Paraphym, Parts};
use crate::resolve::FromStore;
use crate::service_manager::ServiceManager;
use crate::shelf::Shelf;
use crate::start_error::StartError;
use crate::steering;
use crate::tools::Reached;
use crate::{Builder, applier, loading, long_term, observers, settings, tools, upkeep};

impl Builder {
    /// Starts the tree; every part is ready when this returns. No model is loaded yet.
    ///
    /// # Errors
    /// Which part did not start, and why; the others were stopped again.
    pub async fn start(self) -> Result<Paraphym, StartError> {
        let runtime = joined(self.runtime).await?;
        let settings = self.settings.open().await?;
        let first = Arc::clone(&settings.current().settings);
        let (model, store) = place(self.model, self.models_dir, &first)?;
        let keeps = self.conversations.is_some() && !self.forgets_conversations;
        let loader = loading::loader((self.loader, self.copies_dir), &first, &runtime)?;
        let (tools, metrics) = (tools::fixed(self.tools)?, self.recorder.metrics());
        let (reached, servers) = self.servers.reach(&first)?;
        let (sources, of_servers) = (reached.sources.clone(), reached.follower.clone());
        let (clock, archive) = (clock(), Shelf::opened(self.conversations).await?);
        let from = (store.clone(), settings.clone(), tools.clone());
        let parts = parts(from, archive, reached, (&loader, &clock));
        let are_fixed = (self.memory_limit.is_some(), self.models.is_some());
        let config = bounds((self.memory_limit, self.models, self.agents), keeps, &first);
        let max_models = config.models.max_models;
        let mut tree = Tree::new(config, parts);
        let retrieval = long_term::add_to(&mut tree, &first);
        let asker = asker(&tree, &settings, &model);
        let app = self.app.add_to(&mut tree, &asker);
        let begun = self.edge.begin(&mut tree, &settings, &model)?;
        let followers = begun.follower().into_iter().chain(of_servers).collect();
        with_applier(&mut tree, &settings, followers, are_fixed, self.log.clone());
        tree.add(upkeep::child(runtime.clone(), metrics.clone()));
        let deps = edge::Deps {
            max_models,
            model: &model,
            settings: &settings,
            store: &store,
            metrics,
            clock: Arc::clone(&clock),
        };
        let edge = begun.add_to(&mut tree, deps).await?;
        let events = self.seed.map_or_else(Events::default, Events::with_seed);
        let ((stop, asked_to_stop), ending) = (watch::channel(None), watch::Sender::new(None));
        let told = (edge.as_ref(), ending.subscribe());
        managed(self.service_manager, &mut tree, told, &model);
        let deps = steering::Deps {
            events: events.clone(),
            settings: settings.clone(),
            log: self.log.map(|(control, _)| control),
            runtime: runtime.clone(),
            clock,
            ends: (stop, ending.subscribe()),
        };
        let steered = self.steering.add_to(&mut tree, edge.as_ref(), deps);
        tree.spec = observers::add_to(tree.spec, self.observers);
        let root = begin(tree.spec, events, edge.as_ref(), steered.as_ref()).await?;
        Ok(Paraphym::new(Parts {
            root,
            settings: (tree.settings, settings),
            governor: tree.governor,
            janitor: tree.janitor,
            conversations: tree.store,
            retrieval,
            tools,
            sources,
            servers,
            asker,
            app,
            store,
            loader,
            runtime,
            edge,
            ending,
            asked_to_stop,
        }))
    }
}

/// Who asks models and conversations of this tree.
fn asker(tree: &Tree, settings: &chat_config::Store, model: &ModelName) -> Asker {
    Asker {
        models: tree.models.clone(),
        agents: tree.agents.clone(),
        settings: settings.clone(),
        model: model.clone(),
        asked: Arc::default(),
    }
}

/// The wall clock.
fn clock() -> chat_config::Clock {
    Arc::new(|| CoarseClock::default().stamp().system_time())
}

/// What the tree needs from outside.
fn parts(
    (store, settings, tools): (Store, chat_config::Store, Toolbox),
    conversations: Archive,
    reached: Reached,
    (loader, clock): (&Arc<dyn ModelLoader>, &chat_config::Clock),
) -> TreeParts {
    TreeParts {
        loader: Arc::clone(loader),
        resolve: Arc::new(FromStore(store)),
        probe: Arc::new(FileProbe),
        settings,
        tools,
        sources: reached.sources,
        reached: reached.children,
        ages: Arc::new(CoarseClock::default()),
        conversations,
        clock: Arc::clone(clock),
        now_ms: Arc::new(now_ms),
    }
}

/// Adds the child that tells changed settings. What is fixed is not told: whether the app chose the memory limit, and the bounds
/// of models.
fn with_applier(
    tree: &mut Tree,
    settings: &chat_config::Store,
    followers: Vec<Arc<dyn Follows>>,
    (limit_is_fixed, models_are_fixed): (bool, bool),
    log: Option<(LogControl, String)>,
) {
    let parts = applier::Parts {
        settings: tree.settings.clone(),
        chronicle: Chronicle::new(settings.clone(), tree.store.clone()),
        governor: tree.governor.clone(),
        models: tree.models.clone(),
        followers,
        limit_is_fixed,
        models_are_fixed,
        log,
    };
    tree.add(applier::child(parts));
}

/// Adds whoever speaks to the service manager, where there is one.
fn managed(
    manager: Option<ServiceManager>,
    tree: &mut Tree,
    seen: (Option<&Edge>, watch::Receiver<Option<Ending>>),
    model: &ModelName,
) {
    let Some(manager) = manager else { return };
    let models = tree.models.clone();
    tree.change(|spec| manager.add_to(spec, seen, (models, model)));
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

/// Starts it all. A tree that failed at one of its edges failed for the place that was chosen: that has a cure of its own.
async fn begin(
    spec: SupervisorSpec,
    events: Events,
    edge: Option<&Edge>,
    steered: Option<&ChildPath>,
) -> Result<RootHandle, StartError> {
    let failure = match start_root(spec, events).await {
        Ok(root) => return Ok(root),
        Err(StartTreeError::Child(failure)) => failure,
        Err(error) => return Err(error.into()),
    };
    Err(match edge {
        Some(edge) if failure.child == *edge.path() => edge.not_served(failure.reason),
        _ if steered == Some(&failure.child) => steering::not_controlled(failure),
        _ => StartTreeError::Child(failure).into(),
    })
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
