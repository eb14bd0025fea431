//! Work that outlives a handler: while a guard lives, a graceful stop waits, and if it cannot, the report names it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What is under way for one child, by label. It lives under the lock of the child's place.
#[derive(Debug, Default)]
pub(crate) struct WorkLog {
    begun: u64,
    open: BTreeMap<u64, String>,
}

impl WorkLog {
    pub(crate) fn begin(&mut self, label: String) -> u64 {
        self.begun += 1;
        self.open.insert(self.begun, label);
        self.begun
    }

    pub(crate) fn end(&mut self, id: u64) {
        self.open.remove(&id);
    }

    pub(crate) fn labels(&self) -> Vec<String> {
        self.open.values().cloned().collect()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }
}

/// Where work is done: the place of a child.
pub(crate) trait Workplace: Send + Sync {
    /// Takes it off the log and wakes who waits for that.
    fn work_ended(&self, id: u64);
}

/// While it lives, a graceful stop of its child waits (to the child's deadline).
#[must_use = "work ends when its guard is dropped"]
pub struct WorkGuard {
    id: u64,
    at: Arc<dyn Workplace>,
}

impl WorkGuard {
    pub(crate) fn new(id: u64, at: Arc<dyn Workplace>) -> Self {
        Self { id, at }
    }
}

impl fmt::Debug for WorkGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkGuard({})", self.id)
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        self.at.work_ended(self.id);
    }
}
