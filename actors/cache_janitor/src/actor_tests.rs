//! What only messages of the crate's own can show: a crash, and an order of the governor's.

use std::sync::Arc;
use std::time::Duration;

use domain::Bytes;
use kameo::message::{Context, Message};
use memory_governor::orders::Receipt;
use memory_governor::{FileProbe, GovernorConfig, MemoryGovernor, Order, TargetInfo};
use runtime::clock::{ManualClock, Stamp};
use supervision::{Handle, SupervisorSpec};
use testkit::scene::Scene;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::actor::Relieve;
use crate::{
    ANSWER, CacheJanitor, Ending, Held, JanitorStatus, Register, Registration, Status, SweepOrder,
    Swept, child_with,
};

const DEADLINE: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_hours(1);

struct Crash;

impl Message<Crash> for CacheJanitor {
    type Reply = ();

    async fn handle(&mut self, _: Crash, _: &mut Context<Self, ()>) {
        panic!("scripted crash");
    }
}

struct Stage {
    scene: Scene,
    governor: Handle<MemoryGovernor>,
    janitor: Handle<CacheJanitor>,
    clock: Arc<ManualClock>,
}

async fn start() -> Stage {
    let config = GovernorConfig {
        limit: Some(Bytes(1000)),
        poll: 10_000 * HOUR,
    };
    let (governor_spec, governor) = memory_governor::child_with(config, Arc::new(FileProbe));
    let clock = Arc::new(ManualClock::default());
    let (spec, janitor) = child_with(governor.clone(), clock.clone());
    let tree = SupervisorSpec::new("root").child(governor_spec).child(spec);
    let scene = Scene::start(tree).await.unwrap();
    Stage {
        scene,
        governor,
        janitor,
        clock,
    }
}

impl Stage {
    async fn register(
        &self,
        name: &str,
        bytes: u64,
        next_due: Instant,
    ) -> (Registration, mpsc::Receiver<SweepOrder>) {
        let (orders, received) = mpsc::channel(1);
        let name = name.to_owned();
        let wish = Register { name, orders };
        let registration = self.janitor.ask(wish, DEADLINE).await.unwrap();
        registration.holds(Held {
            entries: 1,
            bytes: Bytes(bytes),
            next_due: Some(next_due),
        });
        (registration, received)
    }

    async fn status(&self) -> JanitorStatus {
        self.janitor.ask(Status, DEADLINE).await.unwrap()
    }

    async fn relieve(&self, wanted: u64, within: Duration) -> Receipt {
        let until = Instant::now() + within;
        let (order, receipt) = Order::new(Bytes(wanted), "a test", until, Arc::new(Notify::new()));
        self.janitor.tell(Relieve(order)).await.unwrap();
        receipt
    }
}

fn freed(bytes: u64, left: u64, next_due: Instant) -> Swept {
    Swept {
        swept: 1,
        kept: usize::from(left > 0),
        freed_bytes: Bytes(bytes),
        kept_bytes: Bytes(left),
        next_due: Some(next_due).filter(|_| left > 0),
    }
}

