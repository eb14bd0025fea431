//! Work that outlives a handler: while a guard lives, a graceful stop waits, and if it cannot, the report names it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What is under way for one child, by label. It lives under the lock of the child's place. Boxed when first used: most
/// children never have any.
#[derive(Debug, Default)]
pub(crate) struct WorkLog(Option<Box<Log>>);

#[derive(Debug, Default)]
struct Log {
    begun: u64,
    open: BTreeMap<u64, String>,
    /// What a kill interrupted; the guards of it are gone when the rest is counted.
    left: Vec<String>,
}

impl WorkLog {
    pub(crate) fn begin(&mut self, label: String) -> u64 {
        let log = self.0.get_or_insert_default();
        log.begun += 1;
        log.open.insert(log.begun, label);
        log.begun
    }

    pub(crate) fn end(&mut self, id: u64) {
        if let Some(log) = &mut self.0 {
            log.open.remove(&id);
        }
    }

    pub(crate) fn labels(&self) -> Vec<String> {
        let log = self.0.as_ref();
        log.map_or_else(Vec::new, |log| log.open.values().cloned().collect())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.0.as_ref().is_none_or(|log| log.open.is_empty())
    }

    /// A kill cuts this off, beside all work under way. The first kill of a life counts.
    pub(crate) fn cut_off(&mut self, interrupted: Option<String>) {
        if interrupted.is_none() && self.is_idle() {
            return;
        }
        let log = self.0.get_or_insert_default();
        if log.left.is_empty() {
            log.left.extend(interrupted);
            log.left.extend(log.open.values().cloned());
        }
    }

    pub(crate) fn take_left(&mut self) -> Vec<String> {
        let log = self.0.as_mut();
        log.map_or_else(Vec::new, |log| std::mem::take(&mut log.left))
    }

    pub(crate) fn forget_left(&mut self) {
        drop(self.take_left());
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
