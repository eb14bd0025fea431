//! The HTTP edge as children of the tree: the server, and what it shows of the models on disk.

pub(crate) mod bounds;
mod checks;
pub(crate) mod follower;
mod listing;
mod live;
#[cfg(feature = "control")]
pub(crate) mod operated;
mod picture;
mod rendered;
mod said;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;

use bearer::TokenFile;
use domain::ModelName;
use gateway::{GatewayConfig, GatewayDeps, Serving};
use memory_governor::MemoryGovernor;
use model_store::Store;
use root::Tree;
use supervision::{ChildPath, Handle};
use telemetry::Metrics;
use tokio::sync::watch;

use crate::follower::Follows;
use crate::start_error::StartError;
use follower::Follower;
use listing::Listing;
use live::Live;
pub use said::Said;

/// What was chosen of it before the start.
#[derive(Default)]
pub(crate) struct Choice {
    /// Nothing is served where there is no address.
    pub(crate) bind: Option<SocketAddr>,
    /// Who may ask; nobody has a token, if not said.
    pub(crate) tokens: Option<TokenFile>,
}

/// What the edge is made of, beside the tree.
pub(crate) struct Deps<'a> {
    /// Places for models, as readiness counts them.
    pub(crate) max_models: usize,
    /// The one that answers where none is named.
    pub(crate) model: &'a ModelName,
    pub(crate) settings: &'a chat_config::Store,
    pub(crate) store: &'a Store,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) clock: chat_config::Clock,
}

/// The edge, half of which is in the tree: what is live stands before whoever tells changed settings, and that before the server.
pub(crate) struct Begun {
    chosen: Choice,
    /// How it is operated and ended.
    serving: Serving,
    /// Who is connected in real time.
    live: Option<Live>,
}

impl Choice {
    /// Adds what is live behind all others, where anything is served.
    ///
    /// # Errors
    /// The system gives no random bytes for the names of sessions, a setting of what is live is not accepted.
    pub(crate) fn begin(
        self,
        tree: &mut Tree,
        settings: &chat_config::Store,
        model: &ModelName,
    ) -> Result<Begun, StartError> {
        Ok(Begun {
            live: Live::where_served(self.bind, tree, settings, model)?,
            serving: Serving::default(),
            chosen: self,
        })
    }
}

/// The server, as others see it.
#[derive(Clone)]
pub(crate) struct Edge {
    bind: SocketAddr,
    path: ChildPath,
    address: watch::Receiver<Option<SocketAddr>>,
    /// How it is closed before the tree stops.
    serving: Serving,
    /// Who is connected in real time, and what is answered there.
    live: Option<Live>,
}

impl Edge {
    /// Which child it is.
    pub(crate) const fn path(&self) -> &ChildPath {
        &self.path
    }

    /// Where it listens, once it does.
    pub(crate) fn address(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.address.clone()
    }

    /// Why there is no start, where this child did not start.
    pub(crate) fn not_served(&self, reason: String) -> StartError {
        let bind = self.bind;
        StartError::NotServed { bind, reason }
    }

    /// Requests that are being answered.
    pub(crate) fn requests(&self) -> usize {
        self.serving.under_way().len()
    }

    /// Takes nothing new.
    pub(crate) fn drain(&self) {
        self.serving.drain();
        if let Some(live) = &self.live {
            live.rooms.drain();
        }
    }

    /// The answers under way, as people are told of them.
    pub(crate) fn under_way(&self) -> Vec<String> {
        let rooms = self.live.iter().flat_map(|live| live.rooms.under_way());
        let mut all = self.serving.under_way();
        all.extend(rooms.map(|turn| format!("room {turn}")));
        all
    }

