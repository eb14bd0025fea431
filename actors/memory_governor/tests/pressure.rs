//! The budget and the pressure as they follow the machine, on a paused clock and a machine the test writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use common::{DEADLINE, KIB, Tree, start, start_with};
use domain::Bytes;
use memory_governor::decisions::KEPT;
use memory_governor::pressure::{Share, Source};
use memory_governor::{
    Decided, GovernorConfig, Level, MIN_POLL, PollError, Reserve, ReserveError, SetLimit, SetPoll,
    WatchPressure,
};
use paraphym_memory_governor as memory_governor;
use supervision::AskError;
use tokio::time::{advance, sleep};

/// A look at the machine, and a moment for what it starts.
const POLL: Duration = Duration::from_millis(5001);
/// Not yet.
const BEFORE_POLL: Duration = Duration::from_millis(4999);

#[tokio::test(start_paused = true)]
async fn the_budget_follows_the_machine_at_the_interval() {
    let tree = start().await;
    tree.machine.ram(1600, 1600);
    sleep(BEFORE_POLL).await;
    assert_eq!(tree.status().await.limit, Bytes(700 * KIB));
    sleep(Duration::from_millis(2)).await;
    assert_eq!(tree.status().await.limit, Bytes(1400 * KIB));

    // A parent of the group gets a limit: it is tighter than the host.
    tree.machine.write("/proc/self/cgroup", "0::/pod/app\n");
    let parent = "/sys/fs/cgroup/pod/memory.max";
    tree.machine.write(parent, "819200\n");
    sleep(POLL).await;
    let status = tree.status().await;
    assert_eq!(
        (status.limit, status.cgroup),
        (Bytes(700 * KIB), Some(Bytes(800 * KIB)))
    );
    // It goes again.
    tree.machine.write(parent, "max\n");
    sleep(POLL).await;
    assert_eq!(tree.status().await.limit, Bytes(1400 * KIB));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_below_what_is_leased_takes_nothing_back() {
    let tree = start().await;
    let lease = tree.reserve(600 * KIB).await.unwrap();
    tree.machine.ram(400, 400);
    sleep(POLL).await;
    let status = tree.status().await;
    assert_eq!(status.limit, Bytes(350 * KIB));
    assert_eq!(
        (status.leased, status.available, status.over),
        (lease.bytes(), Bytes::ZERO, Bytes(250 * KIB))
    );
    assert_eq!(status.leases.len(), 1);
    assert_eq!(status.pressure.level, Level::Critical);
    assert!(matches!(
        tree.reserve(1).await,
        Err(ReserveError::Refused {
            available: Bytes::ZERO,
            ..
        })
    ));
    drop(lease);
    let status = tree.status().await;
    assert_eq!(
        (status.available, status.over),
        (Bytes(350 * KIB), Bytes::ZERO)
    );
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_look_holds_nobody_up_and_is_the_only_one() {
    let tree = start().await;
    let open = tree.machine.hang();
    assert_eq!(tree.machine.looks(), 1);
    advance(POLL).await;
    while tree.machine.looks() < 2 {
        tokio::task::yield_now().await;
    }
    // The clock is moved by hand now: it does not run by itself while the blocking pool is busy.
    let lease = tree.reserve(KIB).await.unwrap();
    tree.governor
        .tell(SetLimit {
            bytes: Some(Bytes(2 * KIB)),
        })
        .await
        .unwrap();
    assert_eq!(tree.status().await.limit, Bytes(2 * KIB));
    advance(POLL * 100).await;
    assert!(tree.reserve(2 * KIB).await.is_err());
    assert_eq!(tree.machine.looks(), 2, "one look at a time");
    drop(open);
    // Whoever asked while it hung gets a look that began after.
    tree.machine.ram(1, 1);
    let status = tree.governor.ask(SetLimit { bytes: None }, DEADLINE).await;
    let status = status.unwrap();
    assert_eq!((status.host, status.limit), (Some(Bytes(KIB)), Bytes(896)));
    assert_eq!(status.leased, lease.bytes());
    let looks = tree.machine.looks();
    sleep(POLL).await;
    assert_eq!(tree.machine.looks(), looks + 1, "the interval goes on");
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_governor_looks_once_an_interval() {
    let tree = start().await;
    sleep(Duration::from_hours(1) + POLL / 2).await;
    assert_eq!(tree.machine.looks(), 1 + 3600 / 5);
    tree.stop().await;

    let tree = start_with(GovernorConfig {
        poll: Duration::ZERO,
        ..GovernorConfig::default()
    })
    .await;
    sleep(MIN_POLL * 10 + MIN_POLL / 2).await;
    assert_eq!(tree.machine.looks(), 11);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_interval_changes_while_it_runs() {
    let tree = start().await;
    let set = async |poll| tree.governor.ask(SetPoll { poll }, DEADLINE).await;
    sleep(Duration::from_secs(2)).await;
    // From the last look, which was two seconds ago.
    set(Duration::from_secs(3)).await.unwrap();
    sleep(Duration::from_millis(999)).await;
    assert_eq!(tree.machine.looks(), 1);
    sleep(Duration::from_millis(2)).await;
    assert_eq!(tree.machine.looks(), 2);
    // Longer: the look that was due is the last one at the old interval.
    set(Duration::from_mins(1)).await.unwrap();
    sleep(Duration::from_mins(10)).await;
    assert_eq!(tree.machine.looks(), 12);
    let poll = Duration::from_micros(99_999);
    match set(poll).await {
        Err(AskError::Handler(error)) => assert_eq!(error, PollError { poll }),
        other => panic!("{other:?}"),
    }
    assert_eq!(tree.status().await.poll, Duration::from_mins(1));
    // One that never ends, as far as clocks go.
    set(Duration::MAX).await.unwrap();
    sleep(Duration::from_hours(1000)).await;
    assert_eq!(tree.machine.looks(), 13);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pressure_rises_with_the_ledger_and_does_not_tremble() {
    let tree = start().await;
    let mut pressure = tree.governor.ask(WatchPressure, DEADLINE).await.unwrap();
    assert_eq!(pressure.borrow().level, Level::Low);
    // 700 KiB: 60% are 420, 85% are 595, 80% are 560.
    let base = tree.reserve(565 * KIB).await.unwrap();
    pressure.changed().await.unwrap();
    assert_eq!(pressure.borrow_and_update().level, Level::Normal);
    let more = tree.reserve(30 * KIB).await.unwrap();
    pressure.changed().await.unwrap();
    let seen = *pressure.borrow_and_update();
    assert_eq!(
        (seen.level, seen.share, seen.source),
        (Level::High, Share(850), Source::Ledger)
    );
    // To and fro within the band: no event.
    drop(more);
    for _ in 0..100 {
        drop(tree.reserve(29 * KIB).await.unwrap());
        assert_eq!(tree.status().await.pressure.level, Level::High);
    }
    assert!(!pressure.has_changed().unwrap());
    // Dropping is enough: nobody has to ask.
    drop(base);
    pressure.changed().await.unwrap();
    assert_eq!(pressure.borrow_and_update().level, Level::Low);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn real_use_counts_with_nothing_leased() {
    let tree = start().await;
    let mut pressure = tree.governor.ask(WatchPressure, DEADLINE).await.unwrap();
    tree.machine.ram(800, 40);
    pressure.changed().await.unwrap();
    let seen = *pressure.borrow_and_update();
    assert_eq!(
        (seen.level, seen.share, seen.source),
        (Level::Critical, Share(950), Source::Host)
    );
    tree.machine.ram(800, 800);
    // A hybrid host: the controller is in v1, and the page cache is not in use.
    tree.machine
        .write("/proc/self/cgroup", "4:memory:/app\n0::/\n");
    let file = |name: &str| format!("/sys/fs/cgroup/memory/app/memory.{name}");
    tree.machine.write(&file("limit_in_bytes"), "409600\n");
    tree.machine.write(&file("usage_in_bytes"), "409600\n");
    tree.machine
        .write(&file("stat"), "total_inactive_file 40960\n");
    sleep(POLL).await;
    let seen = tree.status().await.pressure;
    assert_eq!(
        (seen.level, seen.share, seen.source),
        (Level::Critical, Share(900), Source::Cgroup),
        "90% is within the band of critical"
    );
    assert!(!pressure.has_changed().unwrap());
    tree.machine
        .write(&file("stat"), "total_inactive_file 61440\n");
    pressure.changed().await.unwrap();
    let seen = *pressure.borrow_and_update();
    assert_eq!((seen.level, seen.share), (Level::High, Share(850)));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn why_tells_refusals_and_changes_with_their_figures() {
    let tree = start().await;
    assert!(tree.reserve(701 * KIB).await.is_err());
    assert!(tree.reserve(701 * KIB).await.is_err());
    assert!(tree.reserve(0).await.is_err());
    let _lease = tree.reserve(600 * KIB).await.unwrap();
    tree.machine.ram(400, 400);
    sleep(POLL).await;
    let reasons = tree.why().await;
    assert_eq!(reasons.forgotten, 0);
    let told: Vec<_> = reasons
        .decisions
        .iter()
        .map(|d| (d.number, d.times, d.what.to_string()))
        .collect();
    let expected = [
        (1, 1, "budget from 0 B to 700.0 KiB, 0 B leased"),
        (
            2,
            2,
            "refused a test 701.0 KiB for something: 700.0 KiB available of 700.0 KiB",
        ),
        (
            3,
            1,
            "refused a test 0 B for something: 700.0 KiB available of 700.0 KiB",
        ),
        (
            4,
            1,
            "pressure from low to high: 85.7% of the budget is leased",
        ),
        (5, 1, "budget from 700.0 KiB to 350.0 KiB, 600.0 KiB leased"),
        (
            6,
            1,
            "pressure from high to critical: 171.4% of the budget is leased",
        ),
    ];
    assert_eq!(
        told,
        expected.map(|(number, times, text)| (number, times, text.to_owned()))
    );
    let at = |number: usize| reasons.decisions[number - 1].at;
    assert_eq!(at(5), at(4) + Duration::from_secs(5));
    assert_eq!(reasons.now, at(5) + Duration::from_millis(1));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_reasons_are_bounded() {
    let tree = start().await;
    for extra in 1..=300 {
        assert!(tree.reserve(700 * KIB + extra).await.is_err());
    }
    let reasons = tree.why().await;
    assert_eq!(reasons.decisions.len(), KEPT);
    // The first budget, and 300 refusals.
    assert_eq!(reasons.forgotten, 301 - KEPT as u64);
    let last = reasons.decisions.last().unwrap();
    assert!(matches!(
        last.what,
        Decided::Refused {
            needed: Bytes(717_100),
            ..
        }
    ));
    tree.stop().await;
}

/// Whoever watches hears the end: no handle keeps the book when its tree has stopped.
#[tokio::test(start_paused = true)]
async fn the_watch_ends_with_the_tree() {
    let tree = start().await;
    let mut pressure = tree.governor.ask(WatchPressure, DEADLINE).await.unwrap();
    let Tree {
        root,
        governor,
        machine,
    } = tree;
    let lease = {
        let wish = Reserve {
            owner: "a test".to_owned(),
            purpose: "something".to_owned(),
            bytes: Bytes(10),
        };
        governor.ask(wish, DEADLINE).await.unwrap()
    };
    root.stop(DEADLINE).await;
    let ended = tokio::time::timeout(DEADLINE, pressure.changed()).await;
    assert!(ended.expect("the watch stays open").is_err());
    drop((root, governor, lease, machine));
}
