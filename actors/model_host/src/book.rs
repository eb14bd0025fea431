//! What a lane must not lose when it crashes: who waits, who is being answered, what is leased.
//!
//! The book lives in the lane's seed. The lane writes it; the host only puts requests in, marks them cancelled and reads
//! the figures, so that a request is accepted or refused at once even while the lane is being restarted. The supervisor
//! drops the seed when the lane is down for good, and dropping the book tells everyone still in it: no stream is
//! forgotten, whoever dies.
//!
//! Invariants: the queue and the live sequences are bounded; whoever leaves the book hears exactly one terminal event
//! (or has gone); a live sequence holds its KV lease until it leaves. The lock is held for one handler's bookkeeping and
//! never across a wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{
    ContextPolicy, FinishReason, GenerationError, GenerationEvent, ModelName, Prompt, RequestId,
    Sampling, Usage,
};
use engine::ModelCard;
use memory_governor::Lease;
use supervision::WorkGuard;
use tokio::time::Instant;

use crate::config::{HostConfig, load_backoff, retry_after};
use crate::live::Sequence;
use crate::outlet::Outlet;

/// A reader who takes nothing for this long after the end is taken for gone.
const FAREWELL: Duration = Duration::from_mins(5);
/// Finished streams whose readers have not taken everything. While there are this many, nobody new is admitted: a slow
/// reader costs others time, never memory without end.
pub(crate) const FAREWELLS: usize = 64;
/// A load that fails this long after the last backoff begins to count anew.
const FORGET_AFTER: Duration = Duration::from_mins(1);
/// The first guess at how long an answer takes, until one was given.
const FIRST_MEAN: Duration = Duration::from_secs(2);

/// What is wished for.
#[derive(Clone)]
pub(crate) enum Wish {
    Answer(Arc<Ask>),
    /// Only that the model be loaded.
    Warm,
}

/// A question as it was asked.
pub(crate) struct Ask {
    pub(crate) prompt: Prompt,
    pub(crate) sampling: Sampling,
    pub(crate) context: ContextPolicy,
}

/// A request on its way into the book.
pub(crate) struct Job {
    pub(crate) id: RequestId,
    pub(crate) wish: Wish,
    pub(crate) outlet: Outlet,
}

/// Why a request did not get in.
pub(crate) enum NotIn {
    /// This lane is ending: begin another.
    Closed(Box<Job>),
    Refused(GenerationError),
}

/// Someone who waits.
pub(crate) struct Waiting {
    pub(crate) key: u64,
    pub(crate) wish: Wish,
    id: RequestId,
    outlet: Outlet,
    since: Instant,
    position: usize,
}

/// Someone who is being answered.
pub(crate) struct Live {
    pub(crate) key: u64,
    pub(crate) id: RequestId,
    pub(crate) outlet: Outlet,
    pub(crate) sequence: Sequence,
    pub(crate) since: Instant,
    /// Whether the present engine has it open.
    pub(crate) open: bool,
    cancelled: bool,
    kv: Arc<Lease>,
}

/// A finished stream whose reader has not taken everything.
struct Farewell {
    id: RequestId,
    outlet: Outlet,
    until: Instant,
    /// A graceful stop waits for the reader, and names the request if it cannot.
    guard: Option<WorkGuard>,
}

/// How far the weights are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    Unloaded,
    Loading { fraction: f32 },
    Ready,
}

/// The last load failed.
pub(crate) struct Failure {
    pub(crate) error: GenerationError,
    /// Until then it is not tried again.
    pub(crate) until: Instant,
    /// Until then it counts: a failure soon after this one is one more in a row.
    pub(crate) forget_at: Instant,
    failures: u32,
}

/// One lane's book.
pub(crate) struct Book {
    model: ModelName,
    pages: Mutex<Pages>,
}

