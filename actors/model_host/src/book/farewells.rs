//! Finished streams whose readers have not taken everything.
//!
//! Invariants: who is here has an end to deliver and nothing to compute; a reader who takes nothing is given up in the
//! end. Nothing here waits.

use std::time::Duration;

use domain::{GenerationEvent, RequestId};
use supervision::WorkGuard;
use tokio::time::Instant;

use crate::outlet::Outlet;

/// A reader who takes nothing for this long after the end is taken for gone.
const FAREWELL: Duration = Duration::from_mins(5);
/// While there are this many, nobody new is admitted: a slow reader costs others time, never memory without end.
const FAREWELLS: usize = 64;

struct Farewell {
    id: RequestId,
    outlet: Outlet,
    until: Instant,
    /// A graceful stop waits for the reader, and names the request if it cannot.
    guard: Option<WorkGuard>,
}

/// One lane's farewells.
#[derive(Default)]
pub(super) struct Farewells(Vec<Farewell>);

impl Farewells {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there may be no more live sequences for a while.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= FAREWELLS
    }

    /// Says the end; keeps what the reader has no room for yet.
    pub(super) fn bid(
        &mut self,
        (id, mut outlet): (RequestId, Outlet),
        event: GenerationEvent,
        now: Instant,
        guard: Option<WorkGuard>,
    ) {
        if outlet.end(event) {
            self.0.push(Farewell {
                id,
                outlet,
                until: now + FAREWELL,
                guard,
            });
        }
    }

    /// Sends what there is room for now, and gives up on readers who take nothing.
    pub(super) fn flush(&mut self, now: Instant) {
        self.0
            .retain_mut(|farewell| farewell.until > now && farewell.outlet.flush());
    }

    /// Every farewell that has no guard yet gets one.
    pub(super) fn guard(&mut self, guard: impl Fn(&RequestId) -> WorkGuard) {
        for farewell in &mut self.0 {
            farewell.guard.get_or_insert_with(|| guard(&farewell.id));
        }
    }

    /// The last try: the lane is down for good.
    pub(super) fn flush_once_more(&mut self) {
        for farewell in &mut self.0 {
            farewell.outlet.flush();
        }
    }
}
