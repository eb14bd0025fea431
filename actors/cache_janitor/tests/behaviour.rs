//! The janitor as the owners of caches see it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::sync::Arc;
use std::time::Duration;

use cache_janitor::{
    ANSWER, CacheJanitor, Ending, Held, JanitorStatus, Register, Registration, Status, SweepOrder,
    Swept,
};
use domain::Bytes;
use memory_governor::{FileProbe, GovernorConfig};
use paraphym_cache_janitor as cache_janitor;
use supervision::{Handle, SupervisorSpec};
use testkit::scene::Scene;
use tokio::sync::mpsc;
use tokio::time::{Instant, advance, timeout};

const DEADLINE: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_hours(1);

struct Stage {
    scene: Scene,
    janitor: Handle<CacheJanitor>,
}

async fn start() -> Stage {
    let config = GovernorConfig {
        limit: Some(Bytes(1000)),
        poll: 10_000 * HOUR,
    };
    let (governor_spec, governor) = memory_governor::child_with(config, Arc::new(FileProbe));
    let (spec, janitor) = cache_janitor::child(governor);
    let tree = SupervisorSpec::new("root").child(governor_spec).child(spec);
    let scene = Scene::start(tree).await.unwrap();
    Stage { scene, janitor }
}

impl Stage {
    async fn register(&self, name: &str) -> (Registration, mpsc::Receiver<SweepOrder>) {
        let (orders, received) = mpsc::channel(1);
        let wish = Register {
            name: name.to_owned(),
            orders,
        };
        (self.janitor.ask(wish, DEADLINE).await.unwrap(), received)
    }

    async fn status(&self) -> JanitorStatus {
        self.janitor.ask(Status, DEADLINE).await.unwrap()
    }
}

fn held(next_due: Instant) -> Held {
    Held {
        entries: 3,
        bytes: Bytes(30),
        next_due: Some(next_due),
    }
}

