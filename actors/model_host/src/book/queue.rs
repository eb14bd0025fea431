//! Those who wait for one model, in the order they came.
//!
//! Invariants: the queue is bounded; whoever leaves it without a seat hears one terminal event, or has gone. Nothing here
//! waits.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::{
    ContextPolicy, FinishReason, GenerationError, GenerationEvent, KeepAlive, Prompt, RequestId,
    Sampling, Tools, Usage,
};
use tokio::time::Instant;

use super::{Book, Pages};
use crate::config::retry_after;
use crate::messages::RequestStatus;
use crate::outlet::Outlet;

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
    pub(crate) tools: Tools,
}

/// A request on its way into the book.
pub(crate) struct Job {
    pub(crate) id: RequestId,
    pub(crate) wish: Wish,
    pub(crate) outlet: Outlet,
    pub(crate) keep_alive: Option<KeepAlive>,
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
    pub(super) id: RequestId,
    pub(super) outlet: Outlet,
    pub(super) since: Instant,
    position: usize,
}

impl Book {
    /// Accepts or refuses a request, at once.
    pub(crate) fn enqueue(&self, job: Job, now: Instant) -> Result<(), NotIn> {
        let mut pages = self.pages();
        if pages.closed {
            return Err(NotIn::Closed(Box::new(job)));
        }
        let given_up = pages.refuse_if_given_up(now);
        given_up.map_err(NotIn::Refused)?;
        pages.sweep_queue();
        let waiting = pages.queue.len();
        let limits = pages.limits();
        if waiting >= limits.queue {
            let wait = retry_after(waiting, limits.max_batch, pages.mean_answer);
            return Err(NotIn::Refused(GenerationError::Overloaded {
                waiting,
                retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            }));
        }
        let key = pages.next_key;
        pages.admit_by_breaker(key, now).map_err(NotIn::Refused)?;
        pages.next_key += 1;
        pages.idle_since = None;
        pages.keep_alive = job.keep_alive;
        let turn = job.outlet.turn();
        turn.in_scope(|| tracing::debug!(waiting, "accepted"));
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
}

impl Pages {
    /// Forgets those who wait and have gone.
    pub(crate) fn sweep_queue(&mut self) {
        self.queue.retain(|waiting| !waiting.outlet.is_gone());
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

    /// Those who wait and have not gone.
    pub(super) fn waiting(&self, now: Instant) -> impl Iterator<Item = RequestStatus> {
        let waiting = self.queue.iter().filter(|w| !w.outlet.is_gone());
        waiting.map(move |w| RequestStatus {
            id: w.id.clone(),
            answering: false,
            since: now.saturating_duration_since(w.since),
            generated: 0,
        })
    }

    /// Whether a request of that id waits and has not gone.
    pub(crate) fn waits(&self, id: &RequestId) -> bool {
        self.queue
            .iter()
            .any(|w| w.id == *id && !w.outlet.is_gone())
    }

    /// The model waits for memory, and so many are before it: so many are before each who waits for it, too.
    pub(crate) fn tell_line(&mut self, ahead: usize) {
        for (at, waiting) in self.queue.iter_mut().enumerate() {
            let position = ahead + at + 1;
            waiting.position = position;
            waiting
                .outlet
                .progress(GenerationEvent::Queued { position });
        }
    }

    /// The next question that wants a seat. Warm wishes do not; they are answered by the load itself.
    pub(crate) fn next_ask(&self) -> Option<(u64, Arc<Ask>, RequestId)> {
        self.queue.iter().find_map(|waiting| match &waiting.wish {
            Wish::Answer(ask) => Some((waiting.key, Arc::clone(ask), waiting.id.clone())),
            Wish::Warm => None,
        })
    }

    /// The span of whoever is first: what is done for all of them is done for this one.
    pub(crate) fn first_turn(&self) -> tracing::Span {
        let live = self.live.iter().map(|live| &live.outlet);
        let mut all = live.chain(self.queue.iter().map(|waiting| &waiting.outlet));
        let first = all.next();
        first.map_or_else(tracing::Span::none, |outlet| outlet.turn().clone())
    }

    /// The span of the turn that waits under that key.
    pub(crate) fn turn_of(&self, key: u64) -> tracing::Span {
        let waiting = self.queue.iter().find(|waiting| waiting.key == key);
        waiting.map_or_else(tracing::Span::none, |waiting| waiting.outlet.turn().clone())
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
            self.farewells.bid((id, outlet), event.clone(), now, None);
        }
        any
    }
}