/// What is written in it.
pub(crate) struct Pages {
    config: Arc<HostConfig>,
    pub(crate) queue: VecDeque<Waiting>,
    pub(crate) live: Vec<Live>,
    farewells: Vec<Farewell>,
    pub(crate) phase: Phase,
    pub(crate) card: Option<ModelCard>,
    pub(crate) weights: Option<Arc<Lease>>,
    pub(crate) failure: Option<Failure>,
    pub(crate) idle_since: Option<Instant>,
    pub(crate) crashes: u32,
    pub(crate) steps: u64,
    /// Sequences that left, so that "did memory come back since?" has an answer.
    pub(crate) ends: u64,
    pub(crate) closed: bool,
    next_key: u64,
    mean_answer: Duration,
}

impl Book {
    pub(crate) fn new(model: ModelName, config: Arc<HostConfig>) -> Self {
        let pages = Pages {
            config,
            queue: VecDeque::new(),
            live: Vec::new(),
            farewells: Vec::new(),
            phase: Phase::Unloaded,
            card: None,
            weights: None,
            failure: None,
            idle_since: None,
            crashes: 0,
            steps: 0,
            ends: 0,
            closed: false,
            next_key: 1,
            mean_answer: FIRST_MEAN,
        };
        Self {
            model,
            pages: Mutex::new(pages),
        }
    }

    /// A panic while it was held crashed its lane; the next life begins with `recover`, so the pages are usable.
    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts or refuses a request, at once.
    pub(crate) fn enqueue(&self, job: Job, now: Instant) -> Result<(), NotIn> {
        let mut pages = self.pages();
        if pages.closed {
            return Err(NotIn::Closed(Box::new(job)));
        }
        if let Some(failure) = pages.failure.as_ref().filter(|f| f.until > now) {
            return Err(NotIn::Refused(failure.error.clone()));
        }
        pages.sweep_queue();
        let waiting = pages.queue.len();
        if waiting >= pages.config.queue.max(1) {
            let wait = retry_after(waiting, pages.config.max_batch, pages.mean_answer);
            return Err(NotIn::Refused(GenerationError::Overloaded {
                waiting,
                retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            }));
        }
        let key = pages.next_key;
        pages.next_key += 1;
        pages.idle_since = None;
        pages.queue.push_back(Waiting {
            key,
            wish: job.wish,
            id: job.id,
            outlet: job.outlet,
            since: now,
            position: 0,
        });
        Ok(())
    }

    /// Cancels the requests of that id; those in the batch leave it at the end of the present step.
    pub(crate) fn cancel(&self, id: &RequestId, now: Instant) -> bool {
        let mut pages = self.pages();
        let mut found = false;
        for live in pages.live.iter_mut().filter(|live| live.id == *id) {
            live.cancelled = true;
            found = true;
        }
        found | pages.fail_waiting(now, |w| w.id == *id, &GenerationError::Cancelled)
    }

    /// Closes the book if its lane is one nobody needs; the next request begins another.
    pub(crate) fn close_if_spare(&self) -> bool {
        let mut pages = self.pages();
        pages.closed |= pages.is_spare();
        pages.closed
    }

    /// Called from the loading thread for each part read. Returns whether anyone still waits for it.
    pub(crate) fn load_progress(&self, fraction: f32) -> bool {
        let mut pages = self.pages();
        let before = match pages.phase {
            Phase::Loading { fraction } => fraction,
            Phase::Unloaded | Phase::Ready => -1.0,
        };
        pages.phase = Phase::Loading { fraction };
        // A hundred events are a smooth bar; a tensor each would be thousands.
        if fraction - before >= 0.01 || fraction <= 0.0 {
            let event = GenerationEvent::Loading { fraction };
            for outlet in pages.outlets() {
                outlet.progress(event.clone());
            }
        }
        pages.outlets().any(|outlet| !outlet.is_gone())
    }
}

impl Pages {
    fn outlets(&mut self) -> impl Iterator<Item = &mut Outlet> {
        let waiting = self.queue.iter_mut().map(|w| &mut w.outlet);
        waiting.chain(self.live.iter_mut().map(|l| &mut l.outlet))
    }

