//! One order of the memory governor, split over the caches: those that would expire soonest and hold most go first.
//!
//! Invariants: no cache is asked twice for one order, none is asked for more than it holds, and a cache that is being
//! swept is waited for, not passed over.

use std::collections::{BTreeMap, BTreeSet};

use domain::Bytes;

use crate::roster::{CacheId, Errand, Goal, OrderId, Roster};

/// What one order has come to.
#[derive(Debug)]
pub struct Relief {
    wanted: Bytes,
    freed: Bytes,
    asked: BTreeSet<CacheId>,
    /// Orders under way and what each asks for.
    open: BTreeMap<OrderId, Bytes>,
}

impl Relief {
    /// An order for `wanted` bytes.
    pub fn new(wanted: Bytes) -> Self {
        Self {
            wanted,
            freed: Bytes::ZERO,
            asked: BTreeSet::new(),
            open: BTreeMap::new(),
        }
    }

    /// Whom to ask now, so that what is under way covers what is missing.
    pub fn next<T: Clone>(&mut self, roster: &mut Roster<T>) -> Vec<Errand<T>> {
        let expected = self.open.values().copied().sum();
        let mut missing = self.missing().saturating_sub(expected);
        let mut errands = Vec::new();
        for stock in roster.stocks() {
            if missing == Bytes::ZERO {
                break;
            }
            let free = missing.min(stock.bytes);
            if self.asked.contains(&stock.id) {
                continue;
            }
            // One that is being swept already is asked when that has ended.
            let Some(errand) = roster.order(stock.id, Goal { free }) else {
                continue;
            };
            missing = missing.saturating_sub(free);
            self.asked.insert(stock.id);
            self.open.insert(errand.id, free);
            errands.push(errand);
        }
        errands
    }

    /// An order to a cache has ended and freed so much. One that is not of this relief changes nothing.
    pub fn ended(&mut self, id: OrderId, freed: Bytes) {
        if self.open.remove(&id).is_some() {
            self.freed = self.freed.saturating_add(freed);
        }
    }

    /// Whether nothing more is to come.
    pub fn is_done<T: Clone>(&self, roster: &Roster<T>) -> bool {
        let more = |roster: &Roster<T>| {
            let mut stocks = roster.stocks().into_iter();
            stocks.any(|stock| !self.asked.contains(&stock.id))
        };
        self.missing() == Bytes::ZERO || (self.open.is_empty() && !more(roster))
    }

    /// What was freed so far.
    pub fn freed(&self) -> Bytes {
        self.freed
    }

    fn missing(&self) -> Bytes {
        self.wanted.saturating_sub(self.freed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::roster::{Held, Swept};
    use crate::sweeps::Ending;

    fn of(caches: &[(&str, u64, Option<u64>)], now: Instant) -> (Roster<String>, Vec<CacheId>) {
        let mut roster = Roster::default();
        let mut ids = Vec::new();
        for (name, bytes, due) in caches {
            let id = roster.register((*name).to_owned(), (*name).to_owned());
            let id = id.unwrap();
            let held = Held {
                entries: 1,
                bytes: Bytes(*bytes),
                next_due: due.map(|s| now + Duration::from_secs(s)),
            };
            roster.hold(id, held);
            ids.push(id);
        }
        (roster, ids)
    }

    fn asked(errands: &[Errand<String>]) -> Vec<(&str, u64)> {
        let one = |errand: &'_ Errand<String>| errand.goal.free.0;
        errands.iter().map(|e| (e.to.as_str(), one(e))).collect()
    }

    fn swept(bytes: u64) -> Ending {
        Ending::Swept(Swept {
            swept: 1,
            freed_bytes: Bytes(bytes),
            ..Swept::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn what_expires_soonest_goes_first_and_then_what_holds_most() {
        let now = Instant::now();
        let caches = [
            ("for ever, small", 10, None),
            ("late", 20, Some(90)),
            ("for ever, large", 40, None),
            ("soon", 30, Some(5)),
            ("empty", 0, None),
        ];
        for (wanted, expected) in [
            (0, vec![]),
            (25, vec![("soon", 25)]),
            (45, vec![("soon", 30), ("late", 15)]),
            (
                1000,
                vec![
                    ("soon", 30),
                    ("late", 20),
                    ("for ever, large", 40),
                    ("for ever, small", 10),
                ],
            ),
        ] {
            let (mut roster, _) = of(&caches, now);
            let mut relief = Relief::new(Bytes(wanted));
            assert_eq!(asked(&relief.next(&mut roster)), expected);
            assert_eq!(asked(&relief.next(&mut roster)), [], "all is under way");
            assert_eq!(relief.is_done(&roster), wanted == 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn others_are_asked_for_what_one_did_not_free() {
        let now = Instant::now();
        let (mut roster, _) = of(&[("a", 50, Some(1)), ("b", 50, Some(2))], now);
        let mut relief = Relief::new(Bytes(40));
        let first = relief.next(&mut roster).remove(0);
        assert_eq!(first.to, "a");
        roster.ended(first.id, swept(30), now);
        relief.ended(first.id, Bytes(30));
        assert!(!relief.is_done(&roster));
        let second = relief.next(&mut roster);
        assert_eq!(asked(&second), [("b", 10)]);
        relief.ended(first.id, Bytes(30));
        assert_eq!(relief.freed(), Bytes(30), "counted once");
        roster.ended(second[0].id, Ending::Silent, now);
        relief.ended(second[0].id, Bytes::ZERO);
        assert_eq!(asked(&relief.next(&mut roster)), [], "nobody twice");
        assert!(relief.is_done(&roster));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_that_is_being_swept_is_waited_for() {
        let now = Instant::now();
        let (mut roster, ids) = of(&[("a", 50, Some(0))], now);
        let due = roster.due(ids[0], now).unwrap();
        let mut relief = Relief::new(Bytes(40));
        assert_eq!(asked(&relief.next(&mut roster)), []);
        assert!(!relief.is_done(&roster));
        roster.ended(due.id, swept(1), now);
        relief.ended(due.id, Bytes(1));
        assert_eq!(relief.freed(), Bytes::ZERO, "not of this order");
        assert_eq!(asked(&relief.next(&mut roster)), [("a", 40)]);
        roster.remove(ids[0]);
        assert!(!relief.is_done(&roster), "its answer may still come");
    }
}
