//! Shell: vectors that were made lately: a text that comes again costs nothing.
//!
//! Known by the SHA-256 of the model's name and the text, so no text is kept. Invariants: what is kept is leased, within
//! bounds of bytes and time, and swept when the janitor says so; the lock is never held across anything that waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache_janitor::{Bounds, CacheJanitor, Entries, Register, Registration, SweepOrder};
use domain::{Bytes, ModelName};
use engine::Embedded;
use memory_governor::Lease;
use sha2::{Digest, Sha256};
use supervision::{AskError, Handle};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::kv::KvLeases;
use crate::lane::room::DEADLINE;

/// Its name with the janitor.
pub const CACHE: &str = "embeddings";
/// Bounds: ten thousand texts of 384 dimensions, which is every memory and document of one person's week; a day, because
/// the same documents are asked about for as long.
const BOUNDS: Bounds = Bounds {
    ttl: Duration::from_hours(24),
    bytes: Bytes(18 << 20),
    entries: 10_000,
};
/// What a vector takes beside its numbers: its key three times over, and its places in the tables.
const OVERHEAD: u64 = 256;
/// Leased in pieces of this size: for each vector by itself there would be as many leases.
const PIECE: Bytes = Bytes(1 << 20);
/// Leases at once. There are more only after many sweeps, each of which left half a piece.
const PIECES: usize = 64;
/// A janitor that does not answer is crashing: it is asked again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// What a text is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(super) fn new(model: &ModelName, text: &str) -> Self {
        let mut hash = Sha256::new();
        // A name has no zero byte in it, so no two pairs run together.
        hash.update(model.as_str());
        hash.update([0]);
        hash.update(text);
        Self(hash.finalize().into())
    }
}

struct Inner {
    entries: Entries<Key>,
    vectors: HashMap<Key, Embedded>,
    leases: KvLeases,
    registration: Option<Registration>,
}

/// The cache. Cloning gives another handle to the same.
#[derive(Clone)]
pub(super) struct Shelf(Arc<Mutex<Inner>>);

impl Default for Shelf {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            entries: Entries::new(BOUNDS),
            vectors: HashMap::new(),
            leases: KvLeases::default(),
            registration: None,
        })))
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vectors of those texts, each if it is there.
    pub(super) fn look<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a Key>,
        now: Instant,
    ) -> Vec<Option<Embedded>> {
        let mut inner = self.lock();
        let look = |key| {
            inner.entries.touch(key, now);
            inner.vectors.get(key).cloned()
        };
        let found = keys.into_iter().map(look).collect();
        inner.tell();
        found
    }

    /// What has to be leased before so many vectors can be kept; nothing if there is room, or no more is wanted.
    pub(super) fn missing(&self, vectors: usize, dimensions: u32) -> Option<Bytes> {
        let inner = self.lock();
        let more = bytes_of(dimensions as usize).saturating_mul(vectors as u64);
        let wanted = inner.entries.bytes().saturating_add(more);
        let missing = wanted
            .min(BOUNDS.bytes)
            .saturating_sub(inner.leases.bytes());
        let is_wanted = missing > Bytes::ZERO && inner.leases.leases().count() < PIECES;
        is_wanted.then(|| missing.max(PIECE))
    }

    /// Keeps vectors, as far as there is room for them in what is leased.
    pub(super) fn keep(
        &self,
        made: impl IntoIterator<Item = (Key, Embedded)>,
        lease: Option<Lease>,
        now: Instant,
    ) {
        let mut inner = self.lock();
        inner.leases = std::mem::take(&mut inner.leases).with(lease);
        let leased = inner.leases.bytes();
        for (key, embedded) in made {
            let bytes = bytes_of(embedded.vector.len());
            let full = inner.entries.bytes().saturating_add(bytes) > leased.min(BOUNDS.bytes);
            if full && leased < BOUNDS.bytes {
                // Only what is leased is kept; at the bound the oldest makes room instead.
                break;
            }
            inner.vectors.insert(key, embedded);
            let dropped = inner.entries.insert(key, bytes, now);
            inner.drop_vectors(&dropped);
        }
        inner.tell();
    }

    fn sweep(&self, order: SweepOrder) {
        let now = Instant::now();
        let mut inner = self.lock();
        let (dropped, swept) = inner.entries.sweep(now, order.goal);
        inner.drop_vectors(&dropped);
        let kept = inner.entries.bytes();
        inner.leases.shrink_to(kept);
        // Under the lock: what is said of the deadline after this is newer.
        order.done(swept);
    }

    fn register(&self, registration: Registration) {
        let mut inner = self.lock();
        inner.registration = Some(registration);
        inner.tell();
    }
}

impl Inner {
    fn drop_vectors(&mut self, keys: &[Key]) {
        for key in keys {
            self.vectors.remove(key);
        }
    }

    fn tell(&self) {
        if let Some(registration) = &self.registration {
            registration.holds(self.entries.held());
        }
    }
}

fn bytes_of(dimensions: usize) -> Bytes {
    Bytes(OVERHEAD + (dimensions * size_of::<f32>()) as u64)
}

/// Registers the cache and carries out the janitor's orders, as long as there is a janitor.
pub(super) async fn tend(shelf: Shelf, janitor: Handle<CacheJanitor>) {
    loop {
        // One order at a time comes.
        let (orders, mut received) = mpsc::channel(1);
        let name = CACHE.to_owned();
        match janitor.ask(Register { name, orders }, DEADLINE).await {
            Ok(registration) => {
                shelf.register(registration);
                while let Some(order) = received.recv().await {
                    shelf.sweep(order);
                }
            }
            Err(AskError::Down { .. }) => return,
            Err(error) => tracing::warn!(%error, "the embeddings are not registered"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded(number: f32) -> Embedded {
        Embedded {
            vector: vec![number; 4].into(),
            tokens: 3,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_without_a_lease() {
        let shelf = Shelf::default();
        let key = Key::new(&ModelName::new("m"), "text");
        assert_eq!(shelf.missing(1, 4), Some(PIECE));
        assert_eq!(shelf.missing(0, 4), None);
        shelf.keep([(key, embedded(1.0))], None, Instant::now());
        assert_eq!(shelf.look([&key], Instant::now()), [None]);
        assert_eq!(shelf.missing(1 << 40, 384), Some(BOUNDS.bytes));
    }

    #[test]
    fn the_model_is_part_of_what_a_text_is_known_by() {
        let key = |model: &str, text: &str| Key::new(&ModelName::new(model), text);
        assert_eq!(key("m", "a"), key("m", "a"));
        assert_ne!(key("m", "a"), key("n", "a"));
        assert_ne!(key("m", "a"), key("m", "b"));
        assert_ne!(key("m", "ab"), key("ma", "b"));
    }
}
