//! Tables of single looks, and random lives of random children on a clock that only goes where the watch asks.

use super::*;
use proptest::prelude::*;

const KEY: Key = Key(7);
const BUDGET: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A handler under way since `ms` after `zero`.
fn busy(zero: Instant, since: u64) -> Busy {
    Busy {
        name: "Work",
        since: zero + ms(since),
    }
}

fn stuck(for_: u64) -> Finding {
    Finding::Stuck {
        key: KEY,
        message: "Work",
        budget: BUDGET,
        for_: ms(for_),
    }
}

fn unstuck(took: u64) -> Finding {
    Finding::Unstuck {
        key: KEY,
        message: "Work",
        took: ms(took),
    }
}

/// One look: when, what is seen, what is found, and when the next look is due.
type Row = (u64, Option<u64>, Vec<Finding>, u64);

fn check(table: Vec<Row>) {
    let zero = Instant::now();
    let mut watch = Watch::default();
    watch.add(KEY, BUDGET, zero, None);
    for (row, (at, since, expected, next)) in table.into_iter().enumerate() {
        let seen = since.map(|since| busy(zero, since));
        let found = watch.look(zero + ms(at), |_| seen);
        assert_eq!(found, expected, "row {row}");
        assert_eq!(watch.deadline(), Some(zero + ms(next)), "row {row}");
    }
}

#[test]
fn an_idle_child_is_looked_at_once_per_budget() {
    check(vec![
        (999, None, vec![], 1000),
        (1000, None, vec![], 2000),
        (2000, None, vec![], 3000),
        // A look that comes late moves the next ones.
        (3500, None, vec![], 4500),
    ]);
}

#[test]
fn a_busy_child_is_looked_at_when_its_budget_ends_and_is_stuck_only_if_it_is_the_same_message() {
    check(vec![
        (1000, Some(400), vec![], 1400),
        (1400, Some(1390), vec![], 2000),
        // The sweep passes over one whose own moment is known.
        (2000, Some(1390), vec![], 2390),
        (2390, None, vec![], 3000),
    ]);
}

#[test]
fn stuck_is_said_once_and_looked_at_ten_times_per_budget_until_the_message_is_done() {
    check(vec![
        (1000, Some(400), vec![], 1400),
        (1399, Some(400), vec![], 1400),
        (1400, Some(400), vec![stuck(1000)], 1500),
        (1500, Some(400), vec![], 1600),
        (1600, None, vec![unstuck(1200)], 2000),
        (2000, None, vec![], 3000),
    ]);
}

#[test]
fn the_beginning_of_the_next_message_tells_when_the_stuck_one_ended() {
    check(vec![
        (1000, Some(0), vec![stuck(1000)], 1100),
        (1100, Some(1030), vec![unstuck(1030)], 2000),
        (2000, Some(1030), vec![], 2030),
    ]);
}

#[test]
fn a_late_look_may_find_one_message_done_and_the_next_one_stuck() {
    check(vec![
        (1000, Some(0), vec![stuck(1000)], 1100),
        (5000, Some(2000), vec![unstuck(2000), stuck(3000)], 5100),
    ]);
}

#[test]
fn a_child_that_is_added_while_it_is_stuck_is_found_at_once() {
    let zero = Instant::now();
    let now = zero + ms(3000);
    let mut watch = Watch::default();
    watch.add(KEY, BUDGET, now, Some(busy(zero, 1000)));
    assert!(watch.deadline().is_some_and(|at| at <= now));
    assert_eq!(watch.look(now, |_| Some(busy(zero, 1000))), [stuck(2000)]);
    assert_eq!(watch.stuck(), 1);
}

#[test]
fn what_is_removed_is_neither_looked_at_nor_stuck_and_leaves_no_timer() {
    let zero = Instant::now();
    let mut watch = Watch::default();
    watch.add(KEY, BUDGET, zero, None);
    watch.look(zero + ms(1000), |_| Some(busy(zero, 0)));
    assert_eq!(watch.stuck(), 1);
    watch.remove(KEY, BUDGET);
    assert_eq!(watch.stuck(), 0);
    assert_eq!(watch.deadline(), None);
    let found = watch.look(zero + ms(9000), |_| panic!("looked at"));
    assert_eq!(found, []);
}

#[test]
fn nobody_to_watch_and_a_budget_without_end_need_no_timer() {
    let mut watch = Watch::default();
    assert_eq!(watch.deadline(), None);
    watch.add(KEY, Duration::MAX, Instant::now(), None);
    assert_eq!(watch.deadline(), None);
    watch.remove(KEY, Duration::MAX);
}

#[test]
fn a_sweep_over_many_takes_several_turns_and_looks_at_each_once() {
    let zero = Instant::now();
    let now = zero + BUDGET;
    let mut watch = Watch::default();
    let all = 2 * LOOKS as u64 + 10;
    for key in 0..all {
        watch.add(Key(key), BUDGET, zero, None);
    }
    let mut seen = Vec::new();
    let mut turns = 0;
    while watch.deadline().is_some_and(|at| at <= now) {
        let before = seen.len();
        watch.look(now, |key| {
            seen.push(key.0);
            None
        });
        assert!(seen.len() - before <= LOOKS);
        turns += 1;
    }
    assert_eq!(turns, 3);
    assert_eq!(seen, (0..all).collect::<Vec<_>>());
    assert_eq!(watch.deadline(), Some(now + BUDGET));
}

