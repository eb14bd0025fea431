//! Threads that help to compute a step: tasks of the runtime's blocking pool, there as long as somebody calls. Between steps they
//! are tokio's idle threads, which sleep.
//!
//! ```text
//!  one model ── call ──┐                 ┌── helper: share, next share … none left ──> back to the pool
//!  another ──── call ──┼──> calls ───────┤
//!  a load ───── call ──┘                 └── helper
//! ```
//!
//! Invariants: never more helpers at once than the runtime lends, whoever calls; while there is a call, a helper that is done
//! takes it, so that none is missed because the step before it has only just ended.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::helpers::{Helpers, Share};
use tokio::runtime::Handle;

use crate::Runtime;

/// Calls that wait for a helper, at most. Of more the oldest whose share nobody holds any more is forgotten, for its step is
/// over; each who calls holds a blocking thread, of which there are fewer that compute, so there is one.
const MOST_CALLS: usize = 8;

/// Helpers from the blocking pool of one runtime.
#[derive(Clone, Debug)]
pub struct BlockingHelpers {
    handle: Handle,
    threads: NonZeroUsize,
    lender: Arc<Lender>,
}

impl BlockingHelpers {
    /// So many threads for a step, the one that runs it included; lent to nobody else.
    pub fn new(handle: Handle, threads: NonZeroUsize) -> Self {
        let lender = Arc::new(Lender::new(threads.get() - 1));
        Self {
            handle,
            threads,
            lender,
        }
    }

    /// So many of this runtime: one for each of its workers if not said, and at most. All who ask the same runtime share them:
    /// it lends one less than it has workers, to all together.
    pub fn of(runtime: &Runtime, threads: Option<usize>) -> Self {
        let workers = runtime.workers();
        let threads = threads.unwrap_or(workers).min(workers);
        Self {
            handle: runtime.handle().clone(),
            threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
            lender: Arc::clone(runtime.lender()),
        }
    }
}

impl Helpers for BlockingHelpers {
    fn threads(&self) -> usize {
        self.threads.get()
    }

    fn call(&self, share: Share) {
        for helper in Lender::call(&self.lender, share, self.threads.get() - 1) {
            // Whoever called does not wait for it, and hears of its panic from its share.
            drop(self.handle.spawn_blocking(move || helper.help()));
        }
    }
}

/// Who lends helpers, to all that compute on one runtime.
pub(crate) struct Lender {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Helpers that are on their way or at work.
    lent: usize,
    /// What is to be done, oldest first.
    calls: VecDeque<Call>,
}

struct Call {
    share: Share,
    /// How many more may take it; from 1.
    helpers: usize,
}

impl fmt::Debug for Lender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lender")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl Lender {
    /// At most so many helpers at once.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            state: Mutex::default(),
        }
    }

    /// No code of others runs under it, so it is sound whoever panicked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that so many may run the share; who is to be sent for it, beside those that are there.
    fn call(this: &Arc<Self>, share: Share, helpers: usize) -> Vec<Helper> {
        if helpers == 0 || this.most == 0 {
            return Vec::new();
        }
        let mut state = this.state();
        let forgotten = if state.calls.len() == MOST_CALLS {
            let over = |call: &Call| Arc::strong_count(&call.share) == 1;
            let oldest = state.calls.iter().position(over).unwrap_or(0);
            state.calls.remove(oldest)
        } else {
            None
        };
        state.calls.push_back(Call { share, helpers });
        let sent = helpers.min(this.most - state.lent);
        state.lent += sent;
        drop(state);
        // What the share holds ends here, outside the lock.
        drop(forgotten);
        let helper = || Helper {
            lender: Arc::clone(this),
            is_lent: true,
        };
        std::iter::repeat_with(helper).take(sent).collect()
    }
}

/// One that was lent. However it ends, it may be lent again.
struct Helper {
    lender: Arc<Lender>,
    is_lent: bool,
}

impl Helper {
    fn help(mut self) {
        while let Some(share) = self.next() {
            // It was told of already, and those that compute with it know.
            drop(catch_unwind(AssertUnwindSafe(|| share())));
        }
    }

    /// What to do next; it is lent no more if there is nothing.
    fn next(&mut self) -> Option<Share> {
        let mut state = self.lender.state();
        let Some(call) = state.calls.front_mut() else {
            state.lent -= 1;
            self.is_lent = false;
            return None;
        };
        call.helpers -= 1;
        if call.helpers > 0 {
            return Some(Share::clone(&call.share));
        }
        state.calls.pop_front().map(|call| call.share)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if self.is_lent {
            self.lender.state().lent -= 1;
        }
    }
}

#[cfg(test)]
#[path = "helpers_tests.rs"]
mod tests;
