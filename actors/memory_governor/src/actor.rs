//! The governor's shell: it measures the machine on the blocking pool and writes into the book what it is told.
//!
//! Invariants: no handler waits for memory to come back or for a file, at most one reading of the machine runs at a
//! time, nobody looks at a calm machine by the clock while the kernel tells of stalls, and nothing is kept here that a
//! crash could lose: the book lives in the seed.

use std::sync::Arc;
use std::time::Duration;

use domain::Bytes;
use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use kameo::reply::{DelegatedReply, ReplySender};
use supervision::{AlarmDue, Birth, ChildSpec, Handle, Inbox};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::book::Book;
use crate::limit::{self, Look, Probe};
use crate::messages::{
    LedgerStatus, PollError, Reasons, SetLimit, SetPoll, Status, WatchPressure, Why,
};
use crate::meters;
use crate::orders::{Enlist, EnlistError};
use crate::pressure::Pressure;
use crate::reads::Reads;

#[cfg(test)]
pub(crate) mod crashing;
mod listening;
mod reserving;

/// The name in the tree.
pub const CHILD_ID: &str = "memory_governor";
/// Asks waiting at once: every lane of every model asks one thing at a time, and each answer takes microseconds.
const MAILBOX: usize = 64;
/// How often the machine is looked at if nothing else is configured. Memory fills in seconds, not in milliseconds; a
/// look is a wake-up and some small files.
pub const DEFAULT_POLL: Duration = Duration::from_secs(5);
/// From an answer to an order for the machine's sake to the look at what it did: what was freed is given back to the
/// system by then. Also what a target that promises more than it does is held to.
const AFTER_RELIEF: Duration = Duration::from_secs(1);
/// The shortest interval: a look takes a millisecond of some thread's time, and memory is not faster. One in
/// [`GovernorConfig`] that is shorter is taken for this.
pub const MIN_POLL: Duration = Duration::from_millis(100);

/// What the operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GovernorConfig {
    /// The most bytes that may be leased; host and cgroup alone decide if absent.
    pub limit: Option<Bytes>,
    /// From the end of one look at the machine to the beginning of the next. At least [`MIN_POLL`]. Where the kernel
    /// tells of stalls, a calm machine is looked at when it tells, or when someone asks and the last look is older.
    pub poll: Duration,
}

impl Default for GovernorConfig {
    fn default() -> Self {
        Self {
            limit: None,
            poll: DEFAULT_POLL,
        }
    }
}

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
    me: WeakActorRef<Self>,
    reads: Reads<ReplySender<LedgerStatus>>,
    /// When the machine is to be looked at again; `None` while that is under way, or the kernel would tell.
    look_at: Option<Instant>,
    /// When it was last looked at in this life.
    looked: Option<Instant>,
    /// The kernel tells this life of stalls.
    told: bool,
    /// A reading, who listens for stalls, and what wakes this actor when leases fell, someone left the line or an order
    /// was answered. They end with the actor.
    tasks: JoinSet<()>,
}

/// The governor's place in the tree and its handle. `configured` is the operator's limit, if any.
pub fn child(
    configured: Option<Bytes>,
    probe: Arc<dyn Probe>,
) -> (ChildSpec, Handle<MemoryGovernor>) {
    let config = GovernorConfig {
        limit: configured,
        ..GovernorConfig::default()
    };
    child_with(config, probe)
}

/// The governor's place in the tree and its handle.
pub fn child_with(
    config: GovernorConfig,
    probe: Arc<dyn Probe>,
) -> (ChildSpec, Handle<MemoryGovernor>) {
    let seed = GovernorSeed {
        book: Book::new(config.limit, config.poll.max(MIN_POLL)),
        probe,
    };
    ChildSpec::actor(CHILD_ID, MAILBOX, seed)
}

impl Actor for MemoryGovernor {
    type Args = Birth<Self, GovernorSeed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let Birth { seed, inbox, .. } = birth;
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_leases(seed.book.clone(), me.downgrade()));
        tasks.spawn(listening::listen(Arc::clone(&seed.probe), me.downgrade()));
        let mut governor = Self {
            inbox,
            seed,
            me: me.downgrade(),
            reads: Reads::default(),
            look_at: None,
            looked: None,
            told: false,
            tasks,
        };
        // Only the first life has to wait: nothing is lent before the machine was looked at once.
        if governor.seed.book.is_measured() {
            governor.read();
        } else {
            let look = look(Arc::clone(&governor.seed.probe)).await;
            governor.measured(look);
        }
        governor.settle();
        Ok(governor)
    }

    supervision::receive_from!(inbox, alarm);
}

/// Reads the machine's limits and use. A probe that panics has read nothing.
async fn look(probe: Arc<dyn Probe>) -> Look {
    let read = tokio::task::spawn_blocking(move || limit::measure(&*probe)).await;
    read.unwrap_or_else(|error| {
        tracing::error!(%error, "the memory probe crashed; the limits known before hold");
        Look::failed()
    })
}

impl MemoryGovernor {
    /// After each message: the gauges follow, and the alarm is set for what comes first, a look at the machine, the
    /// deadline of an order, or the end of someone's patience.
    fn settle(&mut self) {
        meters::show(&self.seed.book.totals());
        if self.seed.book.take_look() {
            let soon = Instant::now().checked_add(AFTER_RELIEF);
            self.look_at = self.look_at.into_iter().chain(soon).min();
        }
        let next = self.look_at.into_iter().chain(self.seed.book.deadline());
        self.inbox.set_alarm(next.min());
    }

