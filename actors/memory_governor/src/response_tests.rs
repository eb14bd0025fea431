//! Who is asked for what, as tables and over any sequence of events. Apart, for its length.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn need(bytes: u64, round: u64) -> Need {
    Need {
        bytes: Bytes(bytes),
        round: Round::Reading(round),
    }
}

fn two() -> Response {
    let mut response = Response::default();
    response.enlist("janitor", Stage::Caches);
    response.enlist("host", Stage::IdleModels);
    response
}

fn send(number: u64, target: &str, wanted: u64, until: Duration) -> Move {
    Move::Send {
        number,
        target: target.to_owned(),
        wanted: Bytes(wanted),
        until,
    }
}

#[test]
fn stages_are_asked_in_turn_for_what_is_still_missing_and_then_nobody_is_left() {
    let mut response = two();
    assert_eq!(response.next(Duration::ZERO, None), Move::Rest);
    let until = 2 * SECOND;
    assert_eq!(
        response.next(Duration::ZERO, Some(need(100, 1))),
        send(1, "janitor", 100, until)
    );
    assert_eq!(
        response.next(SECOND, Some(need(100, 1))),
        Move::Hold { until },
        "one order at a time"
    );
    let (name, answer) = response.answered(SECOND, 1, Bytes(30)).unwrap();
    assert_eq!((name.as_str(), answer.took), ("janitor", SECOND));
    assert_eq!(
        response.next(SECOND, Some(need(70, 1))),
        send(2, "host", 70, 6 * SECOND)
    );
    response.answered(SECOND, 2, Bytes::ZERO).unwrap();
    let spent = Move::Spent { asked: true };
    assert_eq!(response.next(SECOND, Some(need(70, 1))), spent);
    // Another need is another need, but those who had too little rest.
    assert_eq!(response.next(SECOND + REST / 2, Some(need(5, 2))), spent);
    // One is not even asked for the last time when nothing is missing.
    assert_eq!(response.next(SECOND, None), Move::Rest);
    assert_eq!(
        response.next(SECOND + REST, Some(need(5, 2))),
        send(3, "janitor", 5, 3 * SECOND + REST)
    );
}

#[test]
fn a_change_lets_everyone_be_asked_again() {
    let mut response = two();
    response.next(Duration::ZERO, Some(need(9, 1)));
    response.answered(Duration::ZERO, 1, Bytes::ZERO).unwrap();
    response.next(Duration::ZERO, Some(need(9, 1)));
    // The second order is out: it is not asked twice, whatever changes.
    response.changed();
    let until = 5 * SECOND;
    assert_eq!(
        response.next(SECOND, Some(need(9, 1))),
        Move::Hold { until }
    );
    response.answered(SECOND, 2, Bytes::ZERO).unwrap();
    assert_eq!(
        response.next(SECOND, Some(need(9, 1))),
        send(3, "janitor", 9, 3 * SECOND)
    );
}

#[test]
fn who_gave_all_is_asked_again_for_a_new_need_only() {
    let mut response = two();
    response.next(Duration::ZERO, Some(need(100, 1)));
    response.answered(Duration::ZERO, 1, Bytes(100)).unwrap();
    assert_eq!(
        response.next(Duration::ZERO, Some(need(50, 2))),
        send(2, "janitor", 50, 2 * SECOND)
    );
    response.answered(Duration::ZERO, 2, Bytes(60)).unwrap();
    assert_eq!(
        response.next(Duration::ZERO, Some(need(50, 2))),
        send(3, "host", 50, 5 * SECOND),
        "the same need goes on to the next stage"
    );
}

#[test]
fn a_late_order_is_given_up_and_its_target_left_alone_until_it_answers() {
    let mut response = two();
    response.next(Duration::ZERO, Some(need(9, 1)));
    assert_eq!(response.deadline(), Some(2 * SECOND));
    assert_eq!(response.lapsed(Duration::from_millis(1999)), []);
    let lapsed = response.lapsed(2 * SECOND);
    assert_eq!(lapsed[0].0, "janitor");
    assert_eq!((lapsed[0].1.freed, lapsed[0].1.took), (None, 2 * SECOND));
    assert_eq!(response.lapsed(3 * SECOND), [], "told once");
    assert_eq!(response.deadline(), None);
    response.next(2 * SECOND, Some(need(9, 1)));
    response.answered(2 * SECOND, 2, Bytes::ZERO).unwrap();
    response.changed();
    assert_eq!(
        response.next(REST * 2, Some(need(9, 2))),
        send(3, "host", 9, REST * 2 + 5 * SECOND),
        "the late one still has its order"
    );
    response.answered(REST * 2, 3, Bytes::ZERO).unwrap();
    let (_, answer) = response.answered(REST * 3, 1, Bytes(9)).unwrap();
    assert_eq!((answer.freed, answer.took), (Some(Bytes(9)), REST * 3));
    assert_eq!(
        response.next(REST * 3, Some(need(9, 3))),
        send(4, "janitor", 9, REST * 3 + 2 * SECOND)
    );
}

#[test]
fn nobody_to_ask_is_told_apart_and_the_gone_are_not_waited_for() {
    let mut response = Response::default();
    let nobody = Move::Spent { asked: false };
    assert_eq!(response.next(Duration::ZERO, Some(need(1, 1))), nobody);
    response.enlist("host", Stage::IdleModels);
    response.next(Duration::ZERO, Some(need(1, 1)));
    // It starts again, as a cache this time: its order stays out.
    response.enlist("host", Stage::Caches);
    let until = 5 * SECOND;
    assert_eq!(
        response.next(SECOND, Some(need(1, 1))),
        Move::Hold { until }
    );
    response.retain(|name| name != "host");
    assert_eq!(response.next(SECOND, Some(need(1, 1))), nobody);
    assert_eq!(response.answered(SECOND, 1, Bytes(1)), None);
    assert_eq!(response.tracks().count(), 0);
}

