//! Shell: the bytes someone holds, given back by being dropped; whoever watches the book is woken by it.
//!
//! A lease tells the book nothing itself: the book holds a weak reference to each lease, strikes out those that are
//! gone and writes down what the others have given back. So dropping or shrinking one is a count and a flag: it never
//! waits, never allocates, works in any thread and while the governor is restarting, and cannot be done twice.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use domain::Bytes;
use tokio::sync::Notify;

use crate::ledger::LeaseId;

/// Bytes that are taken until this is dropped. It cannot be cloned: who shares one, shares it in an `Arc`.
pub struct Lease {
    id: LeaseId,
    /// What is held; it only falls. `None` only within `drop`, so that the count falls before the governor is told to
    /// look.
    held: Option<Arc<AtomicU64>>,
    fell: Arc<Notify>,
}

/// What the book keeps of a lease.
pub(crate) struct Holder(Weak<AtomicU64>);

impl Holder {
    /// What is held now; `None` once the lease was dropped.
    pub(crate) fn held(&self) -> Option<Bytes> {
        // The count this takes for a moment is no lease: the book asks under its lock, and whoever dropped the lease
        // meanwhile has rung.
        let held = self.0.upgrade()?;
        Some(Bytes(held.load(Ordering::Acquire)))
    }
}

impl Lease {
    /// The holder's part, and what the book keeps of it.
    pub(crate) fn new(id: LeaseId, bytes: Bytes, fell: Arc<Notify>) -> (Self, Holder) {
        let held = Arc::new(AtomicU64::new(bytes.0));
        let holder = Holder(Arc::downgrade(&held));
        let lease = Self {
            id,
            held: Some(held),
            fell,
        };
        (lease, holder)
    }

    /// Its identity.
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// Its size: what was leased, less what was given back.
    pub fn bytes(&self) -> Bytes {
        let held = self.held.as_ref();
        Bytes(held.map_or(0, |held| held.load(Ordering::Acquire)))
    }

    /// Gives back what is held beyond `bytes` and returns how much that was. A lease never grows: `bytes` at or above
    /// its size gives nothing back. At zero nothing is counted, and the lease stays listed until it is dropped.
    pub fn shrink_to(&self, bytes: Bytes) -> Bytes {
        let Some(held) = &self.held else {
            return Bytes::ZERO;
        };
        let before = Bytes(held.fetch_min(bytes.0, Ordering::AcqRel));
        let freed = before.saturating_sub(bytes);
        if freed > Bytes::ZERO {
            self.fell.notify_one();
        }
        freed
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.held = None;
        self.fell.notify_one();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({}, {})", self.id, self.bytes())
    }
}
