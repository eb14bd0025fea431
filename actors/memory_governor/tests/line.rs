//! Who waits for memory, as they see it: in turn, with a deadline, knowing where they stand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use common::{DEADLINE, Tree, answered, start, start_limited, wish};
use domain::Bytes;
use memory_governor::client::reserve_within;
use memory_governor::line::MOST_WAITING;
use memory_governor::{
    GovernorConfig, Many, ReserveError, ReserveMany, SetLimit, WaiterInfo, Waiting,
};
use paraphym_memory_governor as memory_governor;
use tokio::time::{Instant, advance, sleep};

const MINUTE: Duration = Duration::from_mins(1);

fn positions(waiting: &[&Waiting]) -> Vec<usize> {
    waiting.iter().map(|place| place.position()).collect()
}

async fn many(
    tree: &Tree,
    each: u64,
    at_least: u32,
    at_most: u32,
) -> Result<(u32, u64), ReserveError> {
    let wish = ReserveMany {
        owner: "a lane".to_owned(),
        purpose: "kv".to_owned(),
        each: Bytes(each),
        at_least,
        at_most,
    };
    let Many { lease, count } = answered(tree.governor.ask(wish, DEADLINE).await)?;
    let held = lease.bytes();
    assert_eq!(tree.status().await.leased, held, "one lease for all");
    Ok((count, held.0))
}

