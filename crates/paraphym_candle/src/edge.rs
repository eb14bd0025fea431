//! The HTTP edge as children of the tree: the server, and what it shows of the models on disk.

use std::net::SocketAddr;
use std::sync::Arc;

use bearer::TokenFile;
use conversation_store::ConversationStore;
use domain::ModelName;
use gateway::{GatewayConfig, GatewayDeps, Serving};
use memory_governor::MemoryGovernor;
use model_host::ModelHost;
use model_store::Store;
use supervision::{ChildPath, Handle, SupervisorSpec};
use telemetry::Metrics;
use tokio::sync::watch;

use crate::listing::Listing;
use crate::live::Live;
use crate::start_error::StartError;
use crate::{checks, settings, tokens};

/// What the edge is made of.
pub(crate) struct Edges<'a> {
    /// Nothing is served where there is no address.
    pub(crate) bind: Option<SocketAddr>,
    /// Places for models, as readiness counts them.
    pub(crate) max_models: usize,
    /// The one that answers where none is named.
    pub(crate) model: &'a ModelName,
    pub(crate) settings: &'a chat_config::Store,
    pub(crate) host: &'a Handle<ModelHost>,
    pub(crate) store: &'a Store,
    /// Must be open for the server to be ready.
    pub(crate) conversations: &'a Handle<ConversationStore>,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) governor: &'a Handle<MemoryGovernor>,
    pub(crate) clock: chat_config::Clock,
    /// How it is operated and ended.
    pub(crate) serving: Serving,
    /// Who is connected in real time.
    pub(crate) live: Option<Live>,
    /// Who may ask; nobody has a token, if not said.
    pub(crate) tokens: Option<TokenFile>,
}

/// The server, as others see it.
#[derive(Clone)]
pub(crate) struct Edge {
    /// Where it was to listen.
    pub(crate) bind: SocketAddr,
    /// Which child it is.
    pub(crate) path: ChildPath,
    /// Where it listens, once it does.
    pub(crate) address: watch::Receiver<Option<SocketAddr>>,
    /// How it is closed before the tree stops.
    pub(crate) serving: Serving,
    /// Who is connected in real time, and what is answered there.
    pub(crate) live: Option<Live>,
}

impl Edge {
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

impl Edges<'_> {
    /// Adds the children behind all others.
    ///
    /// # Errors
    /// A setting of the edge that is not accepted, a file of tokens that cannot be used.
    pub(crate) async fn add_to(
        self,
        mut spec: SupervisorSpec,
    ) -> Result<(SupervisorSpec, Option<Edge>), StartError> {
        let Some(bind) = self.bind else {
            return Ok((spec, None));
        };
        let (listing_spec, listing) = Listing::of(self.store.clone());
        let metrics = self.metrics;
        let serving = self.serving;
        let deps = GatewayDeps {
            checks: checks::all(&spec.handle(), self.conversations, self.governor),
            serving: serving.clone(),
            host: self.host.clone(),
            sampling: settings::sampling_now(self.settings),
            metrics: page(metrics, self.governor.clone()),
            models: listing.chat(),
            embedders: listing.embedding(),
            clock: self.clock,
            live: self.live.as_ref().map(|live| live.connections.clone()),
        };
        let mut config = GatewayConfig::new(bind, self.model.clone());
        let first = &self.settings.current().settings;
        settings::edge(first, self.max_models, &mut config);
        if let Some(file) = self.tokens {
            let (tokens_spec, tokens) = tokens::follow(file).await?;
            config.access.tokens = tokens;
            spec = spec.child(tokens_spec);
        }
        let gateway = gateway::child(config, deps)?;
        let edge = Edge {
            bind,
            path: ChildPath::root(spec.id()).join(gateway.spec.id()),
            address: gateway.address,
            serving,
            live: self.live,
        };
        Ok((spec.child(listing_spec).child(gateway.spec), Some(edge)))
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