    /// Waits until one of those that are under way now has ended.
    pub(crate) async fn fewer_than_now(&self) {
        let requests = self.serving.under_way().len();
        let rooms = self.live.as_ref().map(|live| &live.rooms);
        let in_rooms = rooms.map_or(0, |rooms| rooms.under_way().len());
        let fewer_in_rooms = async {
            match rooms {
                Some(rooms) if in_rooms > 0 => rooms.fewer_than(in_rooms).await,
                _ => std::future::pending().await,
            }
        };
        let fewer_requests = async {
            if requests == 0 {
                std::future::pending::<()>().await;
            }
            self.serving.fewer_than(requests).await;
        };
        if requests == 0 && in_rooms == 0 {
            return;
        }
        tokio::select! {
            () = fewer_requests => {}
            () = fewer_in_rooms => {}
        }
    }

    /// Answers that still run end at once.
    pub(crate) async fn end(&self) {
        self.serving.end();
        if let Some(live) = &self.live {
            live.end().await;
        }
    }

    /// Tells those who are connected to come again.
    pub(crate) async fn send_away(&self) {
        if let Some(live) = &self.live {
            live.send_away().await;
        }
    }
}

impl Begun {
    /// Who is told of changed settings, where anything is served.
    pub(crate) fn follower(&self) -> Option<Arc<dyn Follows>> {
        let typing = self.live.as_ref()?.typing.clone();
        Some(Arc::new(Follower::new(self.serving.clone(), typing)))
    }

    /// Adds the server behind all others.
    ///
    /// # Errors
    /// A setting of the edge that is not accepted, a file of tokens that cannot be used.
    pub(crate) async fn add_to(
        self,
        tree: &mut Tree,
        deps: Deps<'_>,
    ) -> Result<Option<Edge>, StartError> {
        let Some(bind) = self.chosen.bind else {
            return Ok(None);
        };
        let (listing_spec, listing) = Listing::of(deps.store.clone());
        let serving = self.serving;
        let gateway_deps = GatewayDeps {
            checks: checks::all(&tree.spec.handle(), &tree.store, &tree.governor),
            serving: serving.clone(),
            host: tree.models.clone(),
            sampling: bounds::sampling_now(deps.settings),
            metrics: page(deps.metrics, tree.governor.clone()),
            models: listing.chat(),
            embedders: listing.embedding(),
            clock: deps.clock,
            live: self.live.as_ref().map(|live| live.connections.clone()),
        };
        let mut config = GatewayConfig::new(bind, deps.model.clone());
        let first = &deps.settings.current().settings;
        bounds::edge(first, deps.max_models, &mut config);
        if let Some(file) = self.chosen.tokens {
            let (tokens_spec, tokens) = tokens::follow(file).await?;
            config.access.tokens = tokens;
            tree.add(tokens_spec);
        }
        let gateway = gateway::child(config, gateway_deps)?;
        let edge = Edge {
            bind,
            path: ChildPath::root(tree.spec.id()).join(gateway.spec.id()),
            address: gateway.address,
            serving,
            live: self.live,
        };
        tree.add(listing_spec);
        tree.add(gateway.spec);
        Ok(Some(edge))
    }
}

/// What was recorded. A governor that is told of stalls looks at the machine only then: whoever reads makes it look, for the
/// next who reads. Nobody waits for it.
fn page(
    metrics: Option<Metrics>,
    governor: Handle<MemoryGovernor>,
) -> Arc<dyn Fn() -> String + Send + Sync> {
    Arc::new(move || {
        // Where others wait already, the figures are a look older: pages must not fill the queue of one that is stuck.
        if governor.depth() == 0 {
            drop(governor.try_tell(memory_governor::Status));
        }
        metrics.as_ref().map(Metrics::render).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;

    struct Nowhere;

    impl memory_governor::Probe for Nowhere {
        fn read(&self, _: &Path) -> io::Result<String> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn pages_wait_for_no_governor_and_do_not_fill_its_queue() {
        // It was never started: it handles nothing.
        let (_spec, governor) = memory_governor::child(None, Arc::new(Nowhere));
        let page = page(None, governor.clone());
        for _ in 0..2 * governor.capacity() {
            page();
        }
        assert_eq!(governor.depth(), 1);
    }
}
