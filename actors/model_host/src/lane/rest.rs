//! What comes to a lane by time alone: when it lets its model go, and when it ends.
//!
//! Invariant: one alarm, set for what is next; none if nothing is, so that a lane with nothing due wakes nobody.

use tokio::time::Instant;

use super::{FAREWELL_MOST, Lane, Seat};
use crate::book::Pages;

impl Lane {
    /// Whether a model that is not in memory is to be loaded now: someone waits for it, or it is pinned.
    pub(super) fn wants_engine(&self, pages: &mut Pages, now: Instant) -> bool {
        pages.is_wanted() || (!self.inbox.is_stopping() && pages.may_load_unasked(now))
    }

    /// Sets the alarm for what comes by time, and closes the book if nothing will.
    pub(super) fn rest(&mut self, pages: &mut Pages, now: Instant) {
        let busy = pages.is_wanted() || self.preparing.is_some();
        let resident = matches!(self.seat, Seat::Home(_));
        pages.idle_since = match (resident, busy) {
            (true, false) => Some(pages.idle_since.unwrap_or(now)),
            _ => None,
        };
        let pinned = pages.is_pinned();
        let nobody = matches!(self.seat, Seat::Nobody);
        let retry_at = pages.load_unasked_at(now).filter(|_| nobody);
        pages.settle_breaker(now);
        let forget_at = pages.breaker.forget_at();
        let farewell_at = pages.has_farewells().then(|| {
            self.farewell_wait = (self.farewell_wait * 2).min(FAREWELL_MOST);
            now + self.farewell_wait
        });
        let next = [pages.expires_at(), retry_at, forget_at, farewell_at]
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
}
