//! Shell: the bytes someone holds, given back by being dropped; whoever watches the book is woken by it.
//!
//! A lease tells the book nothing itself: the book holds a weak reference to each lease and strikes out those that are
//! gone. So dropping one is a reference count and a flag: it never waits, never allocates, works in any thread and
//! while the governor is restarting, and cannot be done twice.

use std::fmt;
use std::sync::{Arc, Weak};

use domain::Bytes;
use tokio::sync::Notify;

use crate::ledger::LeaseId;

/// Bytes that are taken until this is dropped. It cannot be cloned: who shares one, shares it in an `Arc`.
pub struct Lease {
    id: LeaseId,
    bytes: Bytes,
    /// `None` only within `drop`, so that the count falls before the governor is told to look.
    alive: Option<Arc<()>>,
    gone: Arc<Notify>,
}

impl Lease {
    /// The holder's part, and what the book keeps of it: alive as long as the lease is.
    pub(crate) fn new(id: LeaseId, bytes: Bytes, gone: Arc<Notify>) -> (Self, Weak<()>) {
        let alive = Arc::new(());
        let holder = Arc::downgrade(&alive);
        let lease = Self {
            id,
            bytes,
            alive: Some(alive),
            gone,
        };
        (lease, holder)
    }

    /// Its identity.
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// Its size.
    pub fn bytes(&self) -> Bytes {
        self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.alive = None;
        self.gone.notify_one();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({}, {})", self.id, self.bytes)
    }
}
