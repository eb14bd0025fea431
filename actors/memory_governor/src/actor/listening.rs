//! What the kernel tells of stalls, as messages: while it does, nobody looks at a calm machine by the clock.
//!
//! Each life listens anew and believes nothing a former one was told. Where the machine cannot tell, or stops to, the
//! clock goes on as if nobody had ever listened.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kameo::actor::WeakActorRef;
use kameo::message::{Context, Message};
use tokio::time::sleep;

use super::MemoryGovernor;
use crate::limit::Probe;
use crate::messages::Looks;

/// The kernel tells once a window, which is two seconds. Whoever tells more often is heard once in this time.
const GAP: Duration = Duration::from_secs(1);

/// What was heard.
pub(super) enum Heard {
    /// From now on stalls are told.
    Listening,
    /// Tasks waited for memory.
    Stall,
    /// Nothing is told, or nothing more.
    Silence(io::Error),
}

/// Listens until there is nothing more to hear, or nobody to tell it to.
pub(super) async fn listen(probe: Arc<dyn Probe>, governor: WeakActorRef<MemoryGovernor>) {
    let registered = tokio::task::spawn_blocking(move || probe.stalls()).await;
    let mut stalls = match registered.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(stalls) => stalls,
        Err(error) => {
            tell(&governor, Heard::Silence(error)).await;
            return;
        }
    };
    let mut heard = Heard::Listening;
    while tell(&governor, heard).await {
        heard = match stalls.next().await {
            Ok(()) => {
                sleep(GAP).await;
                Heard::Stall
            }
            Err(error) => {
                tell(&governor, Heard::Silence(error)).await;
                return;
            }
        };
    }
}

/// False when this life is over.
async fn tell(governor: &WeakActorRef<MemoryGovernor>, heard: Heard) -> bool {
    let Some(governor) = governor.upgrade() else {
        return false;
    };
    governor.tell(heard).send().await.is_ok()
}

impl Message<Heard> for MemoryGovernor {
    type Reply = ();

    async fn handle(&mut self, heard: Heard, _: &mut Context<Self, ()>) {
        match heard {
            Heard::Listening => {
                self.told = true;
                if self.seed.book.notice_by(Looks::Psi) {
                    tracing::info!("the kernel tells when tasks wait for memory");
                }
                self.look_at = self.look_at.filter(|_| !self.seed.book.is_calm());
            }
            Heard::Stall => self.read(),
            Heard::Silence(error) => {
                self.told = false;
                // One that is due is not put off.
                if self.look_at.is_none() {
                    self.look_later();
                }
                if self.seed.book.notice_by(Looks::Poll) {
                    tracing::info!(%error, poll = ?self.seed.book.poll(), "the kernel does not tell of stalls: looking by the clock");
                }
            }
        }
        self.settle();
    }
}