#[tokio::test(start_paused = true)]
async fn registrations_survive_a_crash_and_nothing_else_of_that_life_is_believed() {
    let stage = start().await;
    let begun = Instant::now();
    let (first, mut orders) = stage.register("a", 10, begun).await;
    let (_second, mut others) = stage.register("b", 10, begun + HOUR).await;
    let old = orders.recv().await.unwrap();
    assert!(stage.janitor.ask(Crash, DEADLINE).await.is_err());
    let again = orders.recv().await.unwrap();
    assert!(old.is_abandoned() && !again.is_abandoned());
    drop(old);
    again.done(freed(10, 0, begun));
    others.recv().await.unwrap().done(freed(10, 0, begun));
    assert_eq!(Instant::now(), begun + HOUR);
    let status = stage.status().await;
    assert_eq!(status.caches.len(), 2);
    // An owner is not made to wait by a janitor that is down.
    assert!(stage.janitor.ask(Crash, DEADLINE).await.is_err());
    first.due_at(Some(begun + 2 * HOUR));
    orders.recv().await.unwrap().done(freed(10, 0, begun));
    assert_eq!(Instant::now(), begun + 2 * HOUR);
    tokio::task::yield_now().await;
    let status = stage.status().await;
    let swept = |s: &crate::Sweep| matches!(s.ending, Ending::Swept(_));
    assert_eq!(status.sweeps.iter().filter(|s| swept(s)).count(), 3);
    assert_eq!(
        status.sweeps.len(),
        3,
        "the order of the former life is no sweep"
    );
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_is_split_over_the_caches_and_answered_once_with_the_sum() {
    let stage = start().await;
    let begun = Instant::now();
    let (_a, mut soon) = stage.register("soon", 30, begun + HOUR).await;
    let (_b, mut late) = stage.register("late", 50, begun + 2 * HOUR).await;
    let (_c, mut last) = stage.register("last", 50, begun + 3 * HOUR).await;
    let receipt = stage.relieve(40, Duration::from_secs(5)).await;
    let (first, second) = (soon.recv().await.unwrap(), late.recv().await.unwrap());
    assert_eq!((first.goal.free, second.goal.free), (Bytes(30), Bytes(10)));
    // One frees less than it was asked for, and the third is asked for the rest.
    first.done(freed(25, 5, begun + HOUR));
    second.done(freed(10, 40, begun + 2 * HOUR));
    let third = last.recv().await.unwrap();
    assert_eq!(third.goal.free, Bytes(5));
    assert_eq!(receipt.freed(), None, "not before all have answered");
    third.done(freed(50, 0, begun));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(receipt.freed(), Some(Bytes(85)));
    assert_eq!(stage.status().await.sweeps.len(), 3);
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_is_answered_in_time_whoever_is_silent() {
    let stage = start().await;
    let begun = Instant::now();
    let (_a, mut quick) = stage.register("quick", 30, begun + HOUR).await;
    let (_b, mut silent) = stage.register("silent", 50, begun + 2 * HOUR).await;
    let within = Duration::from_secs(2);
    let receipt = stage.relieve(80, within).await;
    quick.recv().await.unwrap().done(freed(30, 0, begun));
    let order = silent.recv().await.unwrap();
    sleep(within.mul_f64(0.999)).await;
    assert_eq!(receipt.freed(), Some(Bytes(30)));
    // It has an order already: the next relief waits for that, and does not send a second.
    let receipt = stage.relieve(80, within).await;
    assert!(timeout(within, silent.recv()).await.is_err());
    assert_eq!(receipt.freed(), Some(Bytes::ZERO));
    let receipt = stage.relieve(80, ANSWER).await;
    order.done(freed(20, 30, begun + 2 * HOUR));
    let again = silent.recv().await.unwrap();
    assert_eq!(again.goal.free, Bytes(30));
    again.done(freed(30, 0, begun));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(receipt.freed(), Some(Bytes(30)));
    stage.scene.stop().await;
}

/// A model is unloaded while its prefixes are being swept: nobody waits for a cache that is gone, and what it freed counts.
#[tokio::test(start_paused = true)]
async fn a_cache_that_leaves_while_it_is_swept_holds_up_no_answer() {
    let stage = start().await;
    let due = Instant::now() + HOUR;
    for (answers, expected) in [(true, 30), (false, 0)] {
        let (leaves, mut orders) = stage.register("leaves", 30, due).await;
        let receipt = stage.relieve(80, Duration::from_secs(2)).await;
        let order = orders.recv().await.unwrap();
        drop(leaves);
        if answers {
            order.done(freed(30, 0, due));
        } else {
            drop(order);
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!(receipt.freed(), Some(Bytes(expected)));
    }
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn with_nothing_to_free_the_answer_is_nothing_at_once() {
    let stage = start().await;
    let receipt = stage.relieve(80, HOUR).await;
    stage.status().await;
    assert_eq!(receipt.freed(), Some(Bytes::ZERO));
    // A crash drops what it was at, which is an answer, too.
    let (_a, mut orders) = stage.register("a", 30, Instant::now() + HOUR).await;
    let receipt = stage.relieve(10, HOUR).await;
    let _order = orders.recv().await.unwrap();
    assert!(stage.janitor.ask(Crash, DEADLINE).await.is_err());
    assert_eq!(receipt.freed(), Some(Bytes::ZERO));
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_governor_knows_whom_to_ask_after_a_crash_too() {
    let stage = start().await;
    let janitor = TargetInfo {
        name: crate::CHILD_ID.to_owned(),
        stage: memory_governor::Stage::Caches,
        order: None,
        last: None,
    };
    for _ in 0..2 {
        sleep(Duration::from_mins(1)).await;
        let status = stage.governor.ask(memory_governor::Status, DEADLINE).await;
        assert_eq!(status.unwrap().targets, std::slice::from_ref(&janitor));
        assert!(stage.janitor.ask(Crash, DEADLINE).await.is_err());
    }
    stage.scene.stop().await;
}

/// Somebody sets the wall clock back while a sweep is under way: it took as long as it took, and its stamp is honest.
#[tokio::test(start_paused = true)]
async fn a_sweep_is_stamped_by_the_wall_clock_and_timed_by_the_other() {
    let stage = start().await;
    stage.clock.set_wall(Stamp(5000));
    let (_a, mut orders) = stage.register("a", 30, Instant::now()).await;
    let order = orders.recv().await.unwrap();
    sleep(Duration::from_secs(3)).await;
    stage.clock.set_wall(Stamp(-5000));
    order.done(freed(30, 0, Instant::now()));
    sleep(Duration::from_millis(1)).await;
    let status = stage.status().await;
    let last = status.caches[0].last.as_ref().unwrap();
    assert_eq!((last.at, last.took), (Stamp(-5000), Duration::from_secs(3)));
    assert_eq!(status.sweeps.last(), Some(last));
    stage.scene.stop().await;
}