#[derive(Clone, Debug)]
enum Event {
    Later(u64),
    Need(Option<(u64, u64)>),
    Answer(u64),
    Change,
    Enlist(usize, bool),
    Gone(usize),
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0u64..3000).prop_map(Event::Later),
        prop::option::of((1u64..100, 0u64..3)).prop_map(Event::Need),
        (0u64..100).prop_map(Event::Answer),
        (0u64..100).prop_map(Event::Answer),
        Just(Event::Change),
        (0usize..4, any::<bool>()).prop_map(|(n, first)| Event::Enlist(n, first)),
        (0usize..4).prop_map(Event::Gone),
    ]
}

fn stage(first: bool) -> Stage {
    if first {
        Stage::Caches
    } else {
        Stage::IdleModels
    }
}

proptest! {
    /// Never two orders for one target, never a wait past a deadline, and spent only when each target has its order, or
    /// gave all for this need, or had too little less than `REST` ago and nothing changed since.
    #[test]
    fn orders_keep_the_rules(events in prop::collection::vec(event(), 1..200)) {
        let mut response = Response::default();
        let mut now = Duration::ZERO;
        let mut want = None;
        let mut there = BTreeSet::new();
        // What the model knows: the order of each target, and until when or for what it is left alone.
        let mut out: BTreeMap<String, (u64, Need)> = BTreeMap::new();
        let mut done: BTreeMap<String, Result<Duration, Round>> = BTreeMap::new();
        for event in events {
            match event {
                Event::Later(millis) => now += Duration::from_millis(millis),
                Event::Need(wanted) => want = wanted.map(|(bytes, round)| need(bytes, round)),
                Event::Answer(freed) => {
                    if let Some((name, (number, asked))) = out.pop_first() {
                        let answer = response.answered(now, number, Bytes(freed));
                        prop_assert_eq!(answer.map(|(name, _)| name), Some(name.clone()));
                        prop_assert_eq!(response.answered(now, number, Bytes(1)), None, "told twice");
                        let all = Bytes(freed) >= asked.bytes;
                        done.insert(name, if all { Err(asked.round) } else { Ok(now + REST) });
                    }
                }
                Event::Change => {
                    response.changed();
                    done.retain(|_, rest| rest.is_err());
                }
                Event::Enlist(n, first) => {
                    response.enlist(NAMES[n], stage(first));
                    there.insert(NAMES[n]);
                    done.remove(NAMES[n]);
                }
                Event::Gone(n) => {
                    there.remove(NAMES[n]);
                    response.retain(|name| there.contains(name));
                    out.remove(NAMES[n]);
                    done.remove(NAMES[n]);
                }
            }
            response.lapsed(now);
            match response.next(now, want) {
                Move::Send { target, number, wanted, until } => {
                    let need = want.unwrap();
                    prop_assert_eq!(wanted, need.bytes);
                    prop_assert!(until > now);
                    prop_assert!(there.contains(target.as_str()));
                    prop_assert!(out.insert(target, (number, need)).is_none(), "two orders for one target");
                }
                Move::Hold { until } => {
                    prop_assert!(until > now, "held past the deadline");
                    prop_assert!(want.is_some() && !out.is_empty());
                }
                Move::Spent { asked } => {
                    prop_assert_eq!(asked, !there.is_empty());
                    for name in &there {
                        let asked = out.contains_key(*name) || match done.get(*name) {
                            Some(Ok(until)) => now < *until,
                            Some(Err(round)) => want.unwrap().round == *round,
                            None => false,
                        };
                        prop_assert!(asked, "{name} was not asked");
                    }
                }
                Move::Rest => prop_assert_eq!(want, None),
            }
        }
    }

    /// However targets answer, late or never, a need that stays is spent within the sum of the deadlines, and each
    /// target had at most one order for it.
    #[test]
    fn a_need_ends_within_the_sum_of_the_deadlines(
        stages in prop::collection::vec(any::<bool>(), 0..4),
        answers in prop::collection::vec(prop::option::of((0u64..8000, 0u64..200)), 4),
    ) {
        let mut response = Response::default();
        for (name, first) in NAMES.iter().zip(&stages) {
            response.enlist(name, stage(*first));
        }
        let bound: Duration = stages.iter().map(|first| deadline(stage(*first))).sum();
        let mut now = Duration::ZERO;
        let mut asked = Vec::new();
        loop {
            match response.next(now, Some(need(100, 1))) {
                Move::Send { number, target, until, .. } => {
                    prop_assert!(!asked.contains(&target));
                    let answer = answers[asked.len()];
                    asked.push(target);
                    match answer {
                        Some((after, freed)) if now + Duration::from_millis(after) < until => {
                            now += Duration::from_millis(after);
                            response.answered(now, number, Bytes(freed));
                        }
                        _ => {
                            now = until;
                            prop_assert_eq!(response.lapsed(now).len(), 1);
                        }
                    }
                }
                Move::Spent { .. } => break,
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(asked.len(), stages.len(), "everyone was asked");
        prop_assert!(now <= bound);
    }
}
