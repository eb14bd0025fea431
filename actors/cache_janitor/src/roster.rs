//! Which caches there are, what each holds, and when each may be asked next.
//!
//! Invariants: a cache has at most one order that counts; one that failed rests before it is asked again, longer each
//! time; every change of the moment at which a cache is to be asked is noted, so that who keeps the deadlines sees it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::Bytes;
use tokio::time::Instant;

use crate::messages::{CacheStatus, RegisterError};
use crate::sweeps::{Ending, Sweep};

/// Caches at once: some for each model that is resident, and the few that a process has once.
pub const CACHES: usize = 256;
/// The longest name, in bytes: it is shown in lists and is a label of metrics.
pub const NAME: usize = 128;
/// The least time from the end of a sweep to the next one that a deadline asks for: entries that expire within it go
/// together, and a thousand of them are not a thousand wake-ups.
pub const GAP: Duration = Duration::from_millis(100);
/// The first rest after a failure; it doubles with each in a row.
pub const REST: Duration = Duration::from_secs(1);
/// The longest rest: a cache that came to its senses waits no longer than this.
pub const REST_AT_MOST: Duration = Duration::from_mins(5);

/// What is to be dropped: always what has expired, then the least recently used until `free` bytes are freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goal {
    /// How much is wanted back, what had expired counted in. Zero: only what has expired.
    pub free: Bytes,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Entries.
    pub entries: usize,
    /// Their bytes.
    pub bytes: Bytes,
    /// When the first of them expires; `None` if none ever does.
    pub next_due: Option<Instant>,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries dropped.
    pub swept: usize,
    /// Entries kept.
    pub kept: usize,
    /// Bytes of what was dropped.
    pub freed_bytes: Bytes,
    /// Bytes of what was kept.
    pub kept_bytes: Bytes,
    /// When the first of what was kept expires; `None` if none ever does.
    pub next_due: Option<Instant>,
}

impl Swept {
    /// What the cache holds after it.
    pub fn held(&self) -> Held {
        Held {
            entries: self.kept,
            bytes: self.kept_bytes,
            next_due: self.next_due,
        }
    }
}

/// One registration; never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheId(u64);

/// An order that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderId {
    /// To whom.
    pub cache: CacheId,
    number: u64,
}

/// What to send where.
#[derive(Clone, Debug)]
pub struct Errand<T> {
    /// The order's name.
    pub id: OrderId,
    /// What it asks for.
    pub goal: Goal,
    /// The way to the cache.
    pub to: T,
}

/// What could be had from a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// Which.
    pub id: CacheId,
    /// What it holds, as its owner said last.
    pub bytes: Bytes,
}

struct Cache<T> {
    name: String,
    to: T,
    held: Held,
    /// The order it has not answered.
    owes: Option<u64>,
    /// Not asked by a deadline before this.
    rests_until: Option<Instant>,
    failures: u32,
    /// The last sweep it carried out.
    last: Option<Sweep>,
    /// When it is to be asked, as was last noted.
    noted: Option<Instant>,
}

impl<T> Cache<T> {
    fn asked_next(&self) -> Option<Instant> {
        let due = self.held.next_due.filter(|_| self.owes.is_none())?;
        Some(self.rests_until.map_or(due, |rested| rested.max(due)))
    }
}

/// All registered caches. `T` is the way to one.
pub struct Roster<T> {
    count: u64,
    caches: BTreeMap<CacheId, Cache<T>>,
    moved: BTreeSet<CacheId>,
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Self {
            count: 0,
            caches: BTreeMap::new(),
            moved: BTreeSet::new(),
        }
    }
}

impl<T: Clone> Roster<T> {
    /// Takes a cache. One of the same name is forgotten.
    ///
    /// # Errors
    /// [`RegisterError`]; then nothing has changed.
    pub fn register(&mut self, name: String, to: T) -> Result<CacheId, RegisterError> {
        let length = name.len();
        if !(1..=NAME).contains(&length) {
            return Err(RegisterError::Name { length });
        }
        let same = self.caches.iter().find(|(_, cache)| cache.name == name);
        let same = same.map(|(id, _)| *id);
        if same.is_none() && self.caches.len() >= CACHES {
            let limit = CACHES;
            return Err(RegisterError::TooMany { name, limit });
        }
        if let Some(same) = same {
            self.remove(same);
        }
        self.count += 1;
        let id = CacheId(self.count);
        let cache = Cache {
            name,
            to,
            held: Held::default(),
            owes: None,
            rests_until: None,
            failures: 0,
            last: None,
            noted: None,
        };
        self.caches.insert(id, cache);
        Ok(id)
    }

