//! Kameo's own supervision, the layer ours is asked to be at most half as slow again as, with none of its promises.

use std::sync::Arc;
use std::time::Duration;

use kameo::actor::{Actor, ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::mailbox;
use kameo::supervision::RestartPolicy;

use crate::kameo_counter::{Counter, Plain};
use crate::peer::{
    CROWD_CAPACITY, Crowd, Failure, Ledger, Parent, Peer, hear_all, on_worker, told,
};

struct Above;

impl Actor for Above {
    type Args = ();
    type Error = Infallible;

    async fn on_start((): (), _me: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "kameo's own supervisor is what is compared"
)]
fn above() -> ActorRef<Above> {
    Above::spawn_with_mailbox((), mailbox::bounded(CROWD_CAPACITY))
}

#[allow(
    clippy::disallowed_methods,
    reason = "kameo's own supervision is what is compared"
)]
async fn below(
    above: &ActorRef<Above>,
    capacity: usize,
    policy: RestartPolicy,
    ledger: Arc<Ledger>,
) -> ActorRef<Counter> {
    Counter::supervise_with(above, move || ledger.clone())
        .restart_policy(policy)
        .restart_limit(u32::MAX, Duration::from_secs(1))
        .spawn_with_mailbox(mailbox::bounded(capacity))
        .await
}

async fn end(above: &ActorRef<Above>) -> Result<(), Failure> {
    above.stop_gracefully().await.map_err(told)?;
    above.wait_for_shutdown().await;
    Ok(())
}

pub(crate) struct Supervised {
    above: ActorRef<Above>,
    below: ActorRef<Counter>,
}

impl Peer for Supervised {
    type Address = Plain;

    async fn start(capacity: usize, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let above = above();
        let below = below(&above, capacity, RestartPolicy::Permanent, ledger).await;
        Ok(Self { above, below })
    }

    fn address(&self) -> Plain {
        Plain(self.below.clone())
    }

    async fn end(self) -> Result<(), Failure> {
        end(&self.above).await?;
        self.below.wait_for_shutdown().await;
        Ok(())
    }
}

/// Many under one supervisor.
pub(crate) struct SupervisedCrowd {
    above: ActorRef<Above>,
    below: Vec<Plain>,
}

impl SupervisedCrowd {
    async fn under(
        above: ActorRef<Above>,
        actors: usize,
        policy: RestartPolicy,
    ) -> Result<Self, Failure> {
        on_worker(async move {
            let mut addresses = Vec::with_capacity(actors);
            for _ in 0..actors {
                addresses.push(Plain(
                    below(&above, CROWD_CAPACITY, policy, Arc::default()).await,
                ));
            }
            hear_all(&addresses).await?;
            Ok(Self {
                above,
                below: addresses,
            })
        })
        .await
    }
}

impl Crowd for SupervisedCrowd {
    async fn gather(actors: usize) -> Result<Self, Failure> {
        Self::under(above(), actors, RestartPolicy::Permanent).await
    }

    async fn disperse(self) -> Result<(), Failure> {
        on_worker(async move {
            end(&self.above).await?;
            for Plain(actor) in &self.below {
                actor.wait_for_shutdown().await;
            }
            Ok(())
        })
        .await
    }
}

/// One supervisor whose children come and go.
pub(crate) struct SupervisedParent(ActorRef<Above>);

impl Parent for SupervisedParent {
    async fn open() -> Result<Self, Failure> {
        Ok(Self(above()))
    }

    async fn generation(&mut self, children: usize) -> Result<(), Failure> {
        let crowd = SupervisedCrowd::under(self.0.clone(), children, RestartPolicy::Never).await?;
        for Plain(actor) in &crowd.below {
            actor.stop_gracefully().await.map_err(told)?;
        }
        for Plain(actor) in &crowd.below {
            actor.wait_for_shutdown().await;
        }
        Ok(())
    }

    async fn close(self) -> Result<(), Failure> {
        end(&self.0).await
    }
}
