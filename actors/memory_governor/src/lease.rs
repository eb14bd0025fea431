//! Shell: the bytes someone holds, given back by being dropped; whoever watches the book is woken by it.
//!
//! A lease tells the book nothing itself: the book holds a weak reference to each lease and strikes out those that are
//! gone. So dropping one is a reference count and a flag: it never waits, never allocates, works in any thread and
//! while the governor is restarting, and cannot be done twice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use domain::Bytes;
use tokio::sync::Notify;

use crate::ledger::{LeaseId, Ledger};
use crate::limit::{self, Readings};
use crate::messages::{LedgerStatus, Reserve, ReserveError};

/// Bytes that are taken until this is dropped. It cannot be cloned: who shares one, shares it in an `Arc`.
pub struct Lease {
    id: LeaseId,
    bytes: Bytes,
    /// `None` only within `drop`, so that the count falls before the governor is told to look.
    alive: Option<Arc<()>>,
    gone: Arc<Notify>,
}

impl Lease {
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

/// The ledger and what keeps each of its entries alive. It outlives the actor in the actor's seed, and only the actor
/// changes it.
#[derive(Clone)]
pub(crate) struct Book {
    pages: Arc<Mutex<Pages>>,
    gone: Arc<Notify>,
}

struct Pages {
    ledger: Ledger,
    holders: BTreeMap<LeaseId, Weak<()>>,
    readings: Readings,
    configured: Option<Bytes>,
}

impl Book {
    pub(crate) fn new(configured: Option<Bytes>) -> Self {
        Self {
            pages: Arc::new(Mutex::new(Pages {
                // Nothing is lent before the first measurement.
                ledger: Ledger::new(Bytes::ZERO),
                holders: BTreeMap::new(),
                readings: Readings::default(),
                configured,
            })),
            gone: Arc::new(Notify::new()),
        }
    }

    /// Resolves when leases were dropped since it last did.
    pub(crate) async fn dropped(&self) {
        self.gone.notified().await;
    }

    pub(crate) fn measured(&self, readings: Readings) {
        let mut pages = self.pages();
        pages.readings = readings;
        pages.relimit();
    }

    pub(crate) fn configure(&self, configured: Option<Bytes>) {
        let mut pages = self.pages();
        pages.configured = configured;
        pages.relimit();
    }

    pub(crate) fn reserve(&self, wish: &Reserve) -> Result<Lease, ReserveError> {
        let mut pages = self.pages();
        pages.sweep();
        let id = pages
            .ledger
            .reserve(&wish.owner, &wish.purpose, wish.bytes)?;
        let alive = Arc::new(());
        pages.holders.insert(id, Arc::downgrade(&alive));
        Ok(Lease {
            id,
            bytes: wish.bytes,
            alive: Some(alive),
            gone: Arc::clone(&self.gone),
        })
    }

    /// The figures, after striking out what was dropped.
    pub(crate) fn status(&self) -> LedgerStatus {
        let mut pages = self.pages();
        pages.sweep();
        LedgerStatus {
            limit: pages.ledger.limit(),
            leased: pages.ledger.leased(),
            available: pages.ledger.available(),
            host: pages.readings.host,
            cgroup: pages.readings.cgroup,
            configured: pages.configured,
            leases: pages.ledger.leases(),
        }
    }

    /// The limit and what is leased, after striking out what was dropped.
    pub(crate) fn totals(&self) -> (Bytes, Bytes) {
        let mut pages = self.pages();
        pages.sweep();
        (pages.ledger.limit(), pages.ledger.leased())
    }

    /// Held only for the arithmetic of one message. A panic while it was held is a bug that must not make the
    /// figures unreachable: every change is made whole before the next can fail.
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn sweep(&mut self) {
        let ledger = &mut self.ledger;
        self.holders.retain(|id, holder| {
            let held = holder.strong_count() > 0;
            if !held {
                ledger.release(*id);
            }
            held
        });
    }

    fn relimit(&mut self) {
        self.ledger
            .set_limit(limit::limit(self.readings, self.configured));
    }
}
