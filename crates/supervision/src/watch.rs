//! When to look at which child, so that a handler is known to be past its budget the moment it is, and an idle tree is
//! hardly ever woken.
//!
//! Arithmetic, not ticks: a child that was idle at `t` cannot be past its budget before `t + budget`, and one that was
//! busy since `b` not before `b + budget`. So each child is looked at once per its own budget, and those seen busy once
//! more at the very moment. Nothing here waits, reads the clock or reaches for a child; all three are arguments.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use tokio::time::Instant;

use crate::child::Busy;
use crate::family::Key;

/// Children looked at in one turn: 1024, so that a sweep over a hundred thousand keeps no command waiting for long.
const LOOKS: usize = 1024;
/// A stuck child is looked at this often per budget, which is how exactly the time it took is known.
const LOOKS_WHILE_STUCK: u32 = 10;
/// The shortest time between two looks at a stuck child: 1 ms, the grain of tokio's timers.
const GRAIN: Duration = Duration::from_millis(1);
/// A budget longer than this is none: 30 years, beyond which tokio's timers do not reach either.
const FAR: Duration = Duration::from_hours(30 * 365 * 24);

/// What a look has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The message has been handled for its whole budget and is not done. Said once per message.
    Stuck {
        key: Key,
        message: &'static str,
        budget: Duration,
        for_: Duration,
    },
    /// The message that was found stuck is done; it took at most this long.
    Unstuck {
        key: Key,
        message: &'static str,
        took: Duration,
    },
}

/// The children of one budget. All of them are looked at in one sweep, a turn's worth at a time.
struct Class {
    keys: BTreeSet<Key>,
    /// When the next sweep begins; past while one is under way.
    due: Instant,
    /// The sweep under way: when it began and how far it has come.
    sweep: Option<(Instant, Option<Key>)>,
}

#[derive(Clone, Copy)]
struct Seen {
    busy: Busy,
    budget: Duration,
    again: Instant,
    stuck: bool,
}

/// Those seen busy, each with the moment of its next look. Trees, which give back what a crowd needed.
#[derive(Default)]
struct Close {
    seen: BTreeMap<Key, Seen>,
    due: BTreeSet<(Instant, Key)>,
    stuck: usize,
}

/// The children of one supervisor that have a budget.
#[derive(Default)]
pub(crate) struct Watch {
    classes: BTreeMap<Duration, Class>,
    close: Close,
}

impl Watch {
    /// From now on this child is looked at; `busy` is the first look.
    pub(crate) fn add(&mut self, key: Key, budget: Duration, now: Instant, busy: Option<Busy>) {
        if budget > FAR {
            return;
        }
        let class = self.classes.entry(budget).or_insert_with(|| Class {
            keys: BTreeSet::new(),
            due: later(now, budget),
            sweep: None,
        });
        class.keys.insert(key);
        self.close.forget(key);
        if let Some(busy) = busy {
            let end = later(busy.since, budget);
            self.close.note(key, budget, busy, false, end);
        }
    }

    /// This child is not looked at any more; if it was stuck, its end has words of its own.
    pub(crate) fn remove(&mut self, key: Key, budget: Duration) {
        if let Entry::Occupied(mut class) = self.classes.entry(budget) {
            class.get_mut().keys.remove(&key);
            if class.get().keys.is_empty() {
                class.remove();
            }
        }
        self.close.forget(key);
    }

    /// When the next look is due. In the past while a sweep is under way.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let sweep = self.classes.values().map(|class| class.due).min();
        let close = self.close.due.first().map(|(at, _)| *at);
        sweep.into_iter().chain(close).min()
    }

    /// How many are stuck.
    pub(crate) fn stuck(&self) -> usize {
        self.close.stuck
    }

    /// Looks at those that are due, [`LOOKS`] at most.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        mut busy: impl FnMut(Key) -> Option<Busy>,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut left = LOOKS;
        while left > 0
            && let Some((key, budget)) = self.close.next(now)
        {
            left -= 1;
            self.close.see(key, budget, now, busy(key), &mut found);
        }
        for (budget, class) in &mut self.classes {
            for key in class.turn(now, *budget, &mut left) {
                // One seen busy is looked at when its own moment comes, which is early enough.
                if !self.close.seen.contains_key(&key) {
                    self.close.see(key, *budget, now, busy(key), &mut found);
                }
            }
        }
        found
    }
}

impl Class {
    /// The next of a sweep that is due, `left` at most.
    fn turn(&mut self, now: Instant, budget: Duration, left: &mut usize) -> Vec<Key> {
        if self.due > now {
            return Vec::new();
        }
        let (began, after) = self.sweep.unwrap_or((now, None));
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.keys.range((from, Bound::Unbounded));
        let batch: Vec<Key> = rest.copied().take(*left).collect();
        let full = batch.len() == *left;
        *left -= batch.len();
        if full {
            self.sweep = Some((began, batch.last().copied().or(after)));
        } else {
            self.sweep = None;
            self.due = later(began, budget);
        }
        batch
    }
}

impl Close {
    fn next(&self, now: Instant) -> Option<(Key, Duration)> {
        let (at, key) = self.due.first()?;
        let seen = self.seen.get(key).filter(|_| *at <= now)?;
        Some((*key, seen.budget))
    }

    fn note(&mut self, key: Key, budget: Duration, busy: Busy, stuck: bool, again: Instant) {
        self.stuck += usize::from(stuck);
        self.due.insert((again, key));
        let seen = Seen {
            busy,
            budget,
            again,
            stuck,
        };
        self.seen.insert(key, seen);
    }

    fn forget(&mut self, key: Key) -> Option<Seen> {
        let seen = self.seen.remove(&key)?;
        self.due.remove(&(seen.again, key));
        self.stuck -= usize::from(seen.stuck);
        Some(seen)
    }

    fn see(
        &mut self,
        key: Key,
        budget: Duration,
        now: Instant,
        busy: Option<Busy>,
        found: &mut Vec<Finding>,
    ) {
        let before = self.forget(key).filter(|seen| seen.stuck);
        let same = |seen: &Seen| busy.is_some_and(|busy| busy.since == seen.busy.since);
        if let Some(done) = before.filter(|seen| !same(seen)) {
            // The next message began when this one was done.
            let end = busy.map_or(now, |busy| busy.since);
            found.push(Finding::Unstuck {
                key,
                message: done.busy.name,
                took: end.saturating_duration_since(done.busy.since),
            });
        }
        let Some(busy) = busy else {
            return;
        };
        let end = later(busy.since, budget);
        if end > now {
            return self.note(key, budget, busy, false, end);
        }
        if !before.is_some_and(|seen| same(&seen)) {
            found.push(Finding::Stuck {
                key,
                message: busy.name,
                budget,
                for_: now.saturating_duration_since(busy.since),
            });
        }
        let again = later(now, (budget / LOOKS_WHILE_STUCK).max(GRAIN));
        self.note(key, budget, busy, true, again);
    }
}

/// No budget is so long that this comes to the end of the clock.
fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or(at)
}

#[cfg(test)]
mod tests;
