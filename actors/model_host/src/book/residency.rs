//! How long the model stays in memory with nothing to do.
//!
//! The last accepted request's wish holds, in whatever life of the lane; where it had none, the configured time does.
//! Nothing here waits.

use domain::KeepAlive;
use tokio::time::Instant;

use super::Pages;

impl Pages {
    /// What holds now.
    pub(crate) fn keep_alive(&self) -> KeepAlive {
        self.keep_alive.unwrap_or_else(|| self.limits().keep_alive)
    }

    /// When the model is let go; `None` while it has something to do, is not in memory, or is to stay.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        match self.keep_alive() {
            KeepAlive::For(time) if !self.is_pinned() => self.idle_since?.checked_add(time),
            KeepAlive::For(_) | KeepAlive::Forever => None,
        }
    }

    /// Whether it is to stay loaded whatever comes.
    pub(crate) fn is_pinned(&self) -> bool {
        self.pin.is_set()
    }
}