#[tokio::test(start_paused = true)]
async fn as_many_as_fit_come_in_one_answer() {
    let tree = start_limited(100).await;
    assert_eq!(many(&tree, 30, 1, 9).await, Ok((3, 90)));
    assert_eq!(many(&tree, 30, 1, 2).await, Ok((2, 60)));
    for (each, at_least, at_most, text) in [
        (30, 4, 9, "120 B needed, 100 B is all there is"),
        (0, 1, 9, "0 bytes"),
        (30, 0, 9, "at_least is 0"),
        (30, 3, 2, "at_most is 2"),
    ] {
        let error = many(&tree, each, at_least, at_most).await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
    let _held = tree.reserve(100).await.unwrap();
    let waiting = tree.wait("first", 10, MINUTE).await.unwrap();
    let refused = many(&tree, 1, 1, 1).await.unwrap_err();
    assert_eq!(refused.waiting(), 1);
    drop(waiting);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_in_turn_and_told_the_position() {
    let tree = start_limited(100).await;
    let held = tree.reserve(90).await.unwrap();
    let large = tree.wait("large", 80, MINUTE).await.unwrap();
    advance(Duration::from_secs(3)).await;
    let small = tree.wait("small", 5, MINUTE).await.unwrap();
    let last = tree.wait("last", 50, MINUTE).await.unwrap();
    assert_eq!(positions(&[&large, &small, &last]), [1, 2, 3]);
    let waiters = tree.status().await.waiters;
    let expected = WaiterInfo {
        owner: "large".to_owned(),
        purpose: "something".to_owned(),
        bytes: Bytes(80),
        position: 1,
        waited: Duration::from_secs(3),
    };
    assert_eq!((waiters.len(), &waiters[0]), (3, &expected));
    assert_eq!(
        (waiters[2].owner.as_str(), waiters[2].position),
        ("last", 3)
    );
    // Ten bytes are free: whoever needs less does not overtake, nor does who comes now.
    assert_eq!(
        tree.reserve(1).await.unwrap_err(),
        ReserveError::Refused {
            purpose: "something".to_owned(),
            needed: Bytes(1),
            available: Bytes(10),
            limit: Bytes(100),
            waiting: 3,
        }
    );
    // Enough comes back in a part: nobody has to ask.
    let mut moved = last.positions();
    moved.mark_unchanged();
    held.shrink_to(Bytes(20));
    let large = large.granted().await.unwrap();
    assert_eq!(large.bytes(), Bytes(80));
    assert_eq!(positions(&[&small, &last]), [1, 2]);
    moved.changed().await.unwrap();
    assert_eq!(*moved.borrow_and_update(), 2);
    assert_eq!(tree.status().await.leased, Bytes(100));
    drop(large);
    let (small, last) = (
        small.granted().await.unwrap(),
        last.granted().await.unwrap(),
    );
    assert!(
        moved.changed().await.is_err(),
        "there is nothing more to tell"
    );
    assert_eq!(tree.status().await.leased, Bytes(75));
    drop((held, small, last));
    let status = tree.status().await;
    assert_eq!((status.leased, status.waiters), (Bytes::ZERO, Vec::new()));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_when_it_says() {
    // Nothing else wakes the governor.
    let poll = Duration::from_hours(1);
    let limit = Some(Bytes(100));
    let tree = common::start_with(GovernorConfig { limit, poll }).await;
    let _held = tree.reserve(60).await.unwrap();
    let asked = Instant::now();
    let patient = tree.wait("patient", 70, MINUTE).await.unwrap();
    let hasty = tree
        .wait("hasty", 50, Duration::from_secs(5))
        .await
        .unwrap();
    let behind = tree.wait("behind", 40, MINUTE * 2).await.unwrap();
    assert_eq!(
        hasty.granted().await.unwrap_err(),
        ReserveError::GaveUp {
            purpose: "something".to_owned(),
            needed: Bytes(50),
            available: Bytes(40),
            limit: Bytes(100),
            waited: Duration::from_secs(5),
            ahead: 1,
        }
    );
    assert_eq!(asked.elapsed(), Duration::from_secs(5));
    assert_eq!(positions(&[&patient, &behind]), [1, 2]);
    // The end of one's patience is the turn of the next.
    assert!(patient.granted().await.is_err());
    assert_eq!(asked.elapsed(), MINUTE);
    let behind = behind.granted().await.unwrap();
    assert_eq!(asked.elapsed(), MINUTE);
    drop(behind);
    // Without patience it is a question in turn.
    let now = reserve_within(&tree.governor, wish("now", 40), Duration::ZERO).await;
    assert_eq!(now.unwrap().bytes(), Bytes(40));
    let now = reserve_within(&tree.governor, wish("now", 41), Duration::ZERO).await;
    assert!(matches!(answered(now), Err(ReserveError::GaveUp { .. })));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_the_line_makes_room() {
    let tree = start_limited(100).await;
    let _held = tree.reserve(60).await.unwrap();
    let first = tree.wait("first", 70, MINUTE).await.unwrap();
    let second = tree.wait("second", 60, MINUTE).await.unwrap();
    let third = tree.wait("third", 40, MINUTE).await.unwrap();
    let mut moved = third.positions();
    drop(first);
    moved.changed().await.unwrap();
    assert_eq!(*moved.borrow_and_update(), 2);
    // A future that is not waited for any more has left, too.
    assert!(
        tokio::time::timeout(Duration::from_secs(1), second.granted())
            .await
            .is_err()
    );
    assert_eq!(third.granted().await.unwrap().bytes(), Bytes(40));
    assert_eq!(tree.status().await.waiters, []);
    // Whoever goes without looking at the answer gives it back.
    let unread = tree.wait("unread", 40, MINUTE).await.unwrap();
    assert_eq!(tree.status().await.leased, Bytes(100));
    drop(unread);
    assert_eq!(tree.status().await.leased, Bytes(60));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_moves_serves_or_turns_away() {
    let tree = start_limited(100).await;
    let _held = tree.reserve(60).await.unwrap();
    let limit = async |bytes| {
        let wish = SetLimit {
            bytes: Some(Bytes(bytes)),
        };
        tree.governor.ask(wish, DEADLINE).await.unwrap()
    };
    let too_large = tree.wait("too large", 101, MINUTE).await.unwrap_err();
    assert!(too_large.never_fits(), "{too_large}");
    let first = tree.wait("first", 100, MINUTE).await.unwrap();
    let second = tree.wait("second", 45, MINUTE).await.unwrap();
    let third = tree.wait("third", 10, MINUTE).await.unwrap();
    assert_eq!(limit(90).await.waiters.len(), 2);
    let error = first.granted().await.unwrap_err();
    assert!(error.never_fits(), "{error}");
    assert_eq!(positions(&[&second, &third]), [1, 2]);
    assert_eq!(limit(105).await.waiters.len(), 1);
    let second = second.granted().await.unwrap();
    assert_eq!(limit(115).await.waiters, []);
    let third = third.granted().await.unwrap();
    assert_eq!(tree.status().await.leased, Bytes(115));
    drop((second, third));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_machine_grows_and_whoever_waits_is_served() {
    let tree = start().await;
    let _held = tree.reserve(700 * 1024).await.unwrap();
    let waiting = tree.wait("patient", 100 * 1024, MINUTE).await.unwrap();
    tree.machine.ram(1600, 1600);
    let asked = Instant::now();
    let lease = waiting.granted().await.unwrap();
    assert_eq!(asked.elapsed(), Duration::from_secs(5), "the next look");
    drop(lease);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_line_is_bounded_and_says_so() {
    let tree = start_limited(100).await;
    let held = tree.reserve(100).await.unwrap();
    let mut line = Vec::new();
    for _ in 0..MOST_WAITING {
        line.push(tree.wait("one of many", 1, MINUTE).await.unwrap());
    }
    let refused = tree.wait("one too many", 1, MINUTE).await.unwrap_err();
    assert!(matches!(refused, ReserveError::LineFull { .. }));
    line.pop();
    assert!(tree.wait("one", 1, MINUTE).await.is_ok());
    drop((line, held));
    assert_eq!(tree.status().await.leased, Bytes::ZERO);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn why_tells_who_waited_how_long_and_who_gave_up() {
    let tree = start_limited(100).await;
    let held = tree.reserve(50).await.unwrap();
    let first = tree.wait("first", 60, MINUTE).await.unwrap();
    let second = tree
        .wait("second", 40, Duration::from_secs(2))
        .await
        .unwrap();
    assert!(tree.reserve(10).await.is_err());
    assert!(second.granted().await.is_err());
    drop(held);
    let first = first.granted().await.unwrap();
    let told: Vec<_> = tree
        .why()
        .await
        .decisions
        .iter()
        .map(|decision| decision.what.to_string())
        .collect();
    assert_eq!(
        told,
        [
            "budget from 0 B to 100 B, 0 B leased",
            "refused a test 10 B for something: 50 B available of 100 B, 2 wait before it",
            "second gave up after 2s in line, 1 before it: 40 B needed for something, 50 B available of 100 B",
            "granted first 60 B for something after 2s in line",
            "pressure from low to normal: 60.0% of the budget is leased",
        ]
    );
    drop(first);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_of_the_end_of_the_tree() {
    let tree = start_limited(100).await;
    let _held = tree.reserve(100).await.unwrap();
    let waiting = tree.wait("patient", 1, MINUTE).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let governor = tree.governor.clone();
    tree.stop().await;
    let asked = Instant::now();
    let error = waiting.granted().await.unwrap_err();
    assert!(matches!(error, ReserveError::NoAnswer { .. }));
    assert_eq!(asked.elapsed(), Duration::ZERO);
    let late = reserve_within(&governor, wish("late", 1), MINUTE).await;
    assert!(late.is_err());
}
