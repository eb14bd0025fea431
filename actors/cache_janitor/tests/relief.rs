//! From a wish for memory that does not fit, through governor and janitor, to a cache that lets go, and back.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cache_janitor::{
    CacheJanitor, Ending, Held, Register, Registration, Status, SweepOrder, Swept,
};
use domain::Bytes;
use memory_governor::client::reserve_within;
use memory_governor::{GovernorConfig, Lease, MemoryGovernor, Probe, Reserve};
use paraphym_cache_janitor as cache_janitor;
use supervision::{Handle, SupervisorSpec};
use testkit::scene::Scene;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

const DEADLINE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A machine that tells nothing: only the configured limit counts.
struct Nowhere;

impl Probe for Nowhere {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

struct Stage {
    scene: Scene,
    governor: Handle<MemoryGovernor>,
    janitor: Handle<CacheJanitor>,
}

/// A budget of 1000 bytes.
async fn start() -> Stage {
    let config = GovernorConfig {
        limit: Some(Bytes(1000)),
        poll: 10_000 * HOUR,
    };
    let (governor_spec, governor) = memory_governor::child_with(config, Arc::new(Nowhere));
    let (spec, janitor) = cache_janitor::child(governor.clone());
    let tree = SupervisorSpec::new("root").child(governor_spec).child(spec);
    let scene = Scene::start(tree).await.unwrap();
    // The janitor has enlisted.
    sleep(Duration::from_secs(1)).await;
    Stage {
        scene,
        governor,
        janitor,
    }
}

/// A cache with one entry.
struct Cache {
    _registration: Registration,
    orders: mpsc::Receiver<SweepOrder>,
    lease: Option<Lease>,
}

impl Stage {
    async fn reserve(&self, bytes: u64) -> Option<Lease> {
        let wish = Reserve {
            owner: "a test".to_owned(),
            purpose: "something".to_owned(),
            bytes: Bytes(bytes),
        };
        let lease = reserve_within(&self.governor, wish, PATIENCE).await;
        lease.ok()
    }

    async fn cache(&self, name: &str, bytes: u64, due: Duration) -> Cache {
        let (orders, received) = mpsc::channel(1);
        let name = name.to_owned();
        let wish = Register { name, orders };
        let registration = self.janitor.ask(wish, DEADLINE).await.unwrap();
        registration.holds(Held {
            entries: 1,
            bytes: Bytes(bytes),
            next_due: Some(Instant::now() + due),
        });
        Cache {
            _registration: registration,
            orders: received,
            lease: Some(self.reserve(bytes).await.unwrap()),
        }
    }
}

impl Cache {
    /// Carries out one order by letting its entry go.
    async fn let_go(&mut self) -> Bytes {
        let order = self.orders.recv().await.unwrap();
        let wanted = order.goal.free;
        let freed = self.lease.take().map_or(Bytes::ZERO, |lease| lease.bytes());
        order.done(Swept {
            swept: 1,
            freed_bytes: freed,
            ..Swept::default()
        });
        wanted
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_makes_room_for_whoever_waits() {
    let stage = start().await;
    let mut soon = stage.cache("soon", 300, HOUR).await;
    let mut late = stage.cache("late", 400, 2 * HOUR).await;
    let begun = Instant::now();
    // 300 are free, 500 are missing.
    let (lease, first, second) = tokio::join!(stage.reserve(800), soon.let_go(), late.let_go());
    assert_eq!(lease.unwrap().bytes(), Bytes(800));
    assert_eq!((first, second), (Bytes(300), Bytes(200)));
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let status = stage.janitor.ask(Status, DEADLINE).await.unwrap();
    let swept = |ending| matches!(ending, Ending::Swept(_));
    assert_eq!(status.sweeps.iter().filter(|s| swept(s.ending)).count(), 2);
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cache_is_left_alone_while_everything_fits() {
    let stage = start().await;
    let mut cache = stage.cache("a", 300, 2 * HOUR).await;
    let others = stage.reserve(700).await;
    assert!(others.is_some(), "the budget is full, by right");
    assert!(timeout(HOUR, cache.orders.recv()).await.is_err());
    stage.scene.stop().await;
}
