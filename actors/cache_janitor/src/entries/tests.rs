//! Tables and properties of one cache's bookkeeping.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const BOUNDS: Bounds = Bounds {
    ttl: Duration::from_secs(10),
    bytes: Bytes(100),
    entries: 3,
};

fn of(entries: &mut Entries<u8>, now: Instant, free: u64) -> (Vec<u8>, Swept) {
    entries.sweep(now, Goal { free: Bytes(free) })
}

#[tokio::test(start_paused = true)]
async fn an_entry_expires_at_its_deadline_and_not_before() {
    let start = Instant::now();
    let mut entries = Entries::new(BOUNDS);
    entries.insert(1, Bytes(5), start);
    entries.insert(2, Bytes(6), start + SECOND);
    assert_eq!(entries.next_due(), Some(start + 10 * SECOND));
    let early = start + 10 * SECOND - Duration::from_nanos(1);
    assert_eq!(of(&mut entries, early, 0).0, [0u8; 0]);
    let (dropped, swept) = of(&mut entries, start + 10 * SECOND, 0);
    assert_eq!(dropped, [1]);
    let expected = Swept {
        swept: 1,
        kept: 1,
        freed_bytes: Bytes(5),
        kept_bytes: Bytes(6),
        next_due: Some(start + 11 * SECOND),
    };
    assert_eq!(swept, expected);
    assert!(entries.touch(&2, start + 10 * SECOND));
    assert_eq!(entries.next_due(), Some(start + 20 * SECOND));
    assert!(!entries.touch(&1, start + 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_gives_the_table_back_as_well() {
    let now = Instant::now();
    let bounds = Bounds {
        bytes: Bytes::mib(1),
        entries: 1 << 14,
        ..BOUNDS
    };
    let mut entries = Entries::new(bounds);
    for key in 0..10_000u32 {
        entries.insert(key, Bytes(1), now);
    }
    assert!(entries.by_key.capacity() >= 10_000);
    let (dropped, _) = entries.sweep(now, Goal { free: Bytes(9_900) });
    assert_eq!((dropped.len(), entries.len()), (9_900, 100));
    assert!(entries.by_key.capacity() < 300);
    let (dropped, _) = entries.sweep(now + BOUNDS.ttl, Goal::default());
    assert_eq!((dropped.len(), entries.by_key.capacity()), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_makes_room() {
    let now = Instant::now();
    let mut entries = Entries::new(BOUNDS);
    for key in 1..=3 {
        assert_eq!(entries.insert(key, Bytes(30), now), [0u8; 0]);
    }
    entries.touch(&1, now);
    assert_eq!(entries.insert(4, Bytes(1), now), [2], "by their number");
    assert_eq!(
        entries.insert(5, Bytes(100), now),
        [3, 1, 4],
        "by their bytes"
    );
    assert_eq!(entries.insert(6, Bytes(101), now), [6], "it never fits");
    assert_eq!((entries.len(), entries.bytes()), (1, Bytes(100)));
    // In place of what was there: its old size does not count.
    assert_eq!(entries.insert(5, Bytes(99), now), [0u8; 0]);
    assert_eq!(entries.bytes(), Bytes(99));
    let small = Bounds {
        bytes: Bytes(98),
        ..BOUNDS
    };
    assert_eq!(entries.set_bounds(small), [5]);
    assert!(entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_neither_expired_nor_evicted() {
    let start = Instant::now();
    let late = start + 100 * SECOND;
    let mut entries = Entries::new(BOUNDS);
    entries.insert(1, Bytes(60), start);
    assert!(entries.hold(&1) && entries.hold(&1));
    assert_eq!(entries.next_due(), None);
    assert_eq!(of(&mut entries, late, 1000).0, [0u8; 0]);
    assert_eq!(entries.insert(2, Bytes(41), late), [2], "no room beside it");
    assert_eq!(entries.release(&1, late), [0u8; 0]);
    assert_eq!(entries.next_due(), None, "once more");
    assert_eq!(entries.release(&1, late), [0u8; 0]);
    assert_eq!(entries.next_due(), Some(late + 10 * SECOND));
    assert_eq!(of(&mut entries, late, 1).0, [1]);
    assert!(!entries.hold(&1));
    assert_eq!(entries.release(&1, late), [0u8; 0]);
}

#[tokio::test(start_paused = true)]
async fn for_ever_is_for_ever() {
    let now = Instant::now();
    let mut entries = Entries::new(Bounds {
        ttl: Duration::MAX,
        ..BOUNDS
    });
    entries.insert(1, Bytes(1), now);
    assert_eq!(entries.next_due(), None);
    assert_eq!(of(&mut entries, now + 1_000_000 * SECOND, 0).0, [0u8; 0]);
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, u64),
    Touch(u8),
    Remove(u8),
    Hold(u8),
    Release(u8),
    Sweep(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0_u8..8;
    prop_oneof![
        4 => (key.clone(), 0_u64..60).prop_map(|(key, bytes)| Step::Insert(key, bytes)),
        2 => key.clone().prop_map(Step::Touch),
        1 => key.clone().prop_map(Step::Remove),
        1 => key.clone().prop_map(Step::Hold),
        1 => key.prop_map(Step::Release),
        2 => (0_u64..120).prop_map(Step::Sweep),
        2 => (0_u64..12).prop_map(Step::Wait),
    ]
}

/// What is expected to be there: bytes, last use, holders.
#[derive(Default)]
struct Model(BTreeMap<u8, (u64, u64, u32)>);

impl Model {
    fn bytes(&self) -> u64 {
        self.0.values().map(|(bytes, ..)| bytes).sum()
    }

    fn next_due(&self) -> Option<u64> {
        let idle = self.0.values().filter(|(_, _, holders)| *holders == 0);
        idle.map(|(_, used, _)| used + BOUNDS.ttl.as_secs()).min()
    }

    fn drop_all(&mut self, dropped: &[u8]) {
        for key in dropped {
            assert!(self.0.remove(key).is_some(), "{key} was named for nothing");
        }
    }

    fn sweep(&mut self, now: u64, free: u64, dropped: &[u8]) -> Result<(), TestCaseError> {
        let due = |(_, used, holders): &(u64, u64, u32)| *holders == 0 && used + 10 <= now;
        let before = self.bytes();
        for (at, key) in dropped.iter().enumerate() {
            let freed = before - self.bytes();
            let entry = self.0.remove(key).unwrap();
            prop_assert_eq!(entry.2, 0, "{} is held", key);
            prop_assert!(due(&entry) || freed < free, "{} of {:?}", at, dropped);
            let older = self.0.values().any(|e| e.2 == 0 && e.1 < entry.1);
            prop_assert!(!older, "{} is not the least recently used", key);
        }
        prop_assert!(!self.0.values().any(due), "something expired was kept");
        let idle = self.0.values().any(|entry| entry.2 == 0);
        prop_assert!(before - self.bytes() >= free || !idle, "too little freed");
        Ok(())
    }
}

fn play(steps: Vec<Step>, start: Instant) -> Result<(), TestCaseError> {
    let mut entries = Entries::new(BOUNDS);
    let mut model = Model::default();
    let mut now = 0;
    for step in steps {
        let at = start + now * SECOND.as_secs() as u32 * SECOND;
        match step {
            Step::Insert(key, bytes) => {
                let holders = model.0.get(&key).map_or(0, |entry| entry.2);
                model.0.insert(key, (bytes, now.into(), holders));
                let dropped = entries.insert(key, Bytes(bytes), at);
                let other = dropped.iter().find(|k| **k != key && model.0[*k].2 > 0);
                prop_assert_eq!(other, None, "held");
                model.drop_all(&dropped);
                prop_assert!(entries.bytes() <= BOUNDS.bytes);
                prop_assert!(entries.len() <= BOUNDS.entries);
            }
            Step::Touch(key) => {
                let entry = model.0.get_mut(&key);
                prop_assert_eq!(entries.touch(&key, at), entry.is_some());
                if let Some(entry) = entry {
                    entry.1 = now.into();
                }
            }
            Step::Remove(key) => {
                prop_assert_eq!(entries.remove(&key), model.0.remove(&key).is_some());
            }
            Step::Hold(key) => {
                let entry = model.0.get_mut(&key);
                prop_assert_eq!(entries.hold(&key), entry.is_some());
                if let Some(entry) = entry {
                    entry.2 += 1;
                }
            }
            Step::Release(key) => {
                model.drop_all(&entries.release(&key, at));
                if let Some(entry) = model.0.get_mut(&key) {
                    entry.1 = now.into();
                    entry.2 = entry.2.saturating_sub(1);
                }
            }
            Step::Sweep(free) => {
                let (dropped, swept) = entries.sweep(at, Goal { free: Bytes(free) });
                let before = model.bytes();
                model.sweep(now.into(), free, &dropped)?;
                prop_assert_eq!(swept.freed_bytes.0, before - model.bytes());
                prop_assert_eq!(swept.held(), entries.held());
            }
            Step::Wait(seconds) => now += seconds as u32,
        }
        prop_assert_eq!(entries.len(), model.0.len());
        prop_assert_eq!(entries.bytes().0, model.bytes());
        let due = entries.next_due().map(|due| (due - start).as_secs());
        prop_assert_eq!(due, model.next_due());
    }
    Ok(())
}

proptest! {
    /// Bounds hold after each insertion, a sweep frees what is wanted if it is there, the next deadline is the earliest,
    /// nothing goes before its time, and what is held stays.
    #[test]
    fn the_books_are_right_after_any_steps(steps in prop::collection::vec(step(), 0..60)) {
        let runtime = Instant::now();
        play(steps, runtime)?;
    }
}
