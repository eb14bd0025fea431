//! Work that outlives a handler: while a guard lives, a graceful stop waits, and if it cannot, the report names it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// What is under way for one child, by label.
#[derive(Debug, Default)]
pub(crate) struct WorkLog {
    open: Mutex<(u64, BTreeMap<u64, String>)>,
    pub(crate) changed: Arc<Notify>,
}

impl WorkLog {
    pub(crate) fn begin(self: &Arc<Self>, label: String) -> WorkGuard {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.0 += 1;
        let id = open.0;
        open.1.insert(id, label);
        WorkGuard {
            id,
            log: self.clone(),
        }
    }

    pub(crate) fn labels(&self) -> Vec<String> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.1.values().cloned().collect()
    }

    pub(crate) fn is_idle(&self) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.1.is_empty()
    }
}

/// While it lives, a graceful stop of its child waits (to the child's deadline).
#[derive(Debug)]
#[must_use = "work ends when its guard is dropped"]
pub struct WorkGuard {
    id: u64,
    log: Arc<WorkLog>,
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        let mut open = self.log.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.1.remove(&self.id);
        drop(open);
        self.log.changed.notify_one();
    }
}
