//! A handler past its budget is reported with its message's name, at the moment the budget ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use crate::common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{
    Birth, ChildInfo, ChildSpec, DEFAULT_HANDLER_BUDGET, Handle, Health, Inbox, Lifecycle,
    LifecycleEvent, Policy, RootHandle, Shutdown, SpecError, StartTreeError, SupervisorSpec,
};
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, sleep};

/// One probe called `a` with that budget.
async fn one(budget: impl Into<Option<Duration>>) -> (RootHandle, Handle<Probe>, Log) {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a.handler_budget(budget))).await;
    (root, handle, log)
}

fn is_about_stuck(what: &Lifecycle) -> bool {
    matches!(what, Lifecycle::Stuck { .. } | Lifecycle::Unstuck { .. })
}

/// Every event about being stuck that has been announced so far.
fn told(events: &mut Receiver<LifecycleEvent>) -> Vec<Lifecycle> {
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        if is_about_stuck(&event.what) {
            told.push(event.what);
        }
    }
    told
}

async fn info(root: &RootHandle, id: &str) -> ChildInfo {
    let list = root.supervisor().which_children().await;
    list.into_iter()
        .find(|info| info.id.as_str() == id)
        .unwrap()
}

/// The test's own steps and tokio's timers each round to the millisecond.
#[track_caller]
fn about(took: Duration, expected: Duration) {
    let off = took.abs_diff(expected);
    assert!(off <= ms(3), "{took:?} is not about {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_past_its_budget_is_reported_when_the_budget_ends_and_again_when_it_is_done() {
    let (root, a, _) = one(SECOND).await;
    let mut events = root.events();
    sleep(ms(350)).await;
    let begun = Instant::now();
    a.tell(Linger(ms(2500))).await.unwrap();
    let stuck = event(&mut events, "root/a", is_about_stuck).await;
    about(stuck.at - begun, SECOND);
    assert_eq!(stuck.incarnation, 1);
    let Lifecycle::Stuck {
        message,
        budget,
        for_,
    } = stuck.what
    else {
        panic!("{stuck:?}");
    };
    assert_eq!((message.as_str(), budget), ("Linger", SECOND));
    about(for_, SECOND);
    assert_eq!(info(&root, "a").await.health, Health::Stuck);

    let unstuck = event(&mut events, "root/a", is_about_stuck).await;
    let Lifecycle::Unstuck { message, took } = unstuck.what else {
        panic!("{unstuck:?}");
    };
    assert_eq!(message, "Linger");
    assert!(took >= ms(2499) && took <= ms(2603), "{took:?}");
    about(unstuck.at - begun, took);
    assert_eq!(info(&root, "a").await.health, Health::Up);
    assert_eq!(a.ask(Say(1), SECOND).await.unwrap(), 1);
    root.stop(MINUTE).await;
    assert_eq!(told(&mut events), []);
}

#[tokio::test(start_paused = true)]
async fn the_time_a_stuck_message_took_is_exact_if_another_waited_behind_it() {
    let (root, a, _) = one(SECOND).await;
    let mut events = root.events();
    a.tell(Linger(ms(1777))).await.unwrap();
    a.tell(Linger(ms(500))).await.unwrap();
    sleep(ms(5000)).await;
    let told = told(&mut events);
    let [Lifecycle::Stuck { .. }, Lifecycle::Unstuck { took, .. }] = told.as_slice() else {
        panic!("{told:?}");
    };
    about(*took, ms(1777));
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn handlers_within_their_budget_are_never_reported_however_many_follow_each_other() {
    let (root, a, log) = one(SECOND).await;
    let mut events = root.events();
    for _ in 0..20 {
        a.tell(Linger(ms(990))).await.unwrap();
    }
    sleep(ms(25_000)).await;
    assert_eq!(log.take().len(), 22, "started, and twenty times lingered");
    assert_eq!(told(&mut events), []);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn each_child_has_its_own_budget_and_actors_have_ten_seconds_unless_told() {
    let log = Log::default();
    let (quick, q) = Orders::new("quick", &log).spec();
    let (usual, u) = Orders::new("usual", &log).spec();
    let (free, f) = Orders::new("free", &log).spec();
    let spec = root()
        .child(quick.handler_budget(ms(100)))
        .child(usual)
        .child(free.handler_budget(None));
    let root = started(spec).await;
    assert_eq!(DEFAULT_HANDLER_BUDGET, ms(10_000));
    let budget = info(&root, "usual").await.handler_budget;
    assert_eq!(budget, Some(DEFAULT_HANDLER_BUDGET));
    let mut events = root.events();
    let begun = Instant::now();
    for handle in [&q, &u, &f] {
        handle.tell(Linger(MINUTE)).await.unwrap();
    }
    let first = event(&mut events, "root/quick", is_about_stuck).await;
    about(first.at - begun, ms(100));
    let second = event(&mut events, "root/usual", is_about_stuck).await;
    about(second.at - begun, ms(10_000));
    sleep(ms(40_000)).await;
    assert_eq!(told(&mut events), [], "the third is not watched");
    assert_eq!(info(&root, "free").await.health, Health::Up);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn an_alarm_is_a_message_too() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a.handler_budget(SECOND))).await;
    let mut events = root.events();
    // A private message to itself is handled like any other.
    handle.tell(Wake(ms(10))).await.unwrap();
    handle.tell(Linger(ms(1500))).await.unwrap();
    sleep(ms(4000)).await;
    assert!(log.seen().contains(&"a alarm".to_owned()));
    let told = told(&mut events);
    let [Lifecycle::Stuck { message, .. }, Lifecycle::Unstuck { .. }] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(message, "Linger");
    root.stop(MINUTE).await;
}

/// Handles for this long, and crashes.
struct Founder(Duration);

impl Message<Founder> for Probe {
    type Reply = ();
    async fn handle(&mut self, Founder(takes): Founder, _: &mut Context<Self, ()>) {
        sleep(takes).await;
        panic!("foundered");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_life_that_crashes_has_the_words_of_its_end_and_the_next_life_is_not_stuck() {
    let (root, a, _) = one(SECOND).await;
    let mut events = root.events();
    a.tell(Founder(ms(1500))).await.unwrap();
    a.tell(Linger(ms(800))).await.unwrap();
    event(&mut events, "root/a", is_about_stuck).await;
    event(&mut events, "root/a", |what| {
        matches!(what, Lifecycle::Crashed { .. })
    })
    .await;
    let restarted = event(&mut events, "root/a", |what| {
        matches!(what, Lifecycle::Restarted { .. })
    })
    .await;
    settle().await;
    assert_eq!(info(&root, "a").await.health, Health::Up);
    sleep(ms(3000)).await;
    assert_eq!(told(&mut events), []);
    // The new life is watched from its own beginning.
    a.tell(Linger(ms(1500))).await.unwrap();
    let stuck = event(&mut events, "root/a", is_about_stuck).await;
    assert_eq!((restarted.incarnation, stuck.incarnation), (2, 2));
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_life_that_is_stopped_is_down_and_no_longer_stuck() {
    let (root, a, _) = one(SECOND).await;
    let mut events = root.events();
    a.tell(Linger(MINUTE)).await.unwrap();
    event(&mut events, "root/a", is_about_stuck).await;
    let stopped = root.supervisor().terminate_child(&"a".into()).await;
    stopped.unwrap();
    assert_eq!(told(&mut events), []);
    assert_eq!(info(&root, "a").await.health, Health::Down);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn children_of_a_template_share_its_budget() {
    let policy = Policy {
        handler_budget: Some(SECOND),
        ..Policy::worker()
    };
    let log = Log::default();
    let (crowd, probes) = SupervisorSpec::simple_one_for_one::<Probe, Orders>("crowd", 4, policy);
    let root = started(root().child(ChildSpec::supervisor(crowd))).await;
    let mut events = root.events();
    let idle = probes.start("idle", Orders::new("idle", &log)).await;
    let busy = probes.start("busy", Orders::new("busy", &log)).await;
    drop(idle.unwrap());
    busy.unwrap().tell(Linger(ms(1500))).await.unwrap();
    event(&mut events, "root/crowd/busy", is_about_stuck).await;
    let list = probes.supervisor().which_children().await;
    let health: Vec<_> = list.iter().map(|info| info.health).collect();
    assert_eq!(health, [Health::Up, Health::Stuck]);
    root.stop(MINUTE).await;

    let value = Duration::ZERO;
    let policy = Policy {
        handler_budget: Some(value),
        ..Policy::worker()
    };
    let (crowd, _) = SupervisorSpec::simple_one_for_one::<Probe, Orders>("crowd", 4, policy);
    let refused = start(common::root().child(ChildSpec::supervisor(crowd))).await;
    let child = "crowd".into();
    let expected = StartTreeError::Spec(SpecError::HandlerBudget { child, value });
    assert_eq!(refused.err(), Some(expected));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_asked_to_stop_is_draining_and_watched_by_its_deadline_alone() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let a = a
        .handler_budget(SECOND)
        .shutdown(Shutdown::Timeout(ms(5000)));
    let root = started(root().child(a)).await;
    let mut events = root.events();
    handle.tell(Linger(MINUTE)).await.unwrap();
    settle().await;
    let supervisor = root.supervisor();
    let stop = aside(async move { supervisor.terminate_child(&"a".into()).await });
    sleep(ms(3000)).await;
    let draining = info(&root, "a").await;
    assert_eq!(draining.health, Health::Draining);
    about(draining.current.unwrap().1, ms(3000));
    stop.await.unwrap().unwrap();
    assert_eq!(told(&mut events), []);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_started_at_run_time_is_watched_and_forgotten() {
    let root = started(root()).await;
    let mut events = root.events();
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let spec = a.handler_budget(SECOND).temporary();
    root.supervisor().start_child(spec).await.unwrap();
    handle.tell(Linger(ms(1200))).await.unwrap();
    handle.tell(Finish).await.unwrap();
    sleep(ms(3000)).await;
    let told = told(&mut events);
    assert!(matches!(told[0], Lifecycle::Stuck { .. }), "{told:?}");
    assert_eq!(root.supervisor().which_children().await, []);
    root.stop(MINUTE).await;
}

/// Nobody would be woken for it, so it is refused; so is one that nothing could use up.
#[tokio::test(start_paused = true)]
async fn a_budget_that_means_nothing_is_refused_with_a_way_out() {
    let log = Log::default();
    let refused = async |spec: ChildSpec| match start(root().child(spec)).await {
        Err(StartTreeError::Spec(error)) => error,
        other => panic!("{:?}", other.err()),
    };
    for value in [Duration::ZERO, Duration::from_micros(999)] {
        let (a, _) = Orders::new("a", &log).spec();
        let error = refused(a.handler_budget(value)).await;
        let child = "a".into();
        assert_eq!(error, SpecError::HandlerBudget { child, value });
        let text = error.to_string();
        for part in ["child a", "handler_budget", &format!("{value:?}"), "`None`"] {
            assert!(text.contains(part), "{text}");
        }
    }
    let task = ChildSpec::task("t", |_| async { Ok(()) });
    let error = refused(task.handler_budget(SECOND)).await;
    assert!(matches!(error, SpecError::NoHandlers { .. }), "{error}");
    let inner = ChildSpec::supervisor(SupervisorSpec::new("s"));
    let error = refused(inner.handler_budget(SECOND)).await;
    assert!(error.to_string().contains("leave handler_budget out"));
    let (least, _) = Orders::new("a", &log).spec();
    let root = started(root().child(least.handler_budget(ms(1)))).await;
    root.stop(MINUTE).await;
}

/// Each of these trees sleeps for a hundred seconds on a clock that goes from timer to timer.
#[tokio::test(start_paused = true)]
async fn idle_actors_are_looked_at_together_and_those_without_a_budget_set_no_timer() {
    let nobody = rests_of(0, Some(DEFAULT_HANDLER_BUDGET)).await;
    let one = rests_of(1, Some(DEFAULT_HANDLER_BUDGET)).await;
    let hundred = rests_of(100, Some(DEFAULT_HANDLER_BUDGET)).await;
    let unwatched = rests_of(100, None).await;
    // Tokio rests a few times more or less on the way to one timer, by where its wheel stands.
    let same = |a: u64, b: u64| a.abs_diff(b) <= 5;
    assert!(one > nobody + 10, "{one} and {nobody}");
    assert!(same(hundred, one), "{hundred} and {one}");
    assert!(same(unwatched, nobody), "{unwatched} and {nobody}");
}

/// How often the test's one thread has found nothing to do while so many idle actors were up for a hundred seconds.
async fn rests_of(actors: usize, budget: Option<Duration>) -> u64 {
    let log = Log::default();
    let spec = (0..actors).fold(root(), |spec, n| {
        let orders = Orders::new("a", &log);
        let (actor, _) = ChildSpec::actor::<Probe, _>(format!("a{n}"), 1, orders);
        spec.child(actor.handler_budget(budget))
    });
    let root = started(spec).await;
    settle().await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.worker_park_count(0);
    sleep(ms(100_000)).await;
    let rests = metrics.worker_park_count(0) - before;
    root.stop(MINUTE).await;
    rests
}

/// Turns until it is let go, without ever giving its thread back.
struct Hog {
    let_go: Arc<AtomicBool>,
    inbox: Inbox<Self>,
}

impl Actor for Hog {
    type Args = Birth<Self, Arc<AtomicBool>>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            let_go: birth.seed,
            inbox: birth.inbox,
        })
    }

    supervision::receive_from!(inbox);
}

struct Block;

impl Message<Block> for Hog {
    type Reply = ();
    async fn handle(&mut self, _: Block, _: &mut Context<Self, ()>) {
        while !self.let_go.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }
}

/// Such a handler stops its thread's clock too, so this one test needs real threads and the real clock. It measures
/// nothing: it waits for the event, and lets go when it has come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_keeps_its_thread_is_seen_from_another() {
    let let_go = Arc::new(AtomicBool::new(false));
    let (hog, handle) = ChildSpec::actor::<Hog, _>("hog", 1, let_go.clone());
    let root = started(root().child(hog.handler_budget(ms(20)))).await;
    let mut events = root.events();
    handle.tell(Block).await.unwrap();
    let stuck = tokio::time::timeout(MINUTE, async {
        loop {
            let event = events.recv().await.unwrap();
            if let Lifecycle::Stuck { message, .. } = event.what {
                return message;
            }
        }
    })
    .await;
    // Before the assertion: a test that fails must end as well.
    let_go.store(true, Ordering::SeqCst);
    assert_eq!(stuck.unwrap(), "Block");
    root.stop(MINUTE).await;
}