    /// Forgets the caches that cannot be reached any more.
    pub fn retain(&mut self, reachable: impl Fn(&T) -> bool) {
        let gone = self
            .caches
            .iter()
            .filter(|(_, cache)| !reachable(&cache.to));
        let gone: Vec<CacheId> = gone.map(|(id, _)| *id).collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// Forgets a cache.
    pub fn remove(&mut self, id: CacheId) {
        if self.caches.remove(&id).is_some_and(|c| c.noted.is_some()) {
            self.moved.insert(id);
        }
    }

    /// What the cache holds now.
    pub fn hold(&mut self, id: CacheId, held: Held) {
        self.change(id, |cache| cache.held = held);
    }

    /// When its first entry expires.
    pub fn due_at(&mut self, id: CacheId, next_due: Option<Instant>) {
        self.change(id, |cache| cache.held.next_due = next_due);
    }

    /// The order for a cache whose deadline has come. None if it has not yet, which is noted again, or if an order is
    /// under way.
    pub fn due(&mut self, id: CacheId, now: Instant) -> Option<Errand<T>> {
        let at = self.caches.get(&id)?.asked_next()?;
        if at <= now {
            return self.order(id, Goal::default());
        }
        self.moved.insert(id);
        None
    }

    /// An order for this cache, unless one is under way.
    pub fn order(&mut self, id: CacheId, goal: Goal) -> Option<Errand<T>> {
        let cache = self.caches.get_mut(&id)?;
        if cache.owes.is_some() {
            return None;
        }
        self.count += 1;
        let number = self.count;
        cache.owes = Some(number);
        let to = cache.to.clone();
        self.note(id);
        let id = OrderId { cache: id, number };
        Some(Errand { id, goal, to })
    }

    /// The order's end. Returns the cache's name if the order was the one under way.
    pub fn ended(&mut self, id: OrderId, ending: Ending, now: Instant) -> Option<String> {
        let cache = self.caches.get_mut(&id.cache)?;
        if cache.owes != Some(id.number) {
            return None;
        }
        cache.owes = None;
        let overdue = cache.held.next_due.is_some_and(|due| due <= now);
        let mended = match ending {
            Ending::Swept(swept) => swept.swept > 0 || !overdue,
            _ => false,
        };
        cache.failures = if mended {
            0
        } else {
            cache.failures.saturating_add(1)
        };
        cache.rests_until = now.checked_add(rest(cache.failures));
        let name = cache.name.clone();
        self.note(id.cache);
        Some(name)
    }

    /// What to show as the last sweep that this cache carried out.
    pub fn remember(&mut self, id: CacheId, sweep: &Sweep) {
        if let Some(cache) = self.caches.get_mut(&id) {
            cache.last = Some(sweep.clone());
        }
    }

    /// A new life of the janitor: what the last one had sent is not waited for any more, and every deadline is noted.
    pub fn reborn(&mut self) {
        let ids: Vec<CacheId> = self.caches.keys().copied().collect();
        for id in ids {
            self.change(id, |cache| cache.owes = None);
            self.moved.insert(id);
        }
    }

    /// Caches that hold something, in the order in which they are to give it up: those that answer before those that did
    /// not, then what would expire soonest, then what holds most.
    pub fn stocks(&self) -> Vec<Stock> {
        let full = self
            .caches
            .iter()
            .filter(|(_, cache)| cache.held.bytes > Bytes::ZERO);
        let mut full: Vec<_> = full.collect();
        full.sort_by_key(|(id, cache)| {
            let Held {
                bytes, next_due, ..
            } = cache.held;
            let never = next_due.is_none();
            (cache.failures > 0, never, next_due, Reverse(bytes), **id)
        });
        let stock = |(id, cache): (&CacheId, &Cache<T>)| Stock {
            id: *id,
            bytes: cache.held.bytes,
        };
        full.into_iter().map(stock).collect()
    }

    /// Whether a deadline moved that nobody has taken note of.
    pub fn has_moved(&self) -> bool {
        !self.moved.is_empty()
    }

    /// The deadlines that moved, each as it is now; `None`: the cache is not to be asked.
    pub fn take_moved(&mut self) -> Vec<(CacheId, Option<Instant>)> {
        let moved = std::mem::take(&mut self.moved);
        let noted = |id: CacheId| self.caches.get(&id).and_then(|cache| cache.noted);
        moved.into_iter().map(|id| (id, noted(id))).collect()
    }

    /// All caches, as values, in the order in which they came.
    pub fn status(&self) -> Vec<CacheStatus> {
        let status = |cache: &Cache<T>| CacheStatus {
            name: cache.name.clone(),
            held: cache.held,
            asked_next: cache.noted,
            sweeping: cache.owes.is_some(),
            failures: cache.failures,
            last: cache.last.clone(),
        };
        self.caches.values().map(status).collect()
    }

    fn change(&mut self, id: CacheId, change: impl FnOnce(&mut Cache<T>)) {
        if let Some(cache) = self.caches.get_mut(&id) {
            change(cache);
            self.note(id);
        }
    }

    fn note(&mut self, id: CacheId) {
        if let Some(cache) = self.caches.get_mut(&id) {
            let next = cache.asked_next();
            if next != cache.noted {
                cache.noted = next;
                self.moved.insert(id);
            }
        }
    }
}

/// How long a cache is left alone by deadlines after this many failures in a row.
pub fn rest(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => GAP,
        // 2^9 s is beyond the longest rest.
        Some(doublings) => REST.saturating_mul(1 << doublings.min(9)).min(REST_AT_MOST),
    }
}

#[cfg(test)]
mod tests;
