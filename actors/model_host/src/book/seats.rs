//! Those who are being answered: each with its sequence, its reader and its KV lease.
//!
//! Invariants: a live sequence holds its KV lease until it leaves, and its reader hears of the end after the lease is
//! back. Nothing here waits.

use std::sync::Arc;

use domain::{Bytes, GenerationError, GenerationEvent, RequestId};
use memory_governor::Lease;
use supervision::WorkGuard;
use tokio::time::Instant;

use super::Pages;
use crate::breaker::What;
use crate::kv::KvLeases;
use crate::live::Sequence;
use crate::messages::RequestStatus;
use crate::outlet::Outlet;
use crate::prefixes::Found;

/// Someone who is being answered.
pub(crate) struct Live {
    pub(crate) key: u64,
    pub(crate) id: RequestId,
    pub(crate) outlet: Outlet,
    pub(crate) sequence: Sequence,
    pub(crate) since: Instant,
    /// When its last token came home.
    pub(crate) last_token: Option<Instant>,
    /// Whether the present engine has it open.
    pub(crate) open: bool,
    /// Where it begins, until it is open.
    pub(crate) begins: Option<Found>,
    pub(super) cancelled: bool,
    pub(crate) kv: KvLeases,
}

impl Pages {
    /// Whether one more may become live.
    pub(crate) fn has_seat(&self) -> bool {
        self.live.len() < self.limits().max_batch && !self.farewells.is_full()
    }

    /// The leases an engine computes with: its weights', and those of all it may have open or has kept.
    pub(crate) fn leases(&self) -> Vec<Arc<Lease>> {
        let live = self.live.iter().map(|live| &live.kv);
        let kv = live.chain(self.prefixes.memory());
        let weights = self.weights.iter().cloned();
        weights.chain(kv.flat_map(KvLeases::leases)).collect()
    }

    /// Bytes leased for the KV memory of live sequences.
    pub(crate) fn kv_leased(&self) -> Bytes {
        self.live.iter().map(|live| live.kv.bytes()).sum()
    }

    /// Bytes leased for what is kept.
    pub(crate) fn kv_kept(&self) -> Bytes {
        self.prefixes.memory().map(KvLeases::bytes).sum()
    }

    /// The engine is home: whoever is open holds no more than its own memory. What it left out of a prefix that it took over
    /// was beside it only until it was open.
    pub(crate) fn shed(&mut self) {
        let Some(card) = &self.card else {
            return;
        };
        for live in self.live.iter_mut().filter(|live| live.open) {
            live.kv.shrink_to(card.kv_bytes(live.sequence.capacity()));
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

    /// Moves a request from the queue to the live ones. `false` if it is not in the queue any more.
    pub(crate) fn admit(
        &mut self,
        key: u64,
        sequence: Sequence,
        (kv, begins): (KvLeases, Option<Found>),
    ) -> bool {
        let Some(at) = self.queue.iter().position(|waiting| waiting.key == key) else {
            return false;
        };
        let Some(waiting) = self.queue.remove(at) else {
            return false;
        };
        let tokens = sequence.capacity();
        let turn = waiting.outlet.turn();
        turn.in_scope(|| tracing::debug!(tokens, "seated"));
        self.live.push(Live {
            key,
            id: waiting.id,
            outlet: waiting.outlet,
            sequence,
            since: waiting.since,
            last_token: None,
            open: false,
            begins,
            cancelled: false,
            kv,
        });
        true
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
            self.breaker.worked(What::Answer);
            // A mean that follows the last dozen answers.
            let took = now.saturating_duration_since(since);
            self.mean_answer = (self.mean_answer.saturating_mul(7) + took) / 8;
        }
        self.farewells.bid((id, outlet), event, now, guard);
    }

    /// Who is answered, then who waits.
    pub(crate) fn requests(&self, now: Instant) -> Vec<RequestStatus> {
        let live = self.live.iter().map(|live| RequestStatus {
            id: live.id.clone(),
            answering: true,
            since: now.saturating_duration_since(live.since),
            generated: live.sequence.usage().completion_tokens,
        });
        live.chain(self.waiting(now)).collect()
    }

    /// Fails every live sequence.
    pub(crate) fn fail_live(&mut self, error: &GenerationError, now: Instant) {
        for live in std::mem::take(&mut self.live) {
            self.part(live, GenerationEvent::Failed(error.clone()), now, None);
        }
    }
}
