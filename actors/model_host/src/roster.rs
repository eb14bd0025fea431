//! Which lanes there are: shared by the host, which begins them, and the lanes, which may ask an idle neighbour to make
//! room.
//!
//! It outlives a crash of the host in the host's seed. It holds books weakly: a lane that is down for good takes its book
//! along, and its entry is then nobody's. Nothing here waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use domain::ModelName;
use supervision::{ChildState, Handle};
use tokio::time::Instant;

use crate::book::{Book, Phase};
use crate::lane::Lane;
use crate::messages::{ModelState, ModelStatus};

#[derive(Clone)]
struct Entry {
    handle: Handle<Lane>,
    book: Weak<Book>,
}

#[derive(Default)]
struct Entries {
    by_model: BTreeMap<ModelName, Entry>,
    begun: u64,
}

/// The lanes, by model.
#[derive(Clone, Default)]
pub(crate) struct Roster(Arc<Mutex<Entries>>);

impl Roster {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for the next lane; never given twice, so that a lane on its way out is in nobody's way.
    pub(crate) fn next_number(&self) -> u64 {
        let mut entries = self.entries();
        entries.begun += 1;
        entries.begun
    }

    /// Lanes that still have a book.
    pub(crate) fn len(&self) -> usize {
        let mut entries = self.entries();
        entries.by_model.retain(|_, e| e.book.strong_count() > 0);
        entries.by_model.len()
    }

    pub(crate) fn insert(&self, model: ModelName, handle: Handle<Lane>, book: &Arc<Book>) {
        let book = Arc::downgrade(book);
        self.entries()
            .by_model
            .insert(model, Entry { handle, book });
    }

    pub(crate) fn find(&self, model: &ModelName) -> Option<(Handle<Lane>, Arc<Book>)> {
        let mut entries = self.entries();
        let entry = entries.by_model.get(model)?;
        let found = entry
            .book
            .upgrade()
            .map(|book| (entry.handle.clone(), book));
        if found.is_none() {
            entries.by_model.remove(model);
        }
        found
    }

    /// Forgets a lane that is ending, unless another has taken its place.
    pub(crate) fn forget(&self, model: &ModelName, book: &Arc<Book>) {
        let mut entries = self.entries();
        let is_it = |entry: &Entry| std::ptr::eq(entry.book.as_ptr(), Arc::as_ptr(book));
        if entries.by_model.get(model).is_some_and(is_it) {
            entries.by_model.remove(model);
        }
    }

    /// All lanes, by model.
    pub(crate) fn all(&self) -> Vec<(ModelName, Handle<Lane>, Arc<Book>)> {
        self.entries()
            .by_model
            .iter()
            .filter_map(|(model, entry)| {
                let book = entry.book.upgrade()?;
                Some((model.clone(), entry.handle.clone(), book))
            })
            .collect()
    }

    /// The resident models with nothing to do, longest idle first, without `except`.
    pub(crate) fn idle(&self, except: &ModelName) -> Vec<(ModelName, Handle<Lane>)> {
        let mut idle: Vec<_> = self
            .all()
            .into_iter()
            .filter(|(model, ..)| model != except)
            .filter_map(|(model, handle, book)| {
                let since = book.pages().idle_since?;
                Some((since, model, handle))
            })
            .collect();
        idle.sort_by_key(|(since, ..)| *since);
        idle.into_iter().map(|(_, model, h)| (model, h)).collect()
    }

    /// Every lane as a value.
    pub(crate) fn status(&self, now: Instant) -> Vec<ModelStatus> {
        self.all()
            .into_iter()
            .map(|(name, handle, book)| status_of(name, handle.state(), &book, now))
            .collect()
    }
}

fn status_of(name: ModelName, lane: ChildState, book: &Book, now: Instant) -> ModelStatus {
    let pages = book.pages();
    let failed = pages.failure.as_ref().filter(|f| f.until > now);
    let state = match (lane, pages.phase, failed) {
        (ChildState::BackingOff, ..) => ModelState::BackingOff,
        (ChildState::Stopping | ChildState::Down, ..) => ModelState::Stopping,
        (_, Phase::Ready, _) => ModelState::Ready,
        (_, Phase::Loading { fraction }, _) => ModelState::Loading { fraction },
        (_, Phase::Unloaded, Some(failure)) => ModelState::LoadFailed {
            reason: failure.error.to_string(),
            retry_in: failure.until.saturating_duration_since(now),
        },
        (_, Phase::Unloaded, None) => ModelState::Unloaded,
    };
    let weights = pages.weights.as_ref().map(|lease| lease.bytes());
    ModelStatus {
        name,
        card: pages.card.clone(),
        state,
        weights_bytes: weights.unwrap_or_default(),
        kv_leased: pages.kv_leased(),
        active: pages.live.len(),
        waiting: pages.queue.len(),
        idle_for: pages
            .idle_since
            .map(|since| now.saturating_duration_since(since)),
        crashes: pages.crashes,
    }
}
