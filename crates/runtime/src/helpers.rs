//! Threads that help to compute a step: tasks of the runtime's blocking pool, there for that step alone. Between steps they are
//! tokio's idle threads, which sleep.

use std::num::NonZeroUsize;

use engine::helpers::{Helpers, Share};
use tokio::runtime::Handle;

/// Helpers from the blocking pool of one runtime.
#[derive(Clone, Debug)]
pub struct BlockingHelpers {
    handle: Handle,
    threads: NonZeroUsize,
}

impl BlockingHelpers {
    /// So many threads for a step, the one that runs it included.
    pub fn new(handle: Handle, threads: NonZeroUsize) -> Self {
        Self { handle, threads }
    }
}

impl Helpers for BlockingHelpers {
    fn threads(&self) -> usize {
        self.threads.get()
    }

    fn call(&self, share: Share) {
        for _ in 1..self.threads.get() {
            let share = Share::clone(&share);
            // Whoever called does not wait for it, and hears of its panic from it.
            drop(self.handle.spawn_blocking(move || share()));
        }
    }
}
