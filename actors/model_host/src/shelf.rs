//! Shell: what was made lately and is worth keeping: found by its key, leased, within bounds, swept when the janitor says
//! so. Vectors of texts lie on one such shelf, tokens of each model's prompts on another.
//!
//! Memory is leased in pieces: for each entry by itself there would be as many leases. Where no lease is to be had nothing
//! is kept, and nobody waits. Invariants: what is kept is leased; after a sweep to the byte; a closed shelf keeps nothing
//! and gives everything back; the lock is never held across anything that waits or computes.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache_janitor::{Bounds, CacheJanitor, Entries, Register, Registration, SweepOrder};
use domain::Bytes;
use memory_governor::{Lease, MemoryGovernor, Reserve};
use metrics::Gauge;
use supervision::{AskError, Handle};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::kv::KvLeases;
use crate::lane::room::DEADLINE;

/// Leases at once. There are more only after many sweeps, each of which left half a piece.
const PIECES: usize = 64;
/// A janitor that does not answer is crashing: it is asked again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// How much of it there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) bounds: Bounds,
    /// Leased at once, at least.
    pub(crate) piece: Bytes,
}

/// Something to keep, and what it takes with its key and its places in the tables.
#[derive(Clone, Debug)]
pub(crate) struct Made<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) bytes: Bytes,
}

struct Inner<K, V> {
    plan: Plan,
    entries: Entries<K>,
    values: HashMap<K, V>,
    leases: KvLeases,
    registration: Option<Registration>,
    /// Shows its bytes.
    gauge: Option<Gauge>,
    closed: bool,
}

/// The cache. Cloning gives another handle to the same.
pub(crate) struct Shelf<K, V>(Arc<Mutex<Inner<K, V>>>);

impl<K, V> Clone for Shelf<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Shelf<K, V> {
    pub(crate) fn new(plan: Plan, gauge: Option<Gauge>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            plan,
            entries: Entries::new(plan.bounds),
            values: HashMap::new(),
            leases: KvLeases::default(),
            registration: None,
            gauge,
            closed: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What lies under that key; it was used now. The janitor hears of the later deadline with the next [`Shelf::keep`].
    pub(crate) fn look<Q>(&self, key: &Q, now: Instant) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut inner = self.lock();
        let Inner {
            entries, values, ..
        } = &mut *inner;
        let (key, value) = values.get_key_value(key)?;
        entries.touch(key, now);
        Some(value.clone())
    }

    /// What lies under each of those keys.
    pub(crate) fn look_all<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k K>,
        now: Instant,
    ) -> Vec<Option<V>>
    where
        K: 'k,
    {
        let found = keys.into_iter().map(|key| self.look(key, now)).collect();
        self.lock().tell();
        found
    }

    /// What has to be leased before so many bytes more can be kept; nothing if there is room, or no more is wanted.
    pub(crate) fn missing(&self, more: Bytes) -> Option<Bytes> {
        let inner = self.lock();
        let most = inner.plan.bounds.bytes;
        let wanted = inner.entries.bytes().saturating_add(more);
        let missing = wanted.min(most).saturating_sub(inner.leases.bytes());
        let is_wanted =
            missing > Bytes::ZERO && inner.leases.leases().count() < PIECES && !inner.closed;
        is_wanted.then(|| missing.max(inner.plan.piece))
    }

    /// Keeps what was made, as far as there is room for it in what is leased.
    pub(crate) fn keep(
        &self,
        made: impl IntoIterator<Item = Made<K, V>>,
        lease: Option<Lease>,
        now: Instant,
    ) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        let most = inner.plan.bounds.bytes;
        inner.leases = std::mem::take(&mut inner.leases).with(lease);
        let leased = inner.leases.bytes();
        for Made { key, value, bytes } in made {
            // One that is there already is replaced, so this may refuse the last that would fit, and never lets one too
            // many in.
            let full = inner.entries.bytes().saturating_add(bytes) > leased.min(most);
            if full && leased < most {
                // Only what is leased is kept; at the bound the oldest makes room instead.
                break;
            }
            inner.values.insert(key.clone(), value);
            let dropped = inner.entries.insert(key, bytes, now);
            inner.drop_values(&dropped);
        }
        inner.tell();
    }

    /// Drops all and gives everything back, for good. How much was leased.
    pub(crate) fn close(&self) -> Bytes {
        let mut inner = self.lock();
        inner.closed = true;
        inner.entries = Entries::new(inner.plan.bounds);
        inner.values = HashMap::new();
        inner.tell();
        inner.registration = None;
        let leases = std::mem::take(&mut inner.leases);
        leases.bytes()
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn sweep(&self, order: SweepOrder) {
        let now = Instant::now();
        let mut inner = self.lock();
        let (dropped, swept) = inner.entries.sweep(now, order.goal);
        inner.drop_values(&dropped);
        // Before the leases: the table's places were counted in.
        inner.values.shrink_to_fit();
        let kept = inner.entries.bytes();
        inner.leases.shrink_to(kept);
        inner.show();
        // Under the lock: what is said of the deadline after this is newer.
        order.done(swept);
    }

    fn register(&self, registration: Registration) {
        let mut inner = self.lock();
        if !inner.closed {
            inner.registration = Some(registration);
            inner.tell();
        }
    }
}

impl<K: Clone + Eq + Hash, V> Inner<K, V> {
    fn drop_values(&mut self, keys: &[K]) {
        for key in keys {
            self.values.remove(key);
        }
    }

    fn tell(&self) {
        if let Some(registration) = &self.registration {
            registration.holds(self.entries.held());
        }
        self.show();
    }

    fn show(&self) {
        if let Some(gauge) = &self.gauge {
            gauge.set(self.entries.bytes().0 as f64);
        }
    }
}

/// Registers a cache and carries out the janitor's orders, as long as there are both.
pub(crate) async fn tend<K, V>(shelf: Shelf<K, V>, janitor: Handle<CacheJanitor>, name: String)
where
    K: Clone + Eq + Hash,
    V: Clone,
{
    while !shelf.is_closed() {
        // One order at a time comes.
        let (orders, mut received) = mpsc::channel(1);
        let wish = Register {
            name: name.clone(),
            orders,
        };
        match janitor.ask(wish, DEADLINE).await {
            Ok(registration) => {
                shelf.register(registration);
                while let Some(order) = received.recv().await {
                    shelf.sweep(order);
                }
            }
            Err(AskError::Down { .. }) => return,
            Err(error) => tracing::warn!(cache = name, %error, "a cache is not registered"),
        }
        if !shelf.is_closed() {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Room to keep something in. What is not kept is made again: that is no reason to wait for memory, and no reason to make
/// room for it either.
pub(crate) async fn room_to_keep(
    governor: &Handle<MemoryGovernor>,
    (owner, purpose): (String, &str),
    bytes: Bytes,
) -> Option<Lease> {
    let wish = Reserve {
        owner,
        purpose: purpose.to_owned(),
        bytes,
    };
    governor.ask(wish, DEADLINE).await.ok()
}