fn swept() -> Swept {
    Swept {
        swept: 3,
        freed_bytes: Bytes(30),
        ..Swept::default()
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_wakes_while_nothing_is_due_and_then_each_is_swept_at_its_deadline() {
    let stage = start().await;
    let begun = Instant::now();
    let mut caches = Vec::new();
    for n in 1..=3_u32 {
        let (registration, orders) = stage.register(&format!("cache {n}")).await;
        registration.holds(held(begun + HOUR + n * HOUR));
        caches.push((registration, orders));
    }
    // Everything is armed.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let before = stage.status().await;
    for _ in 0..60 {
        advance(Duration::from_mins(1)).await;
        tokio::task::yield_now().await;
    }
    let after = stage.status().await;
    assert_eq!(after, before, "an hour in which nothing was due");
    for (n, (_, orders)) in (1..=3_u32).zip(&mut caches) {
        let order = orders.recv().await.unwrap();
        assert_eq!(Instant::now(), begun + HOUR + n * HOUR);
        assert_eq!(order.goal.free, Bytes::ZERO);
        order.done(swept());
    }
    tokio::time::sleep(HOUR).await;
    let status = stage.status().await;
    assert_eq!(status.sweeps.len(), 3);
    assert!(
        status
            .caches
            .iter()
            .all(|c| c.last.as_ref().unwrap().ending == Ending::Swept(swept()))
    );
    assert!(status.caches.iter().all(|c| c.held == Held::default()));
    // Three deadlines hours away: each on its way down the wheel, and none after that.
    let woken = status.wakes - after.wakes;
    assert!((3..=3 * 7).contains(&woken), "{woken}");
    drop(caches);
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_moves_is_kept_where_it_is_now() {
    let stage = start().await;
    let begun = Instant::now();
    let (registration, mut orders) = stage.register("a").await;
    registration.due_at(Some(begun + 10 * HOUR));
    registration.due_at(Some(begun + HOUR));
    orders.recv().await.unwrap().done(Swept {
        next_due: Some(begun + 2 * HOUR),
        ..swept()
    });
    assert_eq!(Instant::now(), begun + HOUR);
    tokio::task::yield_now().await;
    registration.due_at(Some(begun + 3 * HOUR));
    drop(orders.recv().await.unwrap());
    assert_eq!(Instant::now(), begun + 3 * HOUR);
    registration.due_at(None);
    assert!(timeout(100 * HOUR, orders.recv()).await.is_err());
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_does_not_answer_is_left_alone_longer_each_time() {
    let stage = start().await;
    let (registration, mut orders) = stage.register("a").await;
    let begun = Instant::now();
    registration.due_at(Some(begun));
    let order = orders.recv().await.unwrap();
    assert!(
        timeout(ANSWER / 2, orders.recv()).await.is_err(),
        "one order at a time"
    );
    tokio::time::sleep(ANSWER / 2 + Duration::from_millis(1)).await;
    assert!(order.is_abandoned());
    let second = orders.recv().await.unwrap();
    let rest = Duration::from_secs(1);
    assert_eq!(Instant::now(), begun + ANSWER + rest);
    let asked = Instant::now();
    drop(second);
    let third = orders.recv().await.unwrap();
    assert_eq!(Instant::now(), asked + 2 * rest);
    // Far too late, but it is the cache's word: its deadline is what it says.
    order.done(Swept {
        next_due: Some(begun + HOUR),
        ..swept()
    });
    third.done(Swept {
        next_due: Some(begun + HOUR),
        ..swept()
    });
    orders.recv().await.unwrap().done(swept());
    assert_eq!(Instant::now(), begun + HOUR);
    tokio::task::yield_now().await;
    let status = stage.status().await;
    let endings: Vec<_> = status.sweeps.iter().map(|sweep| sweep.ending).collect();
    assert!(
        matches!(
            endings[..],
            [
                Ending::Silent,
                Ending::Dropped,
                Ending::Swept(_),
                Ending::Swept(_)
            ]
        ),
        "{endings:?}"
    );
    assert_eq!(status.sweeps[0].took, ANSWER);
    stage.scene.stop().await;
}

/// A whole day of a cache that never reads its orders costs some hundred tries, not a busy loop.
#[tokio::test(start_paused = true)]
async fn a_cache_that_is_stuck_costs_next_to_nothing() {
    let stage = start().await;
    let (registration, orders) = stage.register("stuck").await;
    registration.due_at(Some(Instant::now()));
    tokio::time::sleep(24 * HOUR).await;
    let status = stage.status().await;
    let tries = status.sweeps.len() as u64 + status.forgotten;
    assert!((100..=400).contains(&tries), "{tries}");
    assert_eq!(status.sweeps[5].ending, Ending::Full);
    drop(orders);
    assert_eq!(
        stage.status().await.caches,
        [],
        "a dead channel is no cache"
    );
    stage.scene.stop().await;
    drop(registration);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_registration_is_not_swept() {
    let stage = start().await;
    let (kept, mut orders) = stage.register("kept").await;
    let (dropped, mut none) = stage.register("dropped").await;
    let begun = Instant::now();
    for registration in [&kept, &dropped] {
        registration.due_at(Some(begun + HOUR));
    }
    drop(dropped);
    orders.recv().await.unwrap().done(swept());
    assert!(none.recv().await.is_none(), "its way is given up, too");
    let status = stage.status().await;
    assert_eq!(status.caches.len(), 1);
    // The same name again replaces it, and what the former owner says is not heard.
    let (again, mut newer) = stage.register("kept").await;
    kept.due_at(Some(begun));
    again.due_at(Some(begun + 2 * HOUR));
    assert!(orders.recv().await.is_none());
    newer.recv().await.unwrap().done(swept());
    assert_eq!(Instant::now(), begun + 2 * HOUR);
    drop(kept);
    assert_eq!(stage.status().await.caches.len(), 1);
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_no_sweep() {
    let stage = start().await;
    let (registration, mut orders) = stage.register("a").await;
    registration.due_at(Some(Instant::now()));
    let order = orders.recv().await.unwrap();
    let begun = Instant::now();
    stage.scene.stop().await;
    assert_eq!(Instant::now(), begun);
    assert!(order.is_abandoned());
    order.done(swept());
    drop(registration);
}
