//! Threads that help to compute a step: tasks of the runtime's blocking pool, there for that step alone. Between steps they are
//! tokio's idle threads, which sleep.

use std::num::NonZeroUsize;

use engine::helpers::{Helpers, Share};
use tokio::runtime::Handle;

use crate::Runtime;

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

impl BlockingHelpers {
    /// So many of this runtime: one for each of its workers if not said, and at most.
    pub fn of(runtime: &Runtime, threads: Option<usize>) -> Self {
        let workers = runtime.workers();
        let threads = threads.unwrap_or(workers).min(workers);
        let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
        Self::new(runtime.handle().clone(), threads)
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
