//! Nobody looks at a calm machine by the clock while the kernel tells of stalls.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::io;
use std::time::Duration;

use common::{DEADLINE, KIB, start, start_told};
use domain::Bytes;
use memory_governor::pressure::Source;
use memory_governor::{Level, Looks, WatchPressure};
use paraphym_memory_governor as memory_governor;
use tokio::runtime::Handle;
use tokio::time::sleep;

const HOUR: Duration = Duration::from_hours(1);
/// Above the poll of 5 s.
const POLL: Duration = Duration::from_millis(5001);
/// The gap after a stall, and the look it starts.
const SOON: Duration = Duration::from_millis(1001);

/// What the test's own sleep of an hour takes: its timer moves from wheel to wheel, with nothing else there, too.
const A_FEW: u64 = 10;

/// How often the runtime went to sleep within an hour: once for each time that anything woke it.
async fn naps_in_an_hour() -> u64 {
    let before = Handle::current().metrics().worker_park_count(0);
    sleep(HOUR).await;
    Handle::current().metrics().worker_park_count(0) - before
}

#[tokio::test(start_paused = true)]
async fn a_calm_machine_that_tells_wakes_nobody_for_an_hour() {
    let (tree, _teller) = start_told().await;
    let _caches = tree
        .enlist("cache_janitor", memory_governor::Stage::Caches)
        .await;
    let _leases = [
        tree.reserve(200 * KIB).await.unwrap(),
        tree.reserve(200 * KIB).await.unwrap(),
        tree.reserve(290 * KIB).await.unwrap(),
    ];
    sleep(POLL).await;
    assert_eq!(tree.status().await.looks, Looks::Psi);
    // What a start leaves behind is over by then.
    sleep(HOUR).await;
    let looks = tree.machine.looks();
    let naps = naps_in_an_hour().await;
    assert!(naps <= A_FEW, "something woke {naps} times");
    assert_eq!(tree.machine.looks(), looks);
    tree.stop().await;

    // The same without a kernel that tells, so that the count can be believed.
    let tree = start().await;
    sleep(POLL).await;
    assert_eq!(tree.status().await.looks, Looks::Poll);
    let looks = tree.machine.looks();
    assert!(naps_in_an_hour().await >= 700);
    assert!(tree.machine.looks() >= looks + 700);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_after_a_while_starts_a_look() {
    let (tree, _teller) = start_told().await;
    sleep(HOUR).await;
    assert_eq!(tree.machine.looks(), 1);
    tree.machine.ram(400, 400);
    assert_eq!(tree.status().await.host, Some(Bytes(800 * KIB)));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(tree.status().await.host, Some(Bytes(400 * KIB)));
    for _ in 0..10 {
        tree.status().await;
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(tree.machine.looks(), 2, "it was just looked at");
    sleep(POLL).await;
    let lease = tree.reserve(KIB).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(tree.machine.looks(), 3);
    drop(lease);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_looked_into_and_followed_until_it_is_over() {
    let (tree, teller) = start_told().await;
    let mut pressure = tree.governor.ask(WatchPressure, DEADLINE).await.unwrap();
    sleep(POLL).await;
    // The average comes late, but it is followed.
    tree.machine.stalled("3.90");
    for _ in 0..5 {
        teller.send(Ok(())).await.unwrap();
    }
    sleep(SOON).await;
    assert_eq!(tree.machine.looks(), 2);
    assert!(!pressure.has_changed().unwrap());
    sleep(SOON * 4).await;
    assert_eq!(tree.machine.looks(), 6, "once a second at most");
    tree.machine.stalled("24.20");
    pressure.changed().await.unwrap();
    let seen = *pressure.borrow_and_update();
    assert_eq!((seen.level, seen.source), (Level::High, Source::Stall));
    tree.machine.stalled("0.50");
    pressure.changed().await.unwrap();
    assert_eq!(pressure.borrow_and_update().level, Level::Low);
    let looks = tree.machine.looks();
    sleep(HOUR).await;
    assert_eq!(tree.machine.looks(), looks, "calm again");
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_stops_to_tell_is_looked_at_by_the_clock_again() {
    let (tree, teller) = start_told().await;
    sleep(HOUR).await;
    assert_eq!(tree.machine.looks(), 1);
    let gone = io::Error::other("the group is gone");
    teller.send(Err(gone)).await.unwrap();
    sleep(HOUR).await;
    let status = tree.status().await;
    assert_eq!(status.looks, Looks::Poll);
    assert!(tree.machine.looks() > 700);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_stops_to_tell_puts_no_look_off() {
    let (tree, teller) = start_told().await;
    sleep(Duration::from_secs(4)).await;
    teller
        .send(Err(io::Error::other("scripted")))
        .await
        .unwrap();
    // Five seconds from the last look, not from the last word.
    sleep(SOON).await;
    assert_eq!(tree.machine.looks(), 2);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_machine_is_followed_by_the_clock_until_it_is_well() {
    let (tree, teller) = start_told().await;
    sleep(POLL).await;
    tree.machine.ram(800, 80);
    teller.send(Ok(())).await.unwrap();
    sleep(POLL * 3).await;
    assert!(tree.machine.looks() >= 4);
    tree.machine.ram(800, 800);
    sleep(POLL).await;
    let looks = tree.machine.looks();
    sleep(HOUR).await;
    assert_eq!(tree.machine.looks(), looks);
    tree.stop().await;
}
