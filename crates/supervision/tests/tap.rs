//! A look at the messages of one actor: what is shown, and that it ends by itself.

use crate::common;

use common::*;
use supervision::{
    AdminError, Administration, ChildSpec, Handle, Outcome, RootHandle, Tap, TapLimits, Tapped,
};

async fn probe() -> (RootHandle, Administration, Handle<Probe>) {
    let (a, handle) = Orders::new("a", &Log::default()).spec();
    let root = started(root().child(a)).await;
    let admin = root.administration();
    (root, admin, handle)
}

fn limits(messages: u64, per_second: u32) -> TapLimits {
    TapLimits {
        lasts: MINUTE,
        messages,
        per_second,
    }
}

async fn all(mut tap: Tap) -> Vec<Tapped> {
    let mut seen = Vec::new();
    while let Some(message) = tap.next().await {
        seen.push(message);
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn each_message_is_shown_with_its_wait_its_time_and_its_end() {
    let (root, admin, handle) = probe().await;
    let tap = admin.tap("a", limits(5, 100), SECOND).await.unwrap();
    handle.tell(Linger(ms(200))).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    handle.tell(Crash("boom")).await.unwrap();
    handle.tell(Wake(ms(500))).await.unwrap();
    let seen = all(tap).await;
    let shown: Vec<_> = seen
        .iter()
        .map(|one| (one.message.as_str(), one.waited, one.took, one.outcome))
        .collect();
    let zero = Some(ms(0));
    let expected = [
        ("Linger", zero, ms(200), Outcome::Handled),
        ("Say", Some(ms(200)), ms(0), Outcome::Handled),
        ("Crash", Some(ms(200)), ms(0), Outcome::Crashed),
        ("Wake", Some(ms(200)), ms(0), Outcome::Handled),
        ("AlarmDue", None, ms(0), Outcome::Handled),
    ];
    assert_eq!(shown, expected);
    let lives: Vec<u64> = seen.iter().map(|one| one.incarnation).collect();
    assert_eq!(lives, [1, 1, 1, 2, 2], "a restart does not end the look");
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_killed_in_a_message_is_shown_so() {
    let (root, admin, handle) = probe().await;
    let tap = admin.tap("a", limits(1, 100), SECOND).await.unwrap();
    handle.tell(Linger(MINUTE)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    admin.kill("a", SECOND).await.unwrap();
    let seen = all(tap).await;
    assert_eq!((seen[0].took, seen[0].outcome), (SECOND, Outcome::Killed));
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_too_fast_is_left_out_and_counted() {
    let (root, admin, handle) = probe().await;
    let tap = admin.tap("a", limits(4, 3), SECOND).await.unwrap();
    for n in 0..10 {
        handle.ask(Say(n), SECOND).await.unwrap();
    }
    tokio::time::sleep(SECOND).await;
    handle.ask(Say(10), SECOND).await.unwrap();
    let missed: Vec<u64> = all(tap).await.iter().map(|one| one.missed).collect();
    assert_eq!(missed, [0, 0, 0, 7]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_look_ends_with_its_time_its_count_its_reader_and_its_child() {
    let (root, admin, handle) = probe().await;
    let began = tokio::time::Instant::now();
    let tap = admin.tap("a", limits(1000, 10), SECOND).await.unwrap();
    handle.ask(Say(1), SECOND).await.unwrap();
    settle().await;
    assert_eq!(all(tap).await.len(), 1);
    assert_eq!(began.elapsed(), MINUTE, "its time");
    let tap = admin.tap("a", limits(2, 10), SECOND).await.unwrap();
    for n in 0..5 {
        handle.ask(Say(n), SECOND).await.unwrap();
    }
    let began = tokio::time::Instant::now();
    assert_eq!(all(tap).await.len(), 2, "its count");
    assert!(began.elapsed() < SECOND);
    for _ in 0..20 {
        drop(admin.tap("a", limits(2, 10), SECOND).await.unwrap());
        handle.ask(Say(1), SECOND).await.unwrap();
    }
    let tap = admin.tap("a", limits(2, 10), SECOND).await.unwrap();
    let began = tokio::time::Instant::now();
    admin.stop("a", SECOND).await.unwrap();
    assert_eq!(all(tap).await, [], "its child");
    assert!(began.elapsed() < SECOND);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_never_reads_holds_nobody_up_and_costs_a_bounded_queue() {
    let (root, admin, handle) = probe().await;
    let limits = TapLimits {
        lasts: MINUTE * 10,
        messages: 100_000,
        per_second: 1000,
    };
    let mut tap = admin.tap("a", limits, SECOND).await.unwrap();
    for n in 0..900 {
        handle.ask(Say(n), SECOND).await.unwrap();
    }
    settle().await;
    for _ in 0..256 {
        assert_eq!(tap.next().await.unwrap().missed, 0);
    }
    handle.ask(Say(1), SECOND).await.unwrap();
    assert_eq!(tap.next().await.unwrap().missed, 900 - 256);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn four_may_look_and_limits_are_refused_by_field() {
    let (root, admin, _handle) = probe().await;
    let mut taps = Vec::new();
    for _ in 0..4 {
        taps.push(admin.tap("a", TapLimits::default(), SECOND).await.unwrap());
    }
    let error = admin
        .tap("a", TapLimits::default(), SECOND)
        .await
        .unwrap_err();
    assert!(
        matches!(error, AdminError::TooManyTaps { most: 4, .. }),
        "{error}"
    );
    taps.pop();
    admin.tap("a", TapLimits::default(), SECOND).await.unwrap();
    let usual = TapLimits::default();
    let table = [
        (
            "lasts",
            TapLimits {
                lasts: ms(0),
                ..usual
            },
        ),
        (
            "lasts",
            TapLimits {
                lasts: MINUTE * 11,
                ..usual
            },
        ),
        (
            "messages",
            TapLimits {
                messages: 0,
                ..usual
            },
        ),
        (
            "per_second",
            TapLimits {
                per_second: 1001,
                ..usual
            },
        ),
    ];
    for (wrong, limits) in table {
        let error = admin.tap("a", limits, SECOND).await.unwrap_err();
        assert!(
            matches!(error, AdminError::Limit { field, .. } if field == wrong),
            "{error}"
        );
    }
    root.supervisor()
        .start_child(ChildSpec::task("pump", |context| async move {
            context.ready();
            context.stopping().await;
            Ok(())
        }))
        .await
        .unwrap();
    let error = admin.tap("pump", usual, SECOND).await.unwrap_err();
    assert!(matches!(error, AdminError::NoQueue { .. }), "{error}");
    root.stop(MINUTE).await;
}
