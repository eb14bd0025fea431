//! What comes to a lane by time alone: when it lets its model go, and when it ends.
//!
//! A step or a load that makes no progress is told after `step_budget`: those who wait go on waiting, and whoever leaves
//! is let go at once. After `step_limit` everyone fails, and requests are refused until the thread comes home. It keeps
//! its leases as long as it runs. When it does come home the engine goes on as if nothing had been, without the
//! sequences that left; a load nobody wants any more ends at its next tensor.
//!
//! Invariant: one alarm, set for what is next; none if nothing is, so that a lane with nothing due wakes nobody.

use tokio::time::Instant;

use super::{FAREWELL_MOST, Lane, Seat};
use crate::book::Pages;
use crate::meters::Meters;
use crate::underway::News;

impl Lane {
    /// Whether a model that is not in memory is to be loaded now: someone waits for it, or it is pinned.
    pub(super) fn wants_engine(&self, pages: &mut Pages, now: Instant) -> bool {
        pages.is_wanted() || (!self.inbox.is_stopping() && pages.may_load_unasked(now))
    }

    /// Sets the alarm for what comes by time, and closes the book if nothing will.
    pub(super) fn rest(&mut self, pages: &mut Pages, now: Instant) {
        let busy = pages.is_wanted() || self.preparing.is_some();
        let resident = matches!(self.seat, Seat::Home(_));
        let was_idle = pages.idle_since.is_some();
        pages.idle_since = match (resident, busy) {
            (true, false) => Some(pages.idle_since.unwrap_or(now)),
            _ => None,
        };
        if pages.idle_since.is_some() && !was_idle {
            self.parts.idle.notify_one();
        }
        let pinned = pages.is_pinned();
        let nobody = matches!(self.seat, Seat::Nobody);
        let retry_at = pages.load_unasked_at(now).filter(|_| nobody);
        pages.settle_breaker(now);
        let forget_at = pages.breaker.forget_at();
        let farewell_at = pages.has_farewells().then(|| {
            self.farewell_wait = (self.farewell_wait * 2).min(FAREWELL_MOST);
            now + self.farewell_wait
        });
        let look_at = pages.look_at().or_else(|| {
            // A load says itself when its thread begins; this is before.
            let loading = matches!(self.seat, Seat::Loading(_));
            now.checked_add(pages.budgets().budget).filter(|_| loading)
        });
        let next = [
            pages.expires_at(),
            retry_at,
            forget_at,
            farewell_at,
            look_at,
        ]
        .into_iter()
        .flatten()
        .min();
        self.inbox.set_alarm(next);
        if nobody && !busy {
            // Left over from before a crash, if nobody came back for it.
            pages.weights = None;
            pages.closed |= next.is_none() && !pinned;
        }
    }

    /// Whether the model has had nothing to do for `keep_alive`.
    pub(super) fn is_idle_for_long(&self, now: Instant) -> bool {
        let expires_at = self.book.pages().expires_at();
        expires_at.is_some_and(|at| at <= now)
    }

    /// Tells of a step or a load that has come to a stand.
    pub(super) fn look_underway(&mut self, now: Instant) {
        let mut pages = self.book.pages();
        let Some(news) = pages.look_underway(now) else {
            return;
        };
        let waiting = pages.queue.len() + pages.live.len();
        let open: Vec<u64> = pages.live.iter().map(|live| live.key).collect();
        pages.guard_farewells(|id| self.inbox.work(id.as_str()));
        drop(pages);
        self.guards.retain(|key, _| open.contains(key));
        let model = &self.parts.model;
        match news {
            News::Stuck(elapsed) => {
                self.meters.iter().for_each(Meters::stuck);
                tracing::warn!(%model, ?elapsed, waiting, "its engine or its load makes no progress");
            }
            News::GivenUp(elapsed) => {
                tracing::error!(%model, ?elapsed, "given up: requests are refused until its thread comes home");
            }
        }
    }

    /// It was not lost.
    pub(super) fn come_round(&self, pages: &mut Pages, now: Instant) {
        let underway = pages.underway.take();
        if let Some(elapsed) = underway.and_then(|underway| underway.stuck_for(now)) {
            tracing::warn!(model = %self.parts.model, ?elapsed, "its engine makes progress again");
        }
    }
}
