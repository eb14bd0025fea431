//! What somebody was let in with: how long they may stay, and how much they may ask. Who gives it out is not known here.
//!
//! Invariant: nothing here waits, and nothing asks a disk: it is looked at with every question.

use std::time::Duration;

use room::Held;
use tokio::time::Instant;

/// What somebody was let in with.
pub trait Pass: Send + Sync {
    /// Whether they may still be here.
    fn is_valid(&self) -> bool;

    /// They ask for one more answer; what is returned is held until it has ended.
    ///
    /// # Errors
    /// [`TooMuch`]; then nothing was used up.
    fn ask(&self, now: Instant) -> Result<Option<Held>, TooMuch>;
}

/// They ask for more than they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// A word for programs.
    pub code: &'static str,
    /// For people: what is allowed, and when to come again.
    pub message: String,
    /// When to ask again.
    pub retry_after: Duration,
}

/// That of those who may stay, and ask as much as they like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Free;

impl Pass for Free {
    fn is_valid(&self) -> bool {
        true
    }

    fn ask(&self, _: Instant) -> Result<Option<Held>, TooMuch> {
        Ok(None)
    }
}
