//! How far the weights are, why the last load failed, and what a lost engine leaves behind.
//!
//! Invariant: a failed load is heard by everyone who waits, at once. Nothing here waits.

use std::time::Duration;

use domain::{GenerationError, GenerationEvent};
use tokio::time::Instant;

use super::{Book, Pages};
use crate::breaker::What;

/// A pinned model for which there was no memory is tried again after this; one whose breaker is open not before it
/// may try. Reading a header and asking for bytes each half minute costs nothing.
const PIN_RETRY: Duration = Duration::from_secs(30);

/// How far the weights are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    Unloaded,
    Loading { fraction: f32 },
    Ready,
}

impl Book {
    /// Called from the loading thread for each part read. Returns whether it is still wanted.
    pub(crate) fn load_progress(&self, fraction: f32, now: Instant) -> bool {
        let mut pages = self.pages();
        if let Some(underway) = &mut pages.underway {
            underway.progress(now);
        }
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
        pages.is_awaited()
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
            self.fail(What::Load, &error.to_string(), now);
        }
        self.retry_at = Some(now + PIN_RETRY);
    }

    /// The engine is gone. Those it crashed on once too often fail, the others begin anew with the next engine.
    pub(crate) fn engine_lost(&mut self, reason: &str, now: Instant) {
        // Who hears of the crash twice, in this life and in the next, counts it once.
        let was_ready = std::mem::replace(&mut self.phase, Phase::Unloaded) == Phase::Ready;
        self.idle_since = None;
        self.underway = None;
        self.orphans.clear();
        let budget = self.rules.now().crash_budget;
        let mut lost = Vec::new();
        for live in &mut self.live {
            if let Some(crashes) = live.sequence.crashed(budget) {
                lost.push((live.key, crashes));
            }
            live.sequence.replay();
            live.open = false;
            live.begins = None;
        }
        self.claimed = None;
        drop(self.prefixes.clear());
        for (key, crashes) in lost {
            if let Some(live) = self.take_live(key) {
                let reason = reason.to_owned();
                let error = GenerationError::EngineCrashed { crashes, reason };
                self.part(live, GenerationEvent::Failed(error), now, None);
            }
        }
        if was_ready {
            self.fail(What::Answer, reason, now);
        }
    }
}