    /// After each question, too: what is answered from may be old, so that the next answer is not.
    fn settle_asked(&mut self) {
        let is_old = |at: Instant| at.elapsed() >= self.seed.book.poll();
        if self.told && self.looked.is_some_and(is_old) {
            self.read();
        }
        self.settle();
    }

    /// Starts a reading beside the handlers, unless one runs.
    fn read(&mut self) {
        if !self.reads.begin() {
            return;
        }
        self.look_at = None;
        // Those that ended; or they would be kept for ever.
        while self.tasks.try_join_next().is_some() {}
        let (probe, me) = (Arc::clone(&self.seed.probe), self.me.clone());
        self.tasks.spawn(async move {
            let look = look(probe).await;
            if let Some(governor) = me.upgrade() {
                // Fails only when this life ends, and then nobody waits for it.
                let _ = governor.tell(Measured(look)).send().await;
            }
        });
    }

    fn measured(&mut self, look: Look) {
        self.seed.book.measured(look);
        self.looked = Some(Instant::now());
        // One that became due while this one was under way looks at what came after it.
        let due = self.look_at;
        self.look_later();
        self.look_at = self.look_at.into_iter().chain(due).min();
    }

    /// By the clock, unless the kernel tells and there is nothing that has to be followed. It counts from the last look,
    /// so that whoever calls this again puts nothing off.
    fn look_later(&mut self) {
        if self.reads.is_running() {
            return;
        }
        let poll = self.seed.book.poll();
        let next = self.looked.and_then(|at| at.checked_add(poll));
        self.look_at = next.filter(|_| !self.told || !self.seed.book.is_calm());
    }
}

/// A reading is done.
struct Measured(Look);

impl Message<Measured> for MemoryGovernor {
    type Reply = ();

    async fn handle(&mut self, Measured(look): Measured, _: &mut Context<Self, ()>) {
        let (served, again) = self.reads.done();
        self.measured(look);
        if !served.is_empty() {
            let status = self.seed.book.status();
            for asker in served {
                asker.send(status.clone());
            }
        }
        if again {
            self.read();
        }
        self.settle();
    }
}

impl Message<AlarmDue> for MemoryGovernor {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, _: &mut Context<Self, ()>) {
        if self.look_at.is_some_and(|at| at <= Instant::now()) {
            self.read();
        }
        self.settle();
    }
}

/// Some leases were dropped or shrunk, someone left the line, or an order was answered, since the last look.
struct LeasesFell;

async fn watch_leases(book: Book, governor: WeakActorRef<MemoryGovernor>) {
    loop {
        book.fallen().await;
        let Some(governor) = governor.upgrade() else {
            return;
        };
        if governor.tell(LeasesFell).send().await.is_err() {
            return;
        }
    }
}

impl Message<LeasesFell> for MemoryGovernor {
    type Reply = ();

    async fn handle(&mut self, _: LeasesFell, _: &mut Context<Self, ()>) {
        self.settle();
    }
}

impl Message<Enlist> for MemoryGovernor {
    type Reply = Result<(), EnlistError>;

    async fn handle(&mut self, wish: Enlist, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let answer = self.seed.book.enlist(wish);
        self.settle();
        answer
    }
}

impl Message<SetLimit> for MemoryGovernor {
    type Reply = DelegatedReply<LedgerStatus>;

    async fn handle(
        &mut self,
        wish: SetLimit,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        self.seed.book.configure(wish.bytes);
        let (delegated, asker) = ctx.reply_sender();
        if let Some(Err(asker)) = asker.map(|asker| self.reads.join(asker)) {
            asker.send(self.seed.book.status());
        }
        self.read();
        self.settle();
        delegated
    }
}

impl Message<SetPoll> for MemoryGovernor {
    type Reply = Result<(), PollError>;

    async fn handle(
        &mut self,
        SetPoll { poll }: SetPoll,
        _: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        if poll < MIN_POLL {
            return Err(PollError { poll });
        }
        self.seed.book.set_poll(poll);
        // A look that is due earlier than that stays: it may be someone's.
        let next = self.looked.and_then(|at| at.checked_add(poll));
        self.look_at = self.look_at.map(|at| next.unwrap_or(at).min(at));
        self.settle();
        Ok(())
    }
}

impl Message<Status> for MemoryGovernor {
    type Reply = LedgerStatus;

    async fn handle(&mut self, _: Status, _: &mut Context<Self, LedgerStatus>) -> LedgerStatus {
        self.settle_asked();
        self.seed.book.status()
    }
}

impl Message<WatchPressure> for MemoryGovernor {
    type Reply = Result<watch::Receiver<Pressure>, Infallible>;

    async fn handle(
        &mut self,
        _: WatchPressure,
        _: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        Ok(self.seed.book.subscribe())
    }
}

impl Message<Why> for MemoryGovernor {
    type Reply = Reasons;

    async fn handle(&mut self, _: Why, _: &mut Context<Self, Reasons>) -> Reasons {
        self.settle_asked();
        self.seed.book.why()
    }
}
