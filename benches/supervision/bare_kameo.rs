//! Kameo with nobody above the actor: what the bounds for tell, ask and bytes are relative to. A panic ends it.

use std::sync::Arc;

use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;

use crate::kameo_counter::{Counter, Plain, Timed};
use crate::peer::{CROWD_CAPACITY, Crowd, Failure, Ledger, Peer, hear_all, on_worker, told};

#[allow(
    clippy::disallowed_methods,
    reason = "an actor without a supervisor is what is compared"
)]
fn spawn(capacity: usize, ledger: Arc<Ledger>) -> ActorRef<Counter> {
    Counter::spawn_with_mailbox(ledger, mailbox::bounded(capacity))
}

async fn end(actor: &ActorRef<Counter>) -> Result<(), Failure> {
    actor.stop_gracefully().await.map_err(told)?;
    actor.wait_for_shutdown().await;
    Ok(())
}

pub(crate) struct Bare(ActorRef<Counter>);

impl Peer for Bare {
    type Address = Plain;

    async fn start(capacity: usize, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        Ok(Self(spawn(capacity, ledger)))
    }

    fn address(&self) -> Plain {
        Plain(self.0.clone())
    }

    async fn end(self) -> Result<(), Failure> {
        end(&self.0).await
    }
}

/// The same, asked with timeouts.
pub(crate) struct BareTimed(ActorRef<Counter>);

impl Peer for BareTimed {
    type Address = Timed;

    async fn start(capacity: usize, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        Ok(Self(spawn(capacity, ledger)))
    }

    fn address(&self) -> Timed {
        Timed(self.0.clone())
    }

    async fn end(self) -> Result<(), Failure> {
        end(&self.0).await
    }
}

/// Many, with no tree: whoever wants them ended ends each.
pub(crate) struct BareCrowd(Vec<Plain>);

impl Crowd for BareCrowd {
    async fn gather(actors: usize) -> Result<Self, Failure> {
        on_worker(async move {
            let mut addresses = Vec::with_capacity(actors);
            addresses.extend((0..actors).map(|_| Plain(spawn(CROWD_CAPACITY, Arc::default()))));
            hear_all(&addresses).await?;
            Ok(Self(addresses))
        })
        .await
    }

    async fn disperse(self) -> Result<(), Failure> {
        on_worker(async move {
            for Plain(actor) in &self.0 {
                actor.stop_gracefully().await.map_err(told)?;
            }
            for Plain(actor) in &self.0 {
                actor.wait_for_shutdown().await;
            }
            Ok(())
        })
        .await
    }
}
