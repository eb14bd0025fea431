//! What is counted of every child, and under which label.

#![allow(clippy::expect_used, reason = "a helper that fails fails its test")]

use crate::common;

use std::time::Duration;

use common::*;
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::Instant;

use supervision::{
    Backoff, ChildSpec, Handling, Health, Instances, Policy, Restart, SupervisorSpec, Vital, Vitals,
};

fn of<'a>(vitals: &'a Vitals, label: &str) -> &'a Vital {
    let mut found = vitals.by_label.iter().filter(|(path, _)| **path == label);
    found
        .next()
        .map(|(_, vital)| vital)
        .expect("the label is there")
}

fn pool() -> (SupervisorSpec, Instances<Probe, Orders>) {
    let policy = Policy {
        restart: Restart::Transient,
        backoff: Backoff::none(),
        ..Policy::worker()
    };
    SupervisorSpec::simple_one_for_one("pool", 8, policy)
}

#[tokio::test(start_paused = true)]
async fn messages_are_counted_over_all_lives_and_the_one_that_crashed_is_not() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let admin = root.administration();
    for n in 0..5 {
        handle.ask(Say(n), SECOND).await.unwrap();
    }
    handle.tell(Crash("boom")).await.unwrap();
    handle.tell(Wake(SECOND)).await.unwrap();
    tokio::time::sleep(SECOND * 2).await;
    let vitals = admin.vitals(SECOND).await;
    let seen = of(&vitals, "root/a");
    assert_eq!(
        seen.handled, 7,
        "five, the one that set the alarm, and the alarm"
    );
    assert_eq!((seen.depth, seen.capacity, seen.paused), (0, 64, 0));
    handle.tell(Finish).await.unwrap();
    settle().await;
    let vitals = admin.vitals(SECOND).await;
    assert_eq!(of(&vitals, "root/a").handled, 8, "the last of a life, too");
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn the_queue_and_the_pause_are_seen() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let admin = root.administration();
    admin.pause("a", SECOND).await.unwrap();
    for n in 0..3 {
        handle.tell(Say(n)).await.unwrap();
    }
    let vitals = admin.vitals(SECOND).await;
    let seen = of(&vitals, "root/a");
    assert_eq!((seen.depth, seen.capacity, seen.paused), (3, 64, 1));
    let up = Health::ALL
        .iter()
        .position(|health| *health == Health::Up)
        .unwrap();
    assert_eq!(seen.health[up], 1);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn every_handler_that_waits_is_timed_and_the_others_are_estimated() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let admin = root.administration();
    for _ in 0..20 {
        handle.ask(Linger(ms(50)), SECOND).await.unwrap();
    }
    settle().await;
    let vitals = admin.vitals(SECOND).await;
    let seen = &of(&vitals, "root/a").handling;
    let bucket = Handling::BOUNDS
        .iter()
        .position(|bound| *bound == ms(100))
        .unwrap();
    assert_eq!((seen.counts[bucket], seen.count()), (20, 20));
    assert_eq!(seen.total, ms(50) * 20);
    for n in 0..320 {
        handle.ask(Say(n), SECOND).await.unwrap();
    }
    settle().await;
    let vitals = admin.vitals(SECOND).await;
    let seen = of(&vitals, "root/a");
    assert_eq!((seen.handled, seen.handling.count()), (340, 340));
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_and_goes_has_one_label_and_its_counts_stay() {
    let log = Log::default();
    let (spec, pool) = pool();
    let root = started(root().child(ChildSpec::supervisor(spec))).await;
    let admin = root.administration();
    for n in 0..50 {
        let one = pool
            .start(format!("w{n}"), Orders::new("w", &log))
            .await
            .unwrap();
        one.ask(Say(n), SECOND).await.unwrap();
        one.tell(Finish).await.unwrap();
        settle().await;
    }
    let last = pool.start("last", Orders::new("w", &log)).await.unwrap();
    last.ask(Say(0), SECOND).await.unwrap();
    settle().await;
    let vitals = admin.vitals(SECOND).await;
    let labels: Vec<&str> = vitals
        .by_label
        .keys()
        .map(supervision::ChildPath::as_str)
        .collect();
    assert_eq!(labels, ["root", "root/pool", "root/pool/*"]);
    assert_eq!(of(&vitals, "root/pool/*").handled, 101);
    admin.restart("pool", SECOND).await.unwrap();
    let vitals = admin.vitals(SECOND).await;
    assert_eq!(
        of(&vitals, "root/pool/*").handled,
        101,
        "nothing is taken back"
    );
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn counters_never_go_back_when_a_supervisor_cannot_answer() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let team = SupervisorSpec::new("team").intensity(0, SECOND).child(a);
    let patient = Backoff {
        base: MINUTE * 600,
        cap: MINUTE * 600,
        healthy_after: MINUTE,
    };
    let team = ChildSpec::supervisor(team).backoff(patient);
    let root = started(root().child(team)).await;
    let admin = root.administration();
    handle.ask(Say(1), SECOND).await.unwrap();
    settle().await;
    assert_eq!(of(&admin.vitals(SECOND).await, "root/team/a").handled, 1);
    handle.tell(Crash("boom")).await.unwrap();
    settle().await;
    let vitals = admin.vitals(SECOND).await;
    assert_eq!(of(&vitals, "root/team/a").handled, 1);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn the_text_is_prometheus_and_its_buckets_add_up() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    for takes in [0, 50, 50, 5000] {
        handle.ask(Linger(ms(takes)), MINUTE).await.unwrap();
    }
    settle().await;
    let text = root.administration().vitals(SECOND).await.to_prometheus();
    for line in [
        "# TYPE paraphym_supervision_messages_total counter",
        "paraphym_supervision_messages_total{child=\"root/a\"} 4",
        "# TYPE paraphym_supervision_handling_seconds histogram",
        "paraphym_supervision_handling_seconds_bucket{child=\"root/a\",le=\"0.01\"} 0",
        "paraphym_supervision_handling_seconds_bucket{child=\"root/a\",le=\"0.1\"} 2",
        "paraphym_supervision_handling_seconds_bucket{child=\"root/a\",le=\"10\"} 3",
        "paraphym_supervision_handling_seconds_bucket{child=\"root/a\",le=\"+Inf\"} 3",
        "paraphym_supervision_handling_seconds_count{child=\"root/a\"} 3",
        "paraphym_supervision_queue_capacity{child=\"root/a\"} 64",
        "paraphym_supervision_health{child=\"root/a\",state=\"up\"} 1",
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line} in\n{text}");
    }
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_who_looks_and_a_look_waits_for_no_actor() {
    let log = Log::default();
    let (busy, handle) = Orders::new("busy", &log).spec();
    let (full, waiting) = Orders::new("full", &log).spec();
    let (stuck, lingering) = Orders::new("stuck", &log).spec();
    let root = started(root().child(busy).child(full).child(stuck)).await;
    let admin = root.administration();
    admin.pause("full", SECOND).await.unwrap();
    for n in 0..64 {
        waiting.tell(Say(n)).await.unwrap();
    }
    lingering.tell(Linger(MINUTE)).await.unwrap();
    settle().await;
    // The clock goes on only when everybody waits: it stands still as long as somebody is served at once.
    let begun = Instant::now();
    // Looks that were begun, and that nobody goes on with: a reader that never reads.
    let mut unread: Vec<_> = (0..40).map(|_| Box::pin(admin.vitals(MINUTE))).collect();
    for look in &mut unread {
        assert!(look.now_or_never().is_none(), "it has begun to ask");
    }
    for n in 0..300 {
        let (vitals, said) = tokio::join!(admin.vitals(MINUTE), handle.ask(Say(n), SECOND));
        said.unwrap();
        assert!(vitals.to_prometheus().contains("root/busy"));
    }
    // Hundreds at once, and messages among them.
    let looks = join_all((0..300).map(|_| admin.vitals(MINUTE)));
    let talk = async {
        for n in 0..300 {
            handle.ask(Say(n), SECOND).await.unwrap();
        }
    };
    let (looks, ()) = tokio::join!(looks, talk);
    assert_eq!(begun.elapsed(), Duration::ZERO, "somebody waited");
    let mut whole = 0;
    for seen in &looks {
        assert!(of(seen, "root/busy").handled >= 300, "counters are kept");
        // Of more looks than a supervisor has room for, some go without what it would have said.
        if let Some((_, full)) = seen.by_label.iter().find(|(path, _)| **path == "root/full") {
            assert_eq!((full.depth, full.capacity, full.paused), (64, 64, 1));
            assert_eq!(of(seen, "root/stuck").handled, 0, "in hand all the while");
            whole += 1;
        }
    }
    assert!(whole >= 64, "{whole}");
    let last = admin.vitals(MINUTE).await;
    assert_eq!(of(&last, "root/busy").handled, 600);
    drop(unread);
    admin.resume("full", SECOND).await.unwrap();
    root.stop(MINUTE * 2).await;
}
