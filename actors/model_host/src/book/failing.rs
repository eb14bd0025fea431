//! What the breaker does with the book: who is refused, who tries, and what becomes of those who are there when it opens.
//!
//! Invariant: whoever is let in to try is in the book, or its place is free. Nothing here waits.

use std::time::Duration;

use domain::GenerationError;
use tokio::time::Instant;

use super::{Pages, Phase};
use crate::breaker::What;

/// The load of a pinned model that nobody asked for: requests count from 1.
pub(crate) const PINNED: u64 = 0;

impl Pages {
    /// Lets a request in, or refuses it with the time to come again.
    pub(super) fn admit_by_breaker(
        &mut self,
        key: u64,
        now: Instant,
    ) -> Result<(), GenerationError> {
        self.settle_breaker(now);
        let admitted = self.breaker.admit(key, now);
        admitted.map_err(|retry_in| self.circuit_open(retry_in))
    }

    /// A probe that has left without success or failure gives its place to the next, and old failures are forgotten.
    pub(crate) fn settle_breaker(&mut self, now: Instant) {
        let (queue, live) = (&self.queue, &self.live);
        let is_loading = matches!(self.phase, Phase::Loading { .. });
        self.breaker.check_probe(|probe| {
            let waits = queue.iter().any(|w| w.key == probe && !w.outlet.is_gone());
            let lives = live.iter().any(|l| l.key == probe && !l.outlet.is_gone());
            waits || lives || (probe == PINNED && is_loading)
        });
        self.breaker.forget(now);
    }

    /// Whether a pinned model may be loaded now, though nobody waits for it.
    pub(crate) fn may_load_unasked(&mut self, now: Instant) -> bool {
        self.is_pinned()
            && self.retry_at.is_none_or(|at| at <= now)
            && self.admit_by_breaker(PINNED, now).is_ok()
    }

    /// When that may be.
    pub(crate) fn load_unasked_at(&self, now: Instant) -> Option<Instant> {
        let due = self
            .retry_at
            .into_iter()
            .chain(self.breaker.rests_until(now));
        due.max().filter(|at| self.is_pinned() && *at > now)
    }

    /// Writes a failure down. If the breaker opens, everyone in the book hears of it.
    pub(super) fn fail(&mut self, what: What, reason: &str, now: Instant) {
        let crashes = self.rules.now().breaker_crashes;
        if !self.breaker.failed(what, reason, crashes, now) {
            return;
        }
        let rest = self.breaker.rests_until(now);
        let rest = rest.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let error = self.circuit_open(rest);
        tracing::warn!(model = %self.model, %error, "its breaker opened");
        self.fail_waiting(now, |_| true, &error);
        self.fail_live(&error, now);
    }

    fn circuit_open(&self, retry_in: Duration) -> GenerationError {
        GenerationError::CircuitOpen {
            model: self.model.clone(),
            reason: self.breaker.last().1.to_owned(),
            // Whoever comes exactly then is not early.
            retry_after_ms: u64::try_from(retry_in.as_micros().div_ceil(1000)).unwrap_or(u64::MAX),
        }
    }
}
