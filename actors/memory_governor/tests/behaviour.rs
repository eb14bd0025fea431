//! The governor as its askers see it: promised bytes come back by themselves, whoever crashes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::sync::Arc;

use common::{DEADLINE, Machine, start, start_limited, wish};
use domain::Bytes;
use memory_governor::{Level, ReserveError, SetLimit, Status, WatchPressure};
use paraphym_memory_governor as memory_governor;
use supervision::{Events, SupervisorSpec, start_root};

#[tokio::test(start_paused = true)]
async fn bytes_are_taken_until_the_lease_is_dropped() {
    let tree = start().await;
    let lease = tree.reserve(1024).await.unwrap();
    assert_eq!(lease.bytes(), Bytes(1024));
    let status = tree.status().await;
    assert_eq!(status.limit, Bytes(700 * 1024));
    assert_eq!(status.host, Some(Bytes(800 * 1024)));
    assert_eq!(status.leased, Bytes(1024));
    assert_eq!(status.available, Bytes(699 * 1024));
    assert_eq!(status.leases[0].id, lease.id());
    assert_eq!(status.leases[0].owner, "a test");
    drop(lease);
    let status = tree.status().await;
    assert_eq!((status.leased, status.leases), (Bytes::ZERO, Vec::new()));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_what_was_needed_and_available() {
    let tree = start_limited(1000).await;
    let _held = tree.reserve(700).await.unwrap();
    assert_eq!(
        tree.reserve(301).await.unwrap_err(),
        ReserveError::Refused {
            purpose: "something".to_owned(),
            needed: Bytes(301),
            available: Bytes(300),
            limit: Bytes(1000),
            waiting: 0,
        }
    );
    assert!(matches!(
        tree.reserve(0).await,
        Err(ReserveError::ZeroBytes { .. })
    ));
    assert!(tree.reserve(300).await.is_ok());
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_gives_a_part_back_without_a_message() {
    let tree = start_limited(1000).await;
    let lease = tree.reserve(950).await.unwrap();
    let mut pressure = tree.governor.ask(WatchPressure, DEADLINE).await.unwrap();
    assert_eq!(pressure.borrow_and_update().level, Level::Critical);
    assert_eq!(lease.shrink_to(Bytes(100)), Bytes(850));
    // Nobody has to ask: the governor is woken.
    pressure.changed().await.unwrap();
    assert_eq!(pressure.borrow_and_update().level, Level::Low);
    assert_eq!(lease.shrink_to(Bytes(200)), Bytes::ZERO, "never grows");
    assert_eq!(lease.bytes(), Bytes(100));
    let status = tree.status().await;
    assert_eq!((status.leased, status.available), (Bytes(100), Bytes(900)));
    assert_eq!(status.leases[0].bytes, Bytes(100));
    let other = tree.reserve(900).await.unwrap();
    assert_eq!(lease.shrink_to(Bytes::ZERO), Bytes(100));
    let status = tree.status().await;
    assert_eq!((status.leased, status.leases.len()), (Bytes(900), 2));
    drop((lease, other));
    assert_eq!(tree.status().await.leases, []);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn dropped_bytes_can_be_leased_at_once() {
    let tree = start_limited(1000).await;
    for _ in 0..1000 {
        drop(tree.reserve(1000).await.unwrap());
    }
    assert_eq!(tree.status().await.leased, Bytes::ZERO);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_below_what_is_leased_takes_nothing_away() {
    let tree = start().await;
    let lease = tree.reserve(600 * 1024).await.unwrap();
    tree.machine.ram(400, 400);
    let wish = SetLimit {
        bytes: Some(Bytes(100)),
    };
    let status = tree.governor.ask(wish, DEADLINE).await.unwrap();
    assert_eq!(status.limit, Bytes(100));
    assert_eq!(status.host, Some(Bytes(400 * 1024)));
    assert_eq!(
        (status.leased, status.available),
        (lease.bytes(), Bytes::ZERO)
    );
    assert!(tree.reserve(1).await.is_err());
    drop(lease);
    assert!(tree.reserve(100).await.is_ok());
    let status = tree.governor.ask(SetLimit { bytes: None }, DEADLINE).await;
    assert_eq!(status.unwrap().limit, Bytes(350 * 1024));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_leaves_the_limits_known_before() {
    let tree = start_limited(1000).await;
    tree.machine.panics();
    for (configured, limit) in [(Some(900), 900), (None, 700 * 1024)] {
        let wish = SetLimit {
            bytes: configured.map(Bytes),
        };
        let status = tree.governor.ask(wish, DEADLINE).await.unwrap();
        assert_eq!(status.limit, Bytes(limit), "the host is what it was");
        assert_eq!(status.host, Some(Bytes(800 * 1024)));
    }
    tree.stop().await;
}

/// Nothing was known before: then only what was configured holds.
#[tokio::test(start_paused = true)]
async fn a_probe_that_never_read_anything_leaves_the_configured_limit() {
    let machine = Machine::default();
    machine.panics();
    let (child, governor) = memory_governor::child(Some(Bytes(1000)), Arc::new(machine));
    let spec = SupervisorSpec::new("root").child(child);
    let root = start_root(spec, Events::with_seed(1)).await.unwrap();
    let status = governor.ask(Status, DEADLINE).await.unwrap();
    assert_eq!((status.limit, status.host), (Bytes(1000), None));
    root.stop(DEADLINE).await;
}

#[tokio::test(start_paused = true)]
async fn leases_outlive_the_governor_and_may_be_dropped_anywhere() {
    let tree = start().await;
    let lease = tree.reserve(10).await.unwrap();
    let other = tree.reserve(20).await.unwrap();
    tokio::task::spawn_blocking(move || drop(lease))
        .await
        .unwrap();
    assert_eq!(tree.status().await.leased, Bytes(20));
    tree.stop().await;
    drop(other);
}

/// An asker who gave up does not keep what it was given.
#[tokio::test(start_paused = true)]
async fn an_answer_nobody_waits_for_gives_its_bytes_back() {
    let tree = start().await;
    let wish = wish("gone", 10);
    tree.governor.tell(wish).await.unwrap();
    assert_eq!(tree.status().await.leased, Bytes::ZERO);
    tree.stop().await;
}
