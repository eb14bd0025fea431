//! How far the weights are, why the last load failed, and what a lost engine leaves behind.
//!
//! Invariant: a failed load is heard by everyone who waits, at once. Nothing here waits.

use std::time::Duration;

use domain::{GenerationError, GenerationEvent};
use tokio::time::Instant;

use super::{Book, Pages};
use crate::config::load_backoff;

/// A load that fails this long after the last backoff begins to count anew.
const FORGET_AFTER: Duration = Duration::from_mins(1);

/// A pinned model for which there was no memory is tried again after this; one whose file is bad not before its backoff
/// ends. Reading a header and asking for bytes each half minute costs nothing.
const PIN_RETRY: Duration = Duration::from_secs(30);

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

impl Book {
    /// Called from the loading thread for each part read. Returns whether it is still wanted.
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
        pages.is_pinned() || pages.outlets().any(|outlet| !outlet.is_gone())
    }
}

impl Pages {
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
        let tried_again = self.failure.as_ref().map_or(now, |failure| failure.until);
        self.retry_at = Some(tried_again.max(now + PIN_RETRY));
    }

    /// The engine is gone. Those it crashed on once too often fail, the others begin anew with the next engine.
    pub(crate) fn engine_lost(&mut self, reason: &str, now: Instant) {
        self.phase = Phase::Unloaded;
        self.idle_since = None;
        let budget = self.rules.now().crash_budget;
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
}
