//! What happens when memory is missing: others are asked to let some go, in turn, and only then someone is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use common::{KIB, start};
use domain::Bytes;
use memory_governor::pressure::Source;
use memory_governor::{Level, ReserveError, Stage, Standing};
use paraphym_memory_governor as memory_governor;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
/// Above the poll of 5 s.
const POLL: Duration = Duration::from_millis(5001);

#[tokio::test(start_paused = true)]
async fn who_waits_is_helped_by_caches_first_then_by_idle_models() {
    let tree = start().await;
    let mut caches = tree.enlist("cache_janitor", Stage::Caches).await;
    let mut models = tree.enlist("model_host", Stage::IdleModels).await;
    let prefix = tree.reserve(100 * KIB).await.unwrap();
    let idle = tree.reserve(600 * KIB).await.unwrap();
    assert!(
        caches.try_recv().is_err(),
        "a full ledger alone asks nobody"
    );

    let waiting = tree.wait("lane", 250 * KIB, MINUTE).await.unwrap();
    let order = caches.recv().await.unwrap();
    assert_eq!(order.wanted, Bytes(250 * KIB));
    assert_eq!(order.reason, "lane waits for 250.0 KiB for something");
    let status = tree.status().await;
    assert_eq!(status.standing, Standing::Holding);
    assert_eq!(status.targets[0].order.as_ref().unwrap().number, 1);
    assert_eq!(models.try_recv().unwrap_err(), TryRecvError::Empty);
    sleep(SECOND).await;
    drop(prefix);
    order.done(Bytes(100 * KIB));

    let order = models.recv().await.unwrap();
    assert_eq!(order.wanted, Bytes(150 * KIB), "what is still missing");
    idle.shrink_to(Bytes::ZERO);
    order.done(Bytes(600 * KIB));
    let lease = waiting.granted().await.unwrap();
    assert_eq!(lease.bytes(), Bytes(250 * KIB));
    let status = tree.status().await;
    assert_eq!(status.standing, Standing::Calm);
    let last: Vec<_> = status
        .targets
        .iter()
        .map(|t| {
            (
                t.name.as_str(),
                t.order.is_some(),
                t.last.clone().unwrap().freed.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        last,
        [
            ("cache_janitor", false, Bytes(100 * KIB)),
            ("model_host", false, Bytes(600 * KIB))
        ]
    );
    assert_eq!(
        tree.told("order").await,
        [
            "order 1 to cache_janitor for 250.0 KiB of caches: 100.0 KiB freed after 1s; lane waits for 250.0 KiB for something",
            "order 2 to model_host for 150.0 KiB of idle models: 600.0 KiB freed after 0ns; lane waits for 250.0 KiB for something",
        ]
    );
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_helped_is_refused_at_once_and_with_nobody_to_ask_waits() {
    let tree = start().await;
    let lease = tree.reserve(600 * KIB).await.unwrap();
    // Nobody to ask: whoever ends may make room.
    let alone = tree.wait("lane", 200 * KIB, MINUTE).await.unwrap();
    sleep(SECOND * 59).await;
    assert_eq!(tree.status().await.waiters.len(), 1);
    drop(alone);

    let mut caches = tree.enlist("cache_janitor", Stage::Caches).await;
    let begun = Instant::now();
    let first = tree.wait("lane", 200 * KIB, MINUTE).await.unwrap();
    let second = tree.wait("lane", 300 * KIB, MINUTE).await.unwrap();
    let small = tree.wait("lane", 100 * KIB, MINUTE).await.unwrap();
    drop(caches.recv().await.unwrap());
    let refused = |needed: u64| ReserveError::Refused {
        purpose: "something".to_owned(),
        needed: Bytes(needed * KIB),
        available: Bytes(100 * KIB),
        limit: Bytes(700 * KIB),
        waiting: 0,
    };
    assert_eq!(first.granted().await.unwrap_err(), refused(200));
    assert_eq!(second.granted().await.unwrap_err(), refused(300));
    let small = small.granted().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO, "at once");
    assert!(
        caches.try_recv().is_err(),
        "it had nothing, and was not asked again"
    );

    // Something ended: now it may have something.
    drop((lease, small));
    let held = tree.reserve(700 * KIB).await.unwrap();
    let third = tree.wait("lane", 50 * KIB, MINUTE).await.unwrap();
    let order = caches.recv().await.unwrap();
    held.shrink_to(Bytes(650 * KIB));
    order.done(Bytes(50 * KIB));
    assert!(third.granted().await.is_ok());
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_keeps_its_order_too_long_is_passed_over() {
    let tree = start().await;
    let mut caches = tree.enlist("cache_janitor", Stage::Caches).await;
    let mut models = tree.enlist("model_host", Stage::IdleModels).await;
    let lease = tree.reserve(700 * KIB).await.unwrap();
    let begun = Instant::now();
    let waiting = tree.wait("lane", 100 * KIB, MINUTE).await.unwrap();
    let kept = caches.recv().await.unwrap();
    let order = models.recv().await.unwrap();
    assert_eq!(
        begun.elapsed(),
        Duration::from_secs(2),
        "the deadline of a cache"
    );
    assert_eq!(kept.until(), begun + Duration::from_secs(2));
    lease.shrink_to(Bytes(600 * KIB));
    order.done(Bytes(100 * KIB));
    let granted = waiting.granted().await.unwrap();

    // It is not asked again before it has answered, whatever changes.
    let waiting = tree.wait("lane", 10 * KIB, MINUTE).await.unwrap();
    drop(models.recv().await.unwrap());
    let mut told = std::pin::pin!(waiting.granted());
    let wait = tokio::time::timeout(Duration::from_secs(10), &mut told).await;
    assert!(wait.is_err(), "what is on its way may be enough");
    assert_eq!(caches.try_recv().unwrap_err(), TryRecvError::Empty);
    kept.done(Bytes(1));
    assert!(told.await.is_err(), "now everyone has said all");
    drop(granted);
    let full = tree.reserve(100 * KIB).await.unwrap();
    let waiting = tree.wait("lane", 10 * KIB, MINUTE).await.unwrap();
    let order = caches.recv().await.unwrap();
    drop(full);
    order.done(Bytes(100 * KIB));
    assert!(waiting.granted().await.is_ok());
    let why = tree.told("order 1 ").await;
    assert_eq!(
        why,
        [
            "order 1 to cache_janitor for 100.0 KiB of caches: no answer within 2s; lane waits for 100.0 KiB for something",
            "order 1 to cache_janitor for 100.0 KiB of caches: 1 B freed after 12s; lane waits for 100.0 KiB for something",
        ]
    );
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_machine_is_relieved_while_those_in_line_are_held() {
    let tree = start().await;
    let mut caches = tree.enlist("cache_janitor", Stage::Caches).await;
    let held = tree.reserve(690 * KIB).await.unwrap();
    let waiting = tree.wait("lane", 20 * KIB, MINUTE).await.unwrap();
    drop(caches.recv().await.unwrap());
    assert!(waiting.granted().await.is_err(), "everyone was asked");

    // 87% of the host: 80% are to be reached, 56 KiB are missing.
    tree.machine.ram(800, 104);
    sleep(POLL).await;
    let order = caches.recv().await.unwrap();
    assert_eq!(order.wanted, Bytes(56 * KIB));
    assert_eq!(order.reason, "high: 87.0% of the host's RAM is in use");
    let waiting = tree.wait("lane", 20 * KIB, MINUTE).await.unwrap();
    held.shrink_to(Bytes(500 * KIB));
    // What would fit is not given out while the machine is being relieved.
    assert_eq!(tree.status().await.waiters.len(), 1);
    assert_eq!(tree.status().await.available, Bytes(200 * KIB));
    tree.machine.ram(800, 300);
    order.done(Bytes(190 * KIB));
    let lease = waiting.granted().await.unwrap();
    // It is looked at again soon, whatever the interval.
    let looks = tree.machine.looks();
    sleep(Duration::from_millis(1001)).await;
    assert_eq!(tree.machine.looks(), looks + 1);
    let status = tree.status().await;
    assert_eq!(
        (status.standing, status.pressure.source),
        (Standing::Calm, Source::Ledger)
    );
    drop(lease);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_critical_machine_lends_nothing_when_all_were_asked() {
    let tree = start().await;
    let mut caches = tree.enlist("cache_janitor", Stage::Caches).await;
    let mut models = tree.enlist("model_host", Stage::IdleModels).await;
    let held = tree.reserve(300 * KIB).await.unwrap();
    tree.machine.ram(800, 20);
    sleep(POLL).await;
    let order = caches.recv().await.unwrap();
    assert_eq!(order.wanted, Bytes(140 * KIB));
    // In line one waits for the end of the orders.
    let waiting = tree.wait("lane", 10 * KIB, MINUTE).await.unwrap();
    order.done(Bytes::ZERO);
    let order = models.recv().await.unwrap();
    assert_eq!(tree.status().await.waiters.len(), 1);
    order.done(Bytes::ZERO);
    let refused = ReserveError::Refused {
        purpose: "something".to_owned(),
        needed: Bytes(10 * KIB),
        available: Bytes::ZERO,
        limit: Bytes(700 * KIB),
        waiting: 0,
    };
    assert_eq!(waiting.granted().await.unwrap_err(), refused);
    assert_eq!(tree.reserve(10 * KIB).await.unwrap_err(), refused);
    let status = tree.status().await;
    assert_eq!(
        (status.standing, status.pressure.level),
        (Standing::Spent, Level::Critical)
    );
    assert_eq!(status.available, Bytes(400 * KIB), "by the ledger");
    assert_eq!(
        tree.told("refused").await,
        [
            "refused lane 10.0 KiB for something: 0 B available of 700.0 KiB",
            "refused a test 10.0 KiB for something: 0 B available of 700.0 KiB",
        ]
    );
    // The machine is well again.
    tree.machine.ram(800, 400);
    sleep(POLL).await;
    assert!(tree.reserve(10 * KIB).await.is_ok());
    drop(held);
    tree.stop().await;
}

/// Idle conversations are no leases: what is freed of them helps nobody who waits, and must not hide that there is more.
#[tokio::test(start_paused = true)]
async fn who_gave_all_but_not_all_of_it_leased_is_asked_for_the_rest() {
    let tree = start().await;
    let mut caches = tree.enlist("cache_janitor", Stage::Caches).await;
    let mut models = tree.enlist("model_host", Stage::IdleModels).await;
    let prefixes = tree.reserve(700 * KIB).await.unwrap();
    let waiting = tree.wait("lane", 200 * KIB, MINUTE).await.unwrap();
    let order = caches.recv().await.unwrap();
    prefixes.shrink_to(Bytes(510 * KIB));
    order.done(Bytes(200 * KIB));
    let order = caches.recv().await.unwrap();
    assert_eq!(order.wanted, Bytes(10 * KIB));
    assert_eq!(models.try_recv().unwrap_err(), TryRecvError::Empty);
    prefixes.shrink_to(Bytes(400 * KIB));
    order.done(Bytes(110 * KIB));
    assert!(waiting.granted().await.is_ok());

    // One that says so and gives nothing is passed over.
    let waiting = tree.wait("lane", 310 * KIB, MINUTE).await.unwrap();
    let order = caches.recv().await.unwrap();
    order.done(Bytes(300 * KIB));
    drop(models.recv().await.unwrap());
    assert!(waiting.granted().await.is_err());
    tree.stop().await;
}

/// What ends while one is asked may be what another now has.
#[tokio::test(start_paused = true)]
async fn who_had_nothing_is_asked_again_for_what_ended_while_another_was_asked() {
    let tree = start().await;
    let mut caches = tree.enlist("cache_janitor", Stage::Caches).await;
    let mut models = tree.enlist("model_host", Stage::IdleModels).await;
    let held = tree.reserve(700 * KIB).await.unwrap();
    let waiting = tree.wait("lane", 100 * KIB, MINUTE).await.unwrap();
    drop(caches.recv().await.unwrap());
    let order = models.recv().await.unwrap();
    // A conversation ends; what is kept of it is a cache's now.
    held.shrink_to(Bytes(690 * KIB));
    assert_eq!(tree.status().await.leased, Bytes(690 * KIB));
    drop(order);
    let order = caches.recv().await.unwrap();
    assert_eq!(order.wanted, Bytes(90 * KIB));
    held.shrink_to(Bytes(600 * KIB));
    order.done(Bytes(90 * KIB));
    assert!(waiting.granted().await.is_ok());
    tree.stop().await;
}

/// A reading is as old as it is: what was freed since is not missing any more, and nobody pays for it twice.
#[tokio::test(start_paused = true)]
async fn what_was_freed_since_the_look_is_asked_of_nobody_else() {
    let tree = start().await;
    let mut caches = tree.enlist("cache_janitor", Stage::Caches).await;
    let mut models = tree.enlist("model_host", Stage::IdleModels).await;
    let held = tree.reserve(600 * KIB).await.unwrap();
    // 90% of the host: 80 KiB are missing.
    tree.machine.ram(800, 80);
    sleep(POLL).await;
    let order = caches.recv().await.unwrap();
    assert_eq!(order.wanted, Bytes(80 * KIB));
    held.shrink_to(Bytes(570 * KIB));
    order.done(Bytes(30 * KIB));
    let order = models.recv().await.unwrap();
    assert_eq!(order.wanted, Bytes(50 * KIB), "what is still missing");
    held.shrink_to(Bytes(520 * KIB));
    order.done(Bytes(50 * KIB));

    // Not much better: by a new look all are asked anew, and whoever gives all ends it until the next.
    tree.machine.ram(800, 100);
    let order = caches.recv().await.unwrap();
    assert_eq!(order.wanted, Bytes(60 * KIB));
    drop(order);
    let order = models.recv().await.unwrap();
    assert_eq!(order.wanted, Bytes(60 * KIB));
    held.shrink_to(Bytes(400 * KIB));
    tree.machine.ram(800, 400);
    order.done(Bytes(120 * KIB));
    // Neither by a waiter's order in between.
    let waiting = tree.wait("lane", 350 * KIB, MINUTE).await.unwrap();
    drop(caches.recv().await.unwrap());
    let order = models.recv().await.unwrap();
    assert_eq!(order.wanted, Bytes(50 * KIB));
    assert_eq!(order.reason, "lane waits for 350.0 KiB for something");
    held.shrink_to(Bytes(350 * KIB));
    order.done(Bytes(50 * KIB));
    assert!(waiting.granted().await.is_ok());
    sleep(MINUTE).await;
    assert_eq!(models.try_recv().unwrap_err(), TryRecvError::Empty);
    assert_eq!(caches.try_recv().unwrap_err(), TryRecvError::Empty);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_in_line_is_refused_before_a_look_at_what_was_freed() {
    let tree = start().await;
    let mut caches = tree.enlist("cache_janitor", Stage::Caches).await;
    let held = tree.reserve(500 * KIB).await.unwrap();
    tree.machine.ram(800, 20);
    sleep(POLL).await;
    let order = caches.recv().await.unwrap();
    let waiting = tree.wait("lane", 10 * KIB, MINUTE).await.unwrap();
    let begun = Instant::now();
    held.shrink_to(Bytes(360 * KIB));
    tree.machine.ram(800, 200);
    order.done(Bytes(140 * KIB));
    let status = tree.status().await;
    assert_eq!(
        (status.standing, status.waiters.len()),
        (Standing::Holding, 1),
        "the machine may be well by now"
    );
    assert!(waiting.granted().await.is_ok());
    assert!(begun.elapsed() <= SECOND + Duration::from_millis(1));

    // It is not: everyone was asked, so it ends.
    tree.machine.ram(800, 20);
    sleep(POLL).await;
    let order = caches.recv().await.unwrap();
    let waiting = tree.wait("lane", 10 * KIB, MINUTE).await.unwrap();
    held.shrink_to(Bytes(350 * KIB));
    order.done(Bytes(10 * KIB));
    assert_eq!(tree.status().await.waiters.len(), 1);
    let begun = Instant::now();
    assert!(matches!(
        waiting.granted().await,
        Err(ReserveError::Refused { .. })
    ));
    assert!(begun.elapsed() <= SECOND + Duration::from_millis(1));
    assert_eq!(tree.status().await.standing, Standing::Spent);
    tree.stop().await;
}

/// One that says it freed what it did not is asked once for each look at the machine, and looks keep their distance.
#[tokio::test(start_paused = true)]
async fn a_target_that_promises_too_much_is_not_asked_without_end() {
    let tree = start().await;
    let mut caches = tree.enlist("cache_janitor", Stage::Caches).await;
    let _held = tree.reserve(300 * KIB).await.unwrap();
    tree.machine.ram(800, 100);
    let mut orders = 0;
    let begun = Instant::now();
    while begun.elapsed() < MINUTE {
        if let Ok(order) = timeout(SECOND, caches.recv()).await {
            let order = order.unwrap();
            let wanted = order.wanted;
            order.done(wanted);
            orders += 1;
        }
    }
    assert!((40..=61).contains(&orders), "{orders} orders in a minute");
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_and_a_dropped_receiver_are_answers() {
    let tree = start().await;
    let (full, mut kept) = tokio::sync::mpsc::channel(1);
    let wake = std::sync::Arc::new(tokio::sync::Notify::new());
    let until = Instant::now() + SECOND;
    let (stray, _receipt) = memory_governor::Order::new(Bytes(1), "a stray", until, wake);
    full.try_send(stray).unwrap();
    tree.enlist_with("full", Stage::Caches, full).await.unwrap();
    let mut models = tree.enlist("model_host", Stage::IdleModels).await;
    let _held = tree.reserve(700 * KIB).await.unwrap();
    let begun = Instant::now();
    let waiting = tree.wait("lane", 100 * KIB, MINUTE).await.unwrap();
    let order = models.recv().await.unwrap();
    drop((models, order));
    assert!(waiting.granted().await.is_err());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let names: Vec<_> = tree
        .status()
        .await
        .targets
        .into_iter()
        .map(|t| t.name)
        .collect();
    assert_eq!(names, ["full"]);
    assert_eq!(kept.recv().await.unwrap().reason, "a stray");
    tree.stop().await;
}
