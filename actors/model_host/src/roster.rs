//! Which lanes there are: shared by the host, which begins them, and the lanes, which may ask an idle neighbour to make
//! room.
//!
//! It outlives a crash of the host in the host's seed. It holds books weakly: a lane that is down for good takes its book
//! along, and its entry is then nobody's. Nothing here waits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use domain::ModelName;
use supervision::{ChildState, Handle};
use tokio::time::Instant;

use crate::book::{Book, Phase};
use crate::breaker::What;
use crate::lane::Lane;
use crate::messages::{ModelState, ModelStatus};

/// The names a lane is known by beside its first. A name more is looked up each time: that costs a look at the disk, and
/// names are the client's to invent.
pub(crate) const NAMES: usize = 16;

struct Entry {
    /// What it was asked for as; the first is what it is shown as.
    names: Vec<ModelName>,
    label: String,
    handle: Handle<Lane>,
    book: Weak<Book>,
}

/// A lane that has a book.
pub(crate) struct Seat {
    key: PathBuf,
    name: ModelName,
    pub(crate) lane: Handle<Lane>,
    pub(crate) book: Arc<Book>,
}

impl Entry {
    fn seat(&self, key: &Path) -> Option<Seat> {
        Some(Seat {
            key: key.to_owned(),
            name: self.names.first()?.clone(),
            lane: self.handle.clone(),
            book: self.book.upgrade()?,
        })
    }
}

#[derive(Default)]
struct Entries {
    by_file: BTreeMap<PathBuf, Entry>,
    begun: u64,
}

/// The lanes, by the canonical path of their file.
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
        entries.by_file.retain(|_, e| e.book.strong_count() > 0);
        entries.by_file.len()
    }

    pub(crate) fn insert(
        &self,
        key: PathBuf,
        name: ModelName,
        label: String,
        handle: Handle<Lane>,
        book: &Arc<Book>,
    ) {
        let entry = Entry {
            names: vec![name],
            label,
            handle,
            book: Arc::downgrade(book),
        };
        self.entries().by_file.insert(key, entry);
    }

    /// What the series of that file are called: its file's name, or its path where another has that name now. There are
    /// as many as there are files, however they are asked for.
    pub(crate) fn label(&self, key: &Path) -> String {
        let file = key.file_name().unwrap_or(key.as_os_str()).to_string_lossy();
        let short = file.strip_suffix(".gguf").unwrap_or(&file);
        let entries = self.entries();
        let taken = entries
            .by_file
            .iter()
            .any(|(other, entry)| other != key && entry.label == short);
        if taken {
            key.display().to_string()
        } else {
            short.to_owned()
        }
    }

    /// The lane of that name, if it was asked for by it.
    pub(crate) fn find(&self, name: &ModelName) -> Option<Seat> {
        let entries = self.entries();
        let mut known = entries.by_file.iter();
        known.find_map(|(key, e)| e.names.contains(name).then(|| e.seat(key))?)
    }

    /// The lane of that file, which is known by that name from now on.
    pub(crate) fn find_file(&self, key: &Path, name: &ModelName) -> Option<Seat> {
        let mut entries = self.entries();
        let entry = entries.by_file.get_mut(key)?;
        let seat = entry.seat(key)?;
        if entry.names.len() < NAMES && !entry.names.contains(name) {
            entry.names.push(name.clone());
        }
        drop(entries);
        seat.book.know_as(name);
        Some(seat)
    }

    /// Forgets a lane that is ending, unless another has taken its place.
    pub(crate) fn forget(&self, seat: &Seat) {
        let mut entries = self.entries();
        let is_it = |entry: &Entry| std::ptr::eq(entry.book.as_ptr(), Arc::as_ptr(&seat.book));
        if entries.by_file.get(&seat.key).is_some_and(is_it) {
            entries.by_file.remove(&seat.key);
        }
    }

    /// Closes and forgets a lane that holds nothing and serves nobody.
    pub(crate) fn take_spare(&self) -> Option<Seat> {
        let mut seats = self.seats().into_iter();
        let spare = seats.find(|seat| seat.book.close_if_spare())?;
        self.forget(&spare);
        Some(spare)
    }

    fn seats(&self) -> Vec<Seat> {
        let entries = self.entries();
        let seats = entries.by_file.iter().map(|(key, entry)| entry.seat(key));
        seats.flatten().collect()
    }

    /// All lanes.
    pub(crate) fn all(&self) -> Vec<(ModelName, Handle<Lane>, Arc<Book>)> {
        let seats = self.seats().into_iter();
        seats
            .map(|seat| (seat.name, seat.lane, seat.book))
            .collect()
    }

    /// The resident models with nothing to do that are not pinned, least recently used first.
    pub(crate) fn idle(&self) -> Vec<(ModelName, Handle<Lane>)> {
        let mut idle: Vec<_> = self
            .seats()
            .into_iter()
            .filter_map(|seat| {
                let pages = seat.book.pages();
                let since = pages.idle_since.filter(|_| !pages.is_pinned())?;
                drop(pages);
                Some((since, seat.name, seat.lane))
            })
            .collect();
        idle.sort_by_key(|(since, ..)| *since);
        idle.into_iter().map(|(_, model, h)| (model, h)).collect()
    }

    /// Every lane as a value, by name.
    pub(crate) fn status(&self, now: Instant) -> Vec<ModelStatus> {
        let mut all: Vec<ModelStatus> = self
            .all()
            .into_iter()
            .map(|(name, handle, book)| status_of(name, handle.state(), &book, now))
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

fn status_of(name: ModelName, lane: ChildState, book: &Book, now: Instant) -> ModelStatus {
    let pages = book.pages();
    let rests = pages.breaker.rests_until(now).map(|until| {
        let (what, reason) = pages.breaker.last();
        let (reason, retry_in) = (reason.to_owned(), until.saturating_duration_since(now));
        match what {
            What::Load => ModelState::LoadFailed { reason, retry_in },
            What::Answer => ModelState::CircuitOpen { reason, retry_in },
        }
    });
    let stuck = pages.stuck_for(now);
    let state = match (lane, pages.phase, rests) {
        (ChildState::BackingOff, ..) => ModelState::BackingOff,
        (ChildState::Stopping | ChildState::Down, ..) => ModelState::Stopping,
        _ if stuck.is_some() => ModelState::Stuck {
            elapsed: stuck.unwrap_or_default(),
        },
        (_, Phase::Ready, _) => ModelState::Ready,
        (_, Phase::Loading { fraction }, _) => ModelState::Loading { fraction },
        (_, Phase::Unloaded, Some(rests)) => rests,
        (_, Phase::Unloaded, None) => ModelState::Unloaded,
    };
    let weights = pages.weights.as_ref().map(|lease| lease.bytes());
    ModelStatus {
        name,
        card: pages.card.clone(),
        state,
        weights_bytes: weights.unwrap_or_default(),
        kv_leased: pages.kv_leased(),
        prefixes: pages.prefixes.held().entries,
        kv_kept: pages.kv_kept(),
        active: pages.live.len(),
        waiting: pages.queue.len(),
        idle_for: pages
            .idle_since
            .map(|since| now.saturating_duration_since(since)),
        keep_alive: pages.keep_alive(),
        pinned: pages.is_pinned(),
        expires_in: pages
            .expires_at()
            .map(|at| at.saturating_duration_since(now)),
        breaker: pages.breaker.state(now),
        crashes: pages.crashes,
        totals: pages.totals,
        requests: pages.requests(now),
    }
}
