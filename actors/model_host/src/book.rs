//! What a lane must not lose when it crashes: who waits, who is being answered, what is leased.
//!
//! The book lives in the lane's seed. The lane writes it; the host only puts requests in, marks them cancelled and reads
//! the figures, so that a request is accepted or refused at once even while the lane is being restarted. The supervisor
//! drops the seed when the lane is down for good, and dropping the book tells everyone still in it: no stream is
//! forgotten, whoever dies. `queue` is who waits, `seats` who is answered, `farewells` who has not taken the end yet,
//! `loading` how far the weights are, `residency` how long they stay.
//!
//! Invariants: the queue and the live sequences are bounded; whoever leaves the book hears exactly one terminal event
//! (or has gone); a live sequence holds its KV lease until it leaves. The lock is held for one handler's bookkeeping and
//! never across a wait.

mod beginnings;
mod failing;
mod farewells;
mod loading;
mod queue;
mod residency;
mod seats;
mod standing;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{GenerationError, GenerationEvent, KeepAlive, ModelName, RequestId};
use engine::{ModelCard, PrefixId};
use memory_governor::Lease;
use supervision::WorkGuard;
use tokio::time::Instant;

use crate::breaker::Breaker;
use crate::config::Limits;
use crate::kv::KvLeases;
use crate::messages::Totals;
use crate::outlet::Outlet;
use crate::pins::Pin;
use crate::prefixes::Prefixes;
use crate::roster::NAMES;
use crate::rules::Rules;
use crate::underway::Underway;
use farewells::Farewells;

pub(crate) use loading::Phase;
pub(crate) use queue::{Ask, Job, NotIn, Waiting, Wish};
pub(crate) use seats::Live;
pub(crate) use standing::Orphan;

/// The first guess at how long an answer takes, until one was given.
const FIRST_MEAN: Duration = Duration::from_secs(2);

/// One lane's book.
pub(crate) struct Book {
    pages: Mutex<Pages>,
}

/// What is written in it.
pub(crate) struct Pages {
    /// What it was first asked for as.
    model: ModelName,
    /// Its other names.
    aliases: Vec<ModelName>,
    rules: Rules,
    pub(crate) queue: VecDeque<Waiting>,
    pub(crate) live: Vec<Live>,
    farewells: Farewells,
    pub(crate) phase: Phase,
    pub(crate) card: Option<ModelCard>,
    pub(crate) weights: Option<Arc<Lease>>,
    pub(crate) breaker: Breaker,
    /// What the present engine has kept.
    pub(crate) prefixes: Prefixes<KvLeases>,
    /// The one that a request being prepared is to take over.
    claimed: Option<PrefixId>,
    /// On a blocking thread, in this life of the lane.
    pub(crate) underway: Option<Underway>,
    /// Sequences that left while the engine was away, which closes them when it is home: no more than it has open or kept.
    pub(crate) orphans: Vec<Orphan>,
    pub(crate) idle_since: Option<Instant>,
    /// What the last request wished.
    keep_alive: Option<KeepAlive>,
    pin: Pin,
    /// A pinned model that could not be loaded is tried again then.
    pub(crate) retry_at: Option<Instant>,
    pub(crate) crashes: u32,
    /// An engine crashed, and none has come home since.
    pub(crate) unrecovered: bool,
    pub(crate) totals: Totals,
    pub(crate) steps: u64,
    /// Sequences that left, so that "did memory come back since?" has an answer.
    pub(crate) ends: u64,
    pub(crate) closed: bool,
    next_key: u64,
    mean_answer: Duration,
}

impl Book {
    pub(crate) fn new(model: ModelName, rules: Rules, pin: Pin) -> Self {
        let pages = Pages {
            model,
            aliases: Vec::new(),
            rules,
            queue: VecDeque::new(),
            live: Vec::new(),
            farewells: Farewells::default(),
            phase: Phase::Unloaded,
            card: None,
            weights: None,
            breaker: Breaker::default(),
            prefixes: Prefixes::none(),
            claimed: None,
            underway: None,
            orphans: Vec::new(),
            idle_since: None,
            keep_alive: None,
            pin,
            retry_at: None,
            crashes: 0,
            unrecovered: false,
            totals: Totals::default(),
            steps: 0,
            ends: 0,
            closed: false,
            next_key: 1,
            mean_answer: FIRST_MEAN,
        };
        Self {
            pages: Mutex::new(pages),
        }
    }

    /// A panic while it was held crashed its lane; the next life begins with `recover`, so the pages are usable.
    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was asked for by this name, too. A lane remembers sixteen; names are the client's to invent.
    pub(crate) fn know_as(&self, name: &ModelName) {
        let mut pages = self.pages();
        if pages.model != *name && pages.aliases.len() < NAMES && !pages.aliases.contains(name) {
            pages.aliases.push(name.clone());
        }
    }

    /// Whether its lane is ending.
    pub(crate) fn is_closed(&self) -> bool {
        self.pages().closed
    }

    /// Closes the book if its lane is one nobody needs; the next request begins another.
    pub(crate) fn close_if_spare(&self) -> bool {
        let mut pages = self.pages();
        pages.closed |= pages.is_spare();
        pages.closed
    }
}

impl Pages {
    /// The limits that hold for it now.
    pub(crate) fn limits(&self) -> Limits {
        self.rules
            .now()
            .limits(std::iter::once(&self.model).chain(&self.aliases))
    }

    fn outlets(&mut self) -> impl Iterator<Item = &mut Outlet> {
        let waiting = self.queue.iter_mut().map(|w| &mut w.outlet);
        waiting.chain(self.live.iter_mut().map(|l| &mut l.outlet))
    }

    /// Whether there is anything to do with an engine.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.queue.is_empty() || !self.live.is_empty()
    }

    /// Whether a load is wanted: someone has not gone who needs it, or it is pinned.
    pub(crate) fn is_awaited(&mut self) -> bool {
        self.is_pinned() || self.outlets().any(|outlet| !outlet.is_gone())
    }

    /// Whether finished streams still wait for their readers.
    pub(crate) fn has_farewells(&self) -> bool {
        !self.farewells.is_empty()
    }

    /// Sends what there is room for now, and gives up on readers who take nothing.
    pub(crate) fn flush(&mut self, now: Instant) {
        for outlet in self.outlets() {
            outlet.flush();
        }
        self.farewells.flush(now);
    }

    /// Every farewell that has no guard yet gets one.
    pub(crate) fn guard_farewells(&mut self, guard: impl Fn(&RequestId) -> WorkGuard) {
        self.farewells.guard(guard);
    }

    /// Whether it holds no memory, and nobody waits or is answered: its lane lives on only to remember a failure.
    fn is_spare(&self) -> bool {
        let serves = self.is_wanted() || self.has_farewells();
        self.phase == Phase::Unloaded && !serves && !self.is_pinned()
    }
}

impl Drop for Book {
    /// The lane is down for good.
    fn drop(&mut self) {
        let pages = self.pages.get_mut().unwrap_or_else(PoisonError::into_inner);
        let part = format!("the lane of model {}", pages.model);
        let event = GenerationEvent::Failed(GenerationError::Unavailable {
            part,
            reason: "it was stopped before the answer was complete".to_owned(),
        });
        for outlet in pages.outlets() {
            // What does not fit in a reader's channel is lost with the lane; the reader's end says so.
            outlet.end(event.clone());
        }
        pages.farewells.flush_once_more();
        pages.pin.lost();
    }
}
