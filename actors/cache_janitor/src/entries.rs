//! The bookkeeping of one cache: what has expired, what is the least recently used, what does not fit any more.
//!
//! It holds keys and sizes, never the entries: whoever owns them drops what is named here. Invariants: after an insertion
//! neither bound is passed, nothing expires before its deadline, and what is in use is not named for another's sake.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use domain::Bytes;
use tokio::time::Instant;

use crate::roster::{Goal, Held, Swept};

/// How much may be kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From the last use of an entry to its end. [`Duration::MAX`]: for ever.
    pub ttl: Duration,
    /// All entries together.
    pub bytes: Bytes,
    /// Their number.
    pub entries: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: Bytes,
    used: Instant,
    /// Its place in `idle`, while nobody holds it. Later uses have higher ones.
    turn: u64,
    holders: u32,
}

/// What a cache holds, by key.
#[derive(Clone, Debug)]
pub struct Entries<K> {
    bounds: Bounds,
    by_key: HashMap<K, Entry>,
    /// Those that nobody holds, least recently used first: with one time to live for all, this is the order in which
    /// they expire, too.
    idle: BTreeMap<u64, K>,
    bytes: Bytes,
    turns: u64,
    /// The latest `now` that was seen: a clock that steps back must not disturb the order.
    latest: Option<Instant>,
}

impl<K: Clone + Eq + Hash> Entries<K> {
    /// Nothing yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            by_key: HashMap::new(),
            idle: BTreeMap::new(),
            bytes: Bytes::ZERO,
            turns: 0,
            latest: None,
        }
    }

    /// The bounds in force.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Sets other bounds. Returns what has to be dropped to be within them, the least recently used first; what is held
    /// stays, and may be above them until it is released.
    pub fn set_bounds(&mut self, bounds: Bounds) -> Vec<K> {
        self.bounds = bounds;
        self.shrink()
    }

    /// Keeps an entry, new or in place of the one under this key, as just used. Returns what has to be dropped for it,
    /// the least recently used first; `key` itself is among them if it cannot be kept at all.
    pub fn insert(&mut self, key: K, bytes: Bytes, now: Instant) -> Vec<K> {
        let used = self.see(now);
        let holders = self.forget(&key).map_or(0, |old| old.holders);
        self.turns += 1;
        let turn = self.turns;
        if holders == 0 {
            self.idle.insert(turn, key.clone());
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let entry = Entry {
            bytes,
            used,
            turn,
            holders,
        };
        self.by_key.insert(key.clone(), entry);
        let mut dropped = Vec::new();
        if bytes > self.bounds.bytes || self.bounds.entries == 0 {
            // It would push out all others and still not fit.
            self.forget(&key);
            dropped.push(key);
            return dropped;
        }
        dropped.extend(self.shrink());
        // What is held does not leave room for it.
        if self.is_over() && self.forget(&key).is_some() {
            dropped.push(key);
        }
        dropped
    }

    /// The entry was used. Whether there is one.
    pub fn touch(&mut self, key: &K, now: Instant) -> bool {
        let used = self.see(now);
        self.turns += 1;
        let turn = self.turns;
        let Some(entry) = self.by_key.get_mut(key) else {
            return false;
        };
        entry.used = used;
        if entry.holders == 0 {
            self.idle.remove(&entry.turn);
            self.idle.insert(turn, key.clone());
        }
        entry.turn = turn;
        true
    }

    /// The entry is in use until it is released as often as it was held: until then it is never named. Whether there is
    /// one.
    pub fn hold(&mut self, key: &K) -> bool {
        let Some(entry) = self.by_key.get_mut(key) else {
            return false;
        };
        entry.holders = entry.holders.saturating_add(1);
        self.idle.remove(&entry.turn);
        true
    }

    /// One user less; its time begins now. Returns what has to be dropped because it is idle now and above the bounds.
    pub fn release(&mut self, key: &K, now: Instant) -> Vec<K> {
        if !self.touch(key, now) {
            return Vec::new();
        }
        if let Some(entry) = self.by_key.get_mut(key).filter(|entry| entry.holders > 0) {
            entry.holders -= 1;
            if entry.holders == 0 {
                self.idle.insert(entry.turn, key.clone());
            }
        }
        self.shrink()
    }

    /// The entry is gone. Whether there was one.
    pub fn remove(&mut self, key: &K) -> bool {
        self.forget(key).is_some()
    }

    /// Whether there is one.
    pub fn contains(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// Names what has expired, and then the least recently used until `goal.free` bytes are named. They are forgotten
    /// here; the caller drops them. What is held is never named.
    pub fn sweep(&mut self, now: Instant, goal: Goal) -> (Vec<K>, Swept) {
        let before = self.bytes;
        let mut dropped = Vec::new();
        while let Some((key, entry)) = self.oldest() {
            let expired = self.end(&entry).is_some_and(|end| end <= now);
            let wanted = before.saturating_sub(self.bytes) < goal.free;
            if !expired && !wanted {
                break;
            }
            self.forget(&key);
            dropped.push(key);
        }
        if !dropped.is_empty() {
            // The table is as large as the cache was at its fullest, and each entry counts for its place in it.
            self.by_key.shrink_to_fit();
        }
        let swept = Swept {
            swept: dropped.len(),
            kept: self.by_key.len(),
            freed_bytes: before.saturating_sub(self.bytes),
            kept_bytes: self.bytes,
            next_due: self.next_due(),
        };
        (dropped, swept)
    }

    /// When the first entry expires; `None` if none does.
    pub fn next_due(&self) -> Option<Instant> {
        let (_, oldest) = self.oldest()?;
        self.end(&oldest)
    }

    /// What to tell the janitor.
    pub fn held(&self) -> Held {
        Held {
            entries: self.by_key.len(),
            bytes: self.bytes,
            next_due: self.next_due(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Their bytes.
    pub fn bytes(&self) -> Bytes {
        self.bytes
    }

    fn see(&mut self, now: Instant) -> Instant {
        let latest = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(latest);
        latest
    }

    fn end(&self, entry: &Entry) -> Option<Instant> {
        entry.used.checked_add(self.bounds.ttl)
    }

    /// The least recently used of those that nobody holds.
    fn oldest(&self) -> Option<(K, Entry)> {
        let (_, key) = self.idle.first_key_value()?;
        let entry = self.by_key.get(key)?;
        Some((key.clone(), *entry))
    }

    fn forget(&mut self, key: &K) -> Option<Entry> {
        let entry = self.by_key.remove(key)?;
        self.idle.remove(&entry.turn);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        Some(entry)
    }

    fn is_over(&self) -> bool {
        self.bytes > self.bounds.bytes || self.by_key.len() > self.bounds.entries
    }

    fn shrink(&mut self) -> Vec<K> {
        let mut dropped = Vec::new();
        while self.is_over()
            && let Some((key, _)) = self.oldest()
        {
            self.forget(&key);
            dropped.push(key);
        }
        dropped
    }
}

#[cfg(test)]
mod tests;
