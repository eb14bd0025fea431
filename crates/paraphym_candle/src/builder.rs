//! What can be chosen before the start, and the start itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use domain::{Bytes, ModelName};
use engine::ModelLoader;
use gateway::{GatewayConfig, GatewayDeps, GatewayError};
use inference::GgufLoader;
use memory_governor::FileProbe;
use model_store::{DEFAULT_MODEL, Store, StoreConfig, StoreError};
use root::{Tree, TreeConfig, TreeParts};
use runtime::{RunError, Runtime};
use supervision::{ChildPath, Events, StartTreeError, start_root};
use telemetry::{Metrics, MetricsError};

use crate::host::{Paraphym, Parts};
use crate::listing::Listing;
use crate::resolve::FromStore;
use crate::upkeep;

/// Why the host did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no runtime to start on.
    #[error(transparent)]
    Runtime(#[from] RunError),
    /// The models' folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A setting of the HTTP edge is not accepted.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// HTTP cannot be served there: the address is taken, or not of this machine.
    #[error("{reason}")]
    NotServed {
        /// The address asked for.
        bind: SocketAddr,
        /// What the HTTP edge said, naming the address.
        reason: String,
    },
    /// A part of the tree did not start.
    #[error(transparent)]
    Tree(#[from] StartTreeError),
}

/// Chooses, then starts. Everything has a default.
#[must_use]
pub struct Builder {
    model: ModelName,
    models_dir: Option<PathBuf>,
    tree: TreeConfig,
    bind: Option<SocketAddr>,
    loader: Option<Arc<dyn ModelLoader>>,
    runtime: Option<Runtime>,
    seed: Option<u64>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            model: ModelName::new(DEFAULT_MODEL),
            models_dir: None,
            tree: TreeConfig::default(),
            bind: None,
            loader: None,
            runtime: None,
            seed: None,
        }
    }
}

impl Builder {
    /// The model that answers when none is named: a catalogue name, a name in the models' folder, or a path.
    pub fn model(mut self, model: impl Into<ModelName>) -> Self {
        self.model = model.into();
        self
    }

    /// Where models lie; `paraphym/models` in the XDG data folder if not said.
    pub fn models_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.models_dir = Some(dir.into());
        self
    }

    /// The most memory models may take, weights and caches together. Host and cgroup bound it in any case.
    pub fn memory_limit(mut self, limit: Bytes) -> Self {
        self.tree.memory_limit = Some(limit);
        self
    }

    /// The bounds of model access: batch, queue, keep-alive.
    pub fn models(mut self, config: model_host::HostConfig) -> Self {
        self.tree.models = config;
        self
    }

    /// The bounds of conversations.
    pub fn agents(mut self, config: agent_worker::settings::Config) -> Self {
        self.tree.agents = config;
        self
    }

    /// Serves HTTP at this address, too. Loopback only, for now; port 0 takes a free one.
    pub fn serve(mut self, bind: SocketAddr) -> Self {
        self.bind = Some(bind);
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
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None => Runtime::ambient().await?,
        };
        warn_if_unconfined(&runtime);
        let store = Store::open(StoreConfig::at(self.models_dir))?;
        let loader = self.loader.unwrap_or_else(|| Arc::new(GgufLoader::new()));
        let metrics = match Metrics::install() {
            Ok(metrics) => Some(metrics),
            // The app's own recorder gets our numbers; there is nothing for us to render.
            Err(MetricsError::Foreign) => None,
            Err(error) => {
                tracing::warn!(%error, "there will be no metrics");
                None
            }
        };
        let parts = TreeParts {
            loader: Arc::clone(&loader),
            resolve: Arc::new(FromStore(store.clone())),
            probe: Arc::new(FileProbe),
        };
        let max_models = self.tree.models.max_models;
        let mut tree = Tree::new(self.tree, parts);
        tree.spec = tree
            .spec
            .child(upkeep::child(runtime.clone(), metrics.clone()));
        let (mut address, mut edge) = (None, None);
        if let Some(bind) = self.bind {
            let (listing_spec, listing) = Listing::of(store.clone());
            let deps = GatewayDeps {
                host: tree.models.clone(),
                metrics: Arc::new(move || {
                    metrics.as_ref().map(Metrics::render).unwrap_or_default()
                }),
                models: listing.reader(),
                clock: Arc::new(SystemTime::now),
            };
            let mut config = GatewayConfig::new(bind, self.model.clone());
            config.max_models = max_models;
            let gateway = gateway::child(config, deps)?;
            edge = Some((bind, gateway.spec.id().clone()));
            tree.spec = tree.spec.child(listing_spec).child(gateway.spec);
            address = Some(gateway.address);
        }
        let events = self.seed.map_or_else(Events::default, Events::with_seed);
        let root = ChildPath::root(tree.spec.id());
        let edge = edge.map(|(bind, id)| (bind, root.join(&id)));
        let root = start_root(tree.spec, events)
            .await
            .map_err(|error| not_started(error, edge))?;
        Ok(Paraphym::new(Parts {
            root,
            governor: tree.governor,
            janitor: tree.janitor,
            models: tree.models,
            agents: tree.agents,
            store,
            loader,
            runtime,
            model: self.model,
            address,
        }))
    }
}

/// A tree that failed at its HTTP edge failed for the address that was chosen: that has a cure of its own.
fn not_started(error: StartTreeError, edge: Option<(SocketAddr, ChildPath)>) -> StartError {
    match (error, edge) {
        (StartTreeError::Child(failure), Some((bind, path))) if failure.child == path => {
            StartError::NotServed {
                bind,
                reason: failure.reason,
            }
        }
        (error, _) => error.into(),
    }
}

fn warn_if_unconfined(runtime: &Runtime) {
    let confinement = runtime.confinement();
    if !confinement.is_complete() {
        tracing::warn!(
            ?confinement,
            "libraries may start threads of their own: call `paraphym_candle::confine()` first in `main`"
        );
    }
}