/// One child's life, in milliseconds: when it is added, and from when to when it handles each message.
#[derive(Clone, Debug)]
struct Life {
    budget: u64,
    added: u64,
    messages: Vec<(u64, u64)>,
}

impl Life {
    fn busy_at(&self, zero: Instant, now: u64) -> Option<Busy> {
        let mut messages = self.messages.iter();
        let under_way = messages.find(|(begun, end)| *begun <= now && now < *end)?;
        Some(busy(zero, under_way.0))
    }
}

fn life() -> impl Strategy<Value = Life> {
    let rest = prop_oneof![Just(0_u64), 0_u64..300];
    let takes = prop_oneof![0_u64..10, 0_u64..400];
    (
        prop_oneof![Just(1_u64), Just(100), 1_u64..200],
        0_u64..300,
        prop::collection::vec((rest, takes), 0..8),
    )
        .prop_map(|(budget, added, steps)| {
            let mut at = added;
            let span = |(rest, takes)| {
                let begun = at + rest;
                at = begun + takes;
                (begun, at)
            };
            let messages = steps.into_iter().map(span).collect();
            Life {
                budget,
                added,
                messages,
            }
        })
}

/// Looks exactly when the watch asks to, adds each child in its time, and returns (key, found at, finding).
fn live(lives: &[Life], until: u64) -> Vec<(usize, u64, Finding)> {
    let zero = Instant::now();
    let mut watch = Watch::default();
    let mut found = Vec::new();
    let mut now = 0;
    while now <= until {
        for (key, life) in lives.iter().enumerate() {
            if life.added == now {
                let first = life.busy_at(zero, now);
                watch.add(Key(key as u64), ms(life.budget), zero + ms(now), first);
            }
        }
        if watch.deadline().is_some_and(|at| at <= zero + ms(now)) {
            let look = |key: Key| lives[usize::try_from(key.0).unwrap()].busy_at(zero, now);
            for finding in watch.look(zero + ms(now), look) {
                let (Finding::Stuck { key, .. } | Finding::Unstuck { key, .. }) = finding;
                found.push((usize::try_from(key.0).unwrap(), now, finding));
            }
        }
        let asked = watch.deadline().map_or(u64::MAX, |at| {
            u64::try_from(at.duration_since(zero).as_millis()).unwrap()
        });
        let added = lives.iter().map(|l| l.added).filter(|at| *at > now).min();
        now = asked.max(now + 1).min(added.unwrap_or(u64::MAX));
    }
    found
}

proptest! {
    /// A message that outlasts its budget is found at the millisecond its budget ends; one that does not, never. It is
    /// said once, and once that it is done: within a tenth of the budget, and the time it took is as exact.
    #[test]
    fn every_overrun_is_found_on_time_once_and_taken_back_once(
        lives in prop::collection::vec(life(), 1..6),
    ) {
        let ends = lives.iter().filter_map(|life| life.messages.last());
        let until = ends.map(|(_, end)| end + 300).max().unwrap_or(0);
        let found = live(&lives, until);
        for (key, life) in lives.iter().enumerate() {
            let mut mine: Vec<_> = found.iter().filter(|(of, ..)| *of == key).collect();
            for &(begun, end) in &life.messages {
                if end - begun <= life.budget {
                    continue;
                }
                prop_assert!(mine.len() >= 2, "{begun}..{end} was missed: {mine:?}");
                let (_, at, said) = mine.remove(0);
                prop_assert_eq!(*at, begun + life.budget);
                let (message, for_) = ("Work", ms(life.budget));
                let (key, budget) = (Key(key as u64), ms(life.budget));
                prop_assert_eq!(*said, Finding::Stuck { key, message, budget, for_ });
                let (_, at, said) = mine.remove(0);
                let tenth = (life.budget / 10).max(1) + 1;
                prop_assert!(*at >= end && *at <= end + tenth, "done at {end}, said at {at}");
                let Finding::Unstuck { took, .. } = said else {
                    return Err(TestCaseError::fail(format!("said twice: {said:?}")));
                };
                prop_assert!(*took >= ms(end - begun) && *took <= ms(at - begun));
            }
            prop_assert!(mine.is_empty(), "found what was not: {mine:?}");
        }
    }

    /// An idle tree is woken once per budget, however many children it has.
    #[test]
    fn idle_children_of_one_budget_share_one_look(children in 1_u64..50, budget in 1_u64..500) {
        let zero = Instant::now();
        let mut watch = Watch::default();
        for key in 0..children {
            watch.add(Key(key), ms(budget), zero + ms(key % 3), None);
        }
        for sweep in 1..5 {
            let due = watch.deadline().unwrap();
            prop_assert_eq!(due, zero + ms(budget * sweep));
            let mut looks = 0;
            prop_assert_eq!(watch.look(due, |_| { looks += 1; None }), vec![]);
            prop_assert_eq!(looks, children);
        }
    }
}
