//! Where a sequence begins: behind the longest beginning of its prompt that the engine has kept, or at the front.
//!
//! Between the moment a prompt is compared and the moment the engine opens its sequence, things go on: a prefix can be
//! swept, replaced or lost with the engine. Then the sequence begins at the front, and says the same.
//!
//! Invariants: at most one prefix is spoken for, by the one request that is being prepared; a sequence's leases are for all
//! the memory it may need, wherever it begins. Nothing here waits.

use cache_janitor::Goal;
use domain::Bytes;
use engine::TokenId;
use memory_governor::Lease;
use tokio::time::Instant;

use super::Pages;
use crate::kv::KvLeases;
use crate::prefixes::Found;

impl Pages {
    /// What the prompt may begin with. What its sequence would take over stays until [`Pages::unclaim`].
    pub(crate) fn claim(&mut self, prompt: &[TokenId]) -> Option<Found> {
        let found = self.prefixes.find(prompt)?;
        if found.takes_over && self.prefixes.hold(found.from.prefix) {
            self.claimed = Some(found.from.prefix);
        }
        Some(found)
    }

    /// Nobody is being prepared any more.
    pub(crate) fn unclaim(&mut self, now: Instant) {
        if let Some(prefix) = self.claimed.take() {
            self.prefixes.release(prefix, now);
        }
    }

    /// The leases of a sequence that begins as was found, and whether it still does. `None`: what it was to take over is
    /// gone, and the leases are too small without it.
    pub(crate) fn begin(
        &mut self,
        found: Option<Found>,
        kv: Option<Lease>,
        now: Instant,
    ) -> Option<(KvLeases, Option<Found>)> {
        let Some(found) = found else {
            return Some((KvLeases::default().with(kv), None));
        };
        let prefix = found.from.prefix;
        if found.takes_over {
            let kept = self.prefixes.take(prefix)?;
            return Some((kept.memory.with(kv), Some(found)));
        }
        let there = self.prefixes.touch(prefix, now);
        Some((KvLeases::default().with(kv), there.then_some(found)))
    }

    /// Drops what is kept until so many bytes will come back. Whether any will.
    pub(crate) fn make_room(&mut self, bytes: Bytes, now: Instant) -> bool {
        let goal = Goal { free: bytes };
        self.prefixes.sweep(now, goal).swept > 0 || self.prefixes.is_leaving()
    }

    /// Those who were to begin with a prefix that is gone begin at the front.
    pub(crate) fn check_beginnings(&mut self) {
        let gone =
            |found: &mut Found| !found.takes_over && !self.prefixes.contains(found.from.prefix);
        for live in self.live.iter_mut().filter(|live| !live.open) {
            if live.begins.take_if(gone).is_some() {
                live.sequence.replay();
            }
        }
    }
}