    /// Whether there is anything to do with an engine.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.queue.is_empty() || !self.live.is_empty()
    }

    /// Whether finished streams still wait for their readers.
    pub(crate) fn has_farewells(&self) -> bool {
        !self.farewells.is_empty()
    }

    /// Whether one more may become live.
    pub(crate) fn has_seat(&self) -> bool {
        self.live.len() < self.config.max_batch.max(1) && self.farewells.len() < FAREWELLS
    }

    /// Forgets those who wait and have gone.
    pub(crate) fn sweep_queue(&mut self) {
        self.queue.retain(|waiting| !waiting.outlet.is_gone());
    }

    /// Sends what there is room for now, and gives up on readers who take nothing.
    pub(crate) fn flush(&mut self, now: Instant) {
        for outlet in self.outlets() {
            outlet.flush();
        }
        self.farewells
            .retain_mut(|farewell| farewell.until > now && farewell.outlet.flush());
    }

    /// Every farewell that has no guard yet gets one.
    pub(crate) fn guard_farewells(&mut self, guard: impl Fn(&RequestId) -> WorkGuard) {
        for farewell in &mut self.farewells {
            farewell.guard.get_or_insert_with(|| guard(&farewell.id));
        }
    }

    /// The leases an engine computes with: its weights', and those of all it may have open.
    pub(crate) fn leases(&self) -> Vec<Arc<Lease>> {
        let kv = self.live.iter().map(|live| Arc::clone(&live.kv));
        self.weights.iter().cloned().chain(kv).collect()
    }

    /// Whether it holds no memory, and nobody waits or is answered: its lane lives on only to remember a failure.
    fn is_spare(&self) -> bool {
        self.phase == Phase::Unloaded && !self.is_wanted() && !self.has_farewells()
    }

    /// Tells those who wait their place, if it changed; the one who is about to be admitted waits for nobody.
    pub(crate) fn tell_positions(&mut self, about_to_be: Option<u64>) {
        for (at, waiting) in self.queue.iter_mut().enumerate() {
            let position = at + 1;
            if waiting.position != position && about_to_be != Some(waiting.key) {
                waiting.position = position;
                waiting
                    .outlet
                    .progress(GenerationEvent::Queued { position });
            }
        }
    }

    /// Takes out the live sequences that were cancelled or whose reader has gone.
    pub(crate) fn take_unwanted(&mut self) -> Vec<Live> {
        self.live
            .extract_if(.., |live| live.cancelled || live.outlet.is_gone())
            .collect()
    }

    /// Takes out one live sequence.
    pub(crate) fn take_live(&mut self, key: u64) -> Option<Live> {
        let at = self.live.iter().position(|live| live.key == key)?;
        Some(self.live.remove(at))
    }

    /// The next question that wants a seat. Warm wishes do not; they are answered by the load itself.
    pub(crate) fn next_ask(&self) -> Option<(u64, Arc<Ask>, RequestId)> {
        self.queue.iter().find_map(|waiting| match &waiting.wish {
            Wish::Answer(ask) => Some((waiting.key, Arc::clone(ask), waiting.id.clone())),
            Wish::Warm => None,
        })
    }

    /// Moves a request from the queue to the live ones. `false` if it is not in the queue any more.
    pub(crate) fn admit(&mut self, key: u64, sequence: Sequence, kv: Lease) -> bool {
        let Some(at) = self.queue.iter().position(|waiting| waiting.key == key) else {
            return false;
        };
        let Some(waiting) = self.queue.remove(at) else {
            return false;
        };
        self.live.push(Live {
            key,
            id: waiting.id,
            outlet: waiting.outlet,
            sequence,
            since: waiting.since,
            open: false,
            cancelled: false,
            kv: Arc::new(kv),
        });
        true
    }

    /// The model is there: those who wished only that are served.
    pub(crate) fn answer_warm(&mut self, now: Instant) {
        let event = GenerationEvent::Finished {
            reason: FinishReason::Stop,
            usage: Usage::default(),
        };
        self.end_waiting(now, |w| matches!(w.wish, Wish::Warm), &event);
    }

    /// Fails those who wait and are `meant`. Whether there was any.
    pub(crate) fn fail_waiting(
        &mut self,
        now: Instant,
        meant: impl Fn(&Waiting) -> bool,
        error: &GenerationError,
    ) -> bool {
        self.end_waiting(now, meant, &GenerationEvent::Failed(error.clone()))
    }

    fn end_waiting(
        &mut self,
        now: Instant,
        meant: impl Fn(&Waiting) -> bool,
        event: &GenerationEvent,
    ) -> bool {
        let all = std::mem::take(&mut self.queue);
        let (leaving, staying): (VecDeque<_>, _) = all.into_iter().partition(meant);
        self.queue = staying;
        let any = !leaving.is_empty();
        for waiting in leaving {
            let Waiting { id, outlet, .. } = waiting;
            self.bid_farewell((id, outlet), event.clone(), now, None);
        }
        any
    }

    /// A live sequence leaves. Its memory comes back before its reader hears of the end.
    pub(crate) fn part(
        &mut self,
        live: Live,
        event: GenerationEvent,
        now: Instant,
        guard: Option<WorkGuard>,
    ) {
        let Live {
            id,
            outlet,
            kv,
            since,
            ..
        } = live;
        drop(kv);
        self.ends += 1;
        if matches!(event, GenerationEvent::Finished { .. }) {
            // A mean that follows the last dozen answers.
            let took = now.saturating_duration_since(since);
            self.mean_answer = (self.mean_answer.saturating_mul(7) + took) / 8;
        }
        self.bid_farewell((id, outlet), event, now, guard);
    }

    /// Fails every live sequence.
    pub(crate) fn fail_live(&mut self, error: &GenerationError, now: Instant) {
        for live in std::mem::take(&mut self.live) {
            self.part(live, GenerationEvent::Failed(error.clone()), now, None);
        }
    }

    fn bid_farewell(
        &mut self,
        (id, mut outlet): (RequestId, Outlet),
        event: GenerationEvent,
        now: Instant,
        guard: Option<WorkGuard>,
    ) {
        if outlet.end(event) {
            self.farewells.push(Farewell {
                id,
                outlet,
                until: now + FAREWELL,
                guard,
            });
        }
    }

    /// The engine is gone. Those it crashed on once too often fail, the others begin anew with the next engine.
    pub(crate) fn engine_lost(&mut self, reason: &str, now: Instant) {
        self.phase = Phase::Unloaded;
        self.idle_since = None;
        let budget = self.config.crash_budget;
        let mut lost = Vec::new();
        for live in &mut self.live {
            if let Some(crashes) = live.sequence.crashed(budget) {
                lost.push((live.key, crashes));
            }
            live.sequence.replay();
            live.open = false;
        }
        for (key, crashes) in lost {
            if let Some(live) = self.take_live(key) {
                let reason = reason.to_owned();
                let error = GenerationError::EngineCrashed { crashes, reason };
                self.part(live, GenerationEvent::Failed(error), now, None);
            }
        }
    }

    /// The load failed for everyone. A fault of the model is remembered for a while; want of memory is not, because it
    /// costs little to ask again.
    pub(crate) fn load_failed(&mut self, error: &GenerationError, now: Instant) {
        self.phase = Phase::Unloaded;
        self.weights = None;
        self.fail_waiting(now, |_| true, error);
        self.fail_live(error, now);
        if matches!(error, GenerationError::LoadFailed { .. }) {
            let failures = self.failure.as_ref().map_or(0, |f| f.failures) + 1;
            let until = now + load_backoff(failures);
            self.failure = Some(Failure {
                error: error.clone(),
                until,
                forget_at: until + FORGET_AFTER,
                failures,
            });
        }
    }

    /// Bytes leased for KV memory.
    pub(crate) fn kv_leased(&self) -> domain::Bytes {
        self.live.iter().map(|live| live.kv.bytes()).sum()
    }
}

impl Drop for Book {
    /// The lane is down for good.
    fn drop(&mut self) {
        let part = format!("the lane of model {}", self.model);
        let pages = self.pages.get_mut().unwrap_or_else(PoisonError::into_inner);
        let event = GenerationEvent::Failed(GenerationError::Unavailable {
            part,
            reason: "it was stopped before the answer was complete".to_owned(),
        });
        for outlet in pages.outlets() {
            // What does not fit in a reader's channel is lost with the lane; the reader's end says so.
            outlet.end(event.clone());
        }
        for farewell in &mut pages.farewells {
            farewell.outlet.flush();
        }
    }
}
