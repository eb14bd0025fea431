//! Who waits for bytes, in the order in which they came.
//!
//! Invariants: nobody overtakes, nobody is in it twice, never more than `MOST_WAITING`. Nothing here reads a clock:
//! times are since the ledger was opened.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Bytes;

/// Waiting at once: each lane of each model waits for one thing at a time, and who comes after so many would wait
/// longer than anyone's patience.
pub const MOST_WAITING: usize = 64;

/// Names one who waits; never used twice, and who comes later has the larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(u64);

impl WaiterId {
    /// Counts from 0 over the life of the ledger.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// One who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Who.
    pub owner: String,
    /// What for.
    pub purpose: String,
    /// How many bytes.
    pub bytes: Bytes,
    /// When it came.
    pub since: Duration,
    /// Until when it waits.
    pub deadline: Duration,
}

/// The line.
#[derive(Default)]
pub struct Line {
    /// By arrival.
    waiters: BTreeMap<WaiterId, Waiter>,
    next_id: u64,
}

impl Line {
    /// Takes its place behind everybody; `None` if too many wait.
    pub fn join(&mut self, waiter: Waiter) -> Option<WaiterId> {
        // 2^64 waiters take longer than any machine lives; without an id there is no place.
        let next_id = self.next_id.checked_add(1)?;
        if self.waiters.len() >= MOST_WAITING {
            return None;
        }
        let id = WaiterId(self.next_id);
        self.next_id = next_id;
        self.waiters.insert(id, waiter);
        Some(id)
    }

    /// Leaves the line, from wherever in it; `None` if it is not there.
    pub fn leave(&mut self, id: WaiterId) -> Option<Waiter> {
        self.waiters.remove(&id)
    }

    /// Who is next.
    pub fn first(&self) -> Option<(WaiterId, &Waiter)> {
        self.waiters
            .first_key_value()
            .map(|(id, waiter)| (*id, waiter))
    }

    /// Everybody, who is next first.
    pub fn iter(&self) -> impl Iterator<Item = (WaiterId, &Waiter)> {
        self.waiters.iter().map(|(id, waiter)| (*id, waiter))
    }

    /// When the first of the deadlines is.
    pub fn deadline(&self) -> Option<Duration> {
        self.waiters.values().map(|waiter| waiter.deadline).min()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(owner: &str, deadline: u64) -> Waiter {
        Waiter {
            owner: owner.to_owned(),
            purpose: "kv".to_owned(),
            bytes: Bytes(1),
            since: Duration::ZERO,
            deadline: Duration::from_secs(deadline),
        }
    }

    fn owners(line: &Line) -> Vec<&str> {
        line.iter().map(|(_, w)| w.owner.as_str()).collect()
    }

    #[test]
    fn those_behind_move_up() {
        let mut line = Line::default();
        assert_eq!((line.first(), line.deadline()), (None, None));
        let a = line.join(waiter("a", 9)).unwrap();
        let b = line.join(waiter("b", 3)).unwrap();
        let c = line.join(waiter("c", 5)).unwrap();
        assert_eq!(owners(&line), ["a", "b", "c"]);
        assert_eq!(line.deadline(), Some(Duration::from_secs(3)));
        assert_eq!(line.leave(b), Some(waiter("b", 3)));
        assert_eq!(line.leave(b), None);
        assert_eq!(owners(&line), ["a", "c"]);
        assert_eq!(line.deadline(), Some(Duration::from_secs(5)));
        line.leave(a);
        assert_eq!(line.first().map(|(id, _)| id), Some(c));
        let d = line.join(waiter("d", 1)).unwrap();
        assert!(d > c && line.len() == 2 && !line.is_empty());
    }

    #[test]
    fn the_line_is_bounded() {
        let mut line = Line::default();
        let ids: Vec<_> = (0..MOST_WAITING)
            .map(|_| line.join(waiter("a", 1)).unwrap())
            .collect();
        assert_eq!(line.join(waiter("late", 1)), None);
        line.leave(ids[7]);
        assert!(line.join(waiter("late", 1)).is_some());
        assert_eq!(line.len(), MOST_WAITING);
    }
}
