//! The governor's shell: it measures the machine on the blocking pool and writes into the book what it is told.
//!
//! Invariants: no handler waits for memory to come back, and nothing is kept here that a crash could lose: the book
//! lives in the seed.

use std::sync::Arc;

use domain::Bytes;
use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use supervision::{Birth, ChildSpec, Handle, Inbox};
use tokio::task::JoinSet;

use crate::lease::{Book, Lease};
use crate::limit::{self, Probe, Readings};
use crate::messages::{LedgerStatus, Reserve, ReserveError, SetLimit, Status};
use crate::meters;

/// The name in the tree.
pub const CHILD_ID: &str = "memory_governor";
/// Asks waiting at once: every lane of every model asks one thing at a time, and each answer takes microseconds.
const MAILBOX: usize = 64;

/// What outlives the governor's crashes.
#[derive(Clone)]
pub struct GovernorSeed {
    book: Book,
    probe: Arc<dyn Probe>,
}

/// The one governor of a tree.
pub struct MemoryGovernor {
    inbox: Inbox<Self>,
    seed: GovernorSeed,
    /// Wakes this actor when leases were dropped, so that the gauges follow. Ends with the actor.
    _watch: JoinSet<()>,
}

/// The governor's place in the tree and its handle. `configured` is the operator's limit, if any.
pub fn child(
    configured: Option<Bytes>,
    probe: Arc<dyn Probe>,
) -> (ChildSpec, Handle<MemoryGovernor>) {
    let seed = GovernorSeed {
        book: Book::new(configured),
        probe,
    };
    ChildSpec::actor(CHILD_ID, MAILBOX, seed)
}

impl Actor for MemoryGovernor {
    type Args = Birth<Self, GovernorSeed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let Birth { seed, inbox, .. } = birth;
        seed.measure().await;
        let mut watch = JoinSet::new();
        watch.spawn(watch_drops(seed.book.clone(), me.downgrade()));
        let governor = Self {
            inbox,
            seed,
            _watch: watch,
        };
        governor.show();
        Ok(governor)
    }

    supervision::receive_from!(inbox);
}

impl GovernorSeed {
    /// Reads the machine's limits anew. A probe that panics has read nothing.
    async fn measure(&self) {
        let probe = Arc::clone(&self.probe);
        let read = tokio::task::spawn_blocking(move || limit::measure(&*probe)).await;
        self.book.measured(read.unwrap_or_else(|error| {
            tracing::error!(%error, "the memory probe crashed; only the configured limit holds");
            Readings::default()
        }));
    }
}

impl MemoryGovernor {
    fn show(&self) {
        let (limit, leased) = self.seed.book.totals();
        meters::show(limit, leased);
    }
}

/// Some leases were dropped since the last look.
struct LeasesDropped;

async fn watch_drops(book: Book, governor: WeakActorRef<MemoryGovernor>) {
    loop {
        book.dropped().await;
        let Some(governor) = governor.upgrade() else {
            return;
        };
        if governor.tell(LeasesDropped).send().await.is_err() {
            return;
        }
    }
}

impl Message<LeasesDropped> for MemoryGovernor {
    type Reply = ();

    async fn handle(&mut self, _: LeasesDropped, _: &mut Context<Self, ()>) {
        self.show();
    }
}

impl Message<Reserve> for MemoryGovernor {
    type Reply = Result<Lease, ReserveError>;

    async fn handle(&mut self, wish: Reserve, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let answer = self.seed.book.reserve(&wish);
        match &answer {
            Ok(lease) => {
                tracing::debug!(lease = %lease.id(), owner = wish.owner, purpose = wish.purpose, bytes = %wish.bytes, "leased");
            }
            Err(error) => {
                meters::refused();
                tracing::debug!(owner = wish.owner, %error, "refused");
            }
        }
        self.show();
        answer
    }
}

impl Message<SetLimit> for MemoryGovernor {
    type Reply = LedgerStatus;

    async fn handle(
        &mut self,
        wish: SetLimit,
        _: &mut Context<Self, LedgerStatus>,
    ) -> LedgerStatus {
        self.seed.book.configure(wish.bytes);
        self.seed.measure().await;
        self.show();
        self.seed.book.status()
    }
}

impl Message<Status> for MemoryGovernor {
    type Reply = LedgerStatus;

    async fn handle(&mut self, _: Status, _: &mut Context<Self, LedgerStatus>) -> LedgerStatus {
        self.show();
        self.seed.book.status()
    }
}
