//! The whole tree in one look: every child as its supervisor sees it, and no supervisor can keep the rest from view.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use crate::common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use supervision::{
    Backoff, ChildSpec, ChildState, ChildrenUnknown, DownReason, Handle, Health, Kind, Lifecycle,
    Restart, Strategy, SupervisorSpec, Topology, TopologyNode,
};
use tokio::time::Instant;

fn node<'a>(tree: &'a Topology, path: &str) -> &'a TopologyNode {
    let found = tree.nodes().find(|node| node.info.child == *path);
    found.unwrap_or_else(|| panic!("no {path} in\n{tree}"))
}

fn paths(tree: &Topology) -> Vec<&str> {
    tree.nodes().map(|node| node.info.child.as_str()).collect()
}

fn probe(name: &'static str) -> (ChildSpec, Handle<Probe>) {
    Orders::new(name, &Log::default()).spec()
}

/// A supervisor whose only child crashes on demand; one crash is one too many, so it rests and starts again.
fn brittle(name: &str) -> (ChildSpec, Handle<Probe>) {
    let (child, handle) = probe("child");
    let spec = SupervisorSpec::new(name).intensity(0, SECOND).child(child);
    let rest = Backoff {
        base: MINUTE,
        cap: MINUTE,
        healthy_after: MINUTE,
    };
    (ChildSpec::supervisor(spec).backoff(rest), handle)
}

#[tokio::test(start_paused = true)]
async fn every_child_is_shown_below_its_supervisor_in_start_order() {
    let (a, a_handle) = probe("a");
    let (b, b_handle) = probe("b");
    let (c, _) = probe("c");
    let inner = SupervisorSpec::new("inner")
        .strategy(Strategy::RestForOne)
        .child(a)
        .child(ChildSpec::supervisor(
            SupervisorSpec::new("innermost").child(b.transient()),
        ));
    let task = ChildSpec::task("task", |task| async move {
        task.ready();
        let _work = task.work("pumping");
        task.stopping().await;
        Ok(())
    });
    let spec = root()
        .child(ChildSpec::supervisor(inner))
        .child(c.handler_budget(None))
        .child(task);
    let root = started(spec).await;
    tokio::time::sleep(ms(1500)).await;
    a_handle.ask(Crash("bug"), SECOND).await.unwrap_err();
    b_handle.tell(Linger(MINUTE)).await.unwrap();
    settle().await;
    b_handle.tell(Say(1)).await.unwrap();
    tokio::time::sleep(ms(500)).await;

    let begun = Instant::now();
    let tree = root.topology(SECOND).await;
    assert!(begun.elapsed() <= ms(1), "everyone answered at once");
    let expected = [
        "root",
        "root/inner",
        "root/inner/a",
        "root/inner/innermost",
        "root/inner/innermost/b",
        "root/c",
        "root/task",
    ];
    assert_eq!(paths(&tree), expected);
    let inner: Vec<_> = tree.top.children[0].children.iter().collect();
    assert_eq!(inner.len(), 2, "children are nested");
    assert!(tree.nodes().all(|node| node.children_unknown.is_none()));
    assert_eq!(tree.unhealthy().count(), 0, "{tree}");

    let top = node(&tree, "root");
    assert_eq!(top.info.id.as_str(), "root");
    assert_eq!(top.strategy, Some(Strategy::OneForOne));
    assert_eq!(
        (top.info.kind, top.info.state),
        (Kind::Supervisor, ChildState::Up)
    );
    assert_eq!((top.info.incarnation, top.info.restarts), (1, 0));
    assert!(top.info.uptime.unwrap() >= ms(2000));
    let inner = node(&tree, "root/inner");
    assert_eq!(inner.strategy, Some(Strategy::RestForOne));
    assert_eq!(inner.info.restart, Restart::Permanent);

    let a = &node(&tree, "root/inner/a").info;
    assert_eq!((a.incarnation, a.restarts), (2, 1));
    assert_eq!(a.last_error.as_deref(), Some("bug"));
    assert_eq!(a.handler_budget, Some(supervision::DEFAULT_HANDLER_BUDGET));
    let b = &node(&tree, "root/inner/innermost/b").info;
    assert_eq!(b.restart, Restart::Transient);
    assert_eq!((b.depth, b.capacity), (1, 64));
    let (message, age) = b.current.clone().unwrap();
    assert_eq!(message, "Linger");
    assert!(age >= ms(500) && age < ms(510), "{age:?}");
    assert_eq!(node(&tree, "root/c").info.handler_budget, None);
    let task = node(&tree, "root/task");
    assert_eq!((task.strategy, task.info.capacity), (None, 0));
    assert_eq!(task.info.work, ["pumping"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_tree_can_be_asked_for() {
    let (a, _) = probe("a");
    let inner = SupervisorSpec::new("inner").child(a);
    let handle = inner.handle();
    let inner = ChildSpec::supervisor(inner).transient();
    let root = started(root().child(inner)).await;
    let tree = handle.topology(SECOND).await;
    assert_eq!(paths(&tree), ["root/inner", "root/inner/a"]);
    assert_eq!(tree.top.info.restart, Restart::Transient);
    assert_eq!(tree.top.info.id.as_str(), "inner");
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_between_two_lives_is_shown_without_its_children_and_the_rest_with_theirs() {
    let (brittle, child) = brittle("brittle");
    let (a, _) = probe("a");
    let well = ChildSpec::supervisor(SupervisorSpec::new("well").child(a));
    let root = started(root().child(brittle).child(well)).await;
    let mut events = root.events();
    child.ask(Crash("bug"), SECOND).await.unwrap_err();
    event(&mut events, "root/brittle", |what| {
        matches!(what, Lifecycle::BackingOff { .. })
    })
    .await;
    let begun = Instant::now();
    let tree = root.topology(SECOND).await;
    assert!(begun.elapsed() <= ms(1), "it is not even asked");
    let expected = ["root", "root/brittle", "root/well", "root/well/a"];
    assert_eq!(paths(&tree), expected);
    let resting = node(&tree, "root/brittle");
    assert_eq!(resting.children_unknown, Some(ChildrenUnknown::BackingOff));
    assert_eq!(resting.health(), Health::BackingOff);
    assert_eq!(resting.strategy, Some(Strategy::OneForOne));
    let error = resting.info.last_error.as_deref().unwrap();
    assert!(error.contains("bug"), "{error}");
    let unhealthy: Vec<_> = tree.unhealthy().map(|node| &node.info.child).collect();
    assert_eq!(unhealthy, ["root/brittle"]);
    assert!(tree.to_string().contains("between two lives"), "{tree}");
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn no_time_shows_the_top_alone_and_says_so() {
    let (a, _) = probe("a");
    let root = started(root().child(a)).await;
    let deadline = Duration::ZERO;
    let tree = root.topology(deadline).await;
    assert_eq!(paths(&tree), ["root"]);
    let late = Some(ChildrenUnknown::NoAnswer { deadline });
    assert_eq!(tree.top.children_unknown, late);
    assert_eq!(tree.unhealthy().count(), 1);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn before_its_start_and_after_its_end_a_tree_has_nothing_below_its_top() {
    let (a, _) = probe("a");
    let spec = root().child(a);
    let handle = spec.handle();
    let tree = handle.topology(SECOND).await;
    assert_eq!(tree.top.children_unknown, Some(ChildrenUnknown::NotStarted));
    assert_eq!(tree.top.health(), Health::Starting);
    assert_eq!(tree.top.info.incarnation, 0);
    let root = started(spec).await;
    assert_eq!(handle.topology(SECOND).await.nodes().count(), 2);
    root.stop(MINUTE).await;
    let tree = handle.topology(SECOND).await;
    assert_eq!(tree.top.children_unknown, Some(ChildrenUnknown::Down));
    assert_eq!(tree.top.health(), Health::Down);
    assert_eq!(tree.unhealthy().count(), 0, "it was asked to stop");
}

#[tokio::test(start_paused = true)]
async fn while_it_starts_a_tree_shows_what_is_up_and_what_is_not_yet() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).spec();
    let (b, _) = Orders::new("b", &log).start_takes(ms(500)).spec();
    let (c, _) = Orders::new("c", &log).spec();
    let later = ChildSpec::supervisor(SupervisorSpec::new("later").child(c));
    let spec = root().child(a).child(b).child(later);
    let handle = spec.handle();
    let starting = aside(start(spec));
    tokio::time::sleep(ms(100)).await;
    let tree = handle.topology(SECOND).await;
    assert_eq!(node(&tree, "root/a").health(), Health::Up);
    assert_eq!(node(&tree, "root/b").health(), Health::Starting);
    let later = node(&tree, "root/later");
    assert_eq!(later.children_unknown, Some(ChildrenUnknown::NotStarted));
    assert_eq!(
        (later.info.incarnation, later.health()),
        (0, Health::Starting)
    );
    assert_eq!(tree.top.info.uptime, None);
    let root = starting.await.unwrap().unwrap();
    assert_eq!(root.topology(SECOND).await.unhealthy().count(), 0);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_down_says_why() {
    let (a, handle) = probe("a");
    let (b, _) = probe("b");
    let root = started(root().child(a.transient()).child(b)).await;
    handle.tell(Finish).await.unwrap();
    settle().await;
    let b = "b".into();
    root.supervisor().terminate_child(&b).await.unwrap();
    let tree = root.topology(SECOND).await;
    let table = [
        ("root/a", DownReason::Finished),
        ("root/b", DownReason::Stopped),
    ];
    for (path, why) in table {
        let info = &node(&tree, path).info;
        assert_eq!((info.health, info.down.clone()), (Health::Down, Some(why)));
    }
    assert_eq!(tree.unhealthy().count(), 0, "both went quietly");
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn deep_and_wide_trees_are_shown_whole() {
    let chain = (0..200).fold(SupervisorSpec::new("bottom"), |below, level| {
        SupervisorSpec::new(format!("level{level}")).child(ChildSpec::supervisor(below))
    });
    // More supervisors side by side than are asked at the same time.
    let wide = (0..600).fold(SupervisorSpec::new("wide"), |wide, n| {
        wide.child(ChildSpec::supervisor(SupervisorSpec::new(format!("{n}"))))
    });
    let spec = root()
        .child(ChildSpec::supervisor(chain))
        .child(ChildSpec::supervisor(wide));
    let root = started(spec).await;
    let tree = root.topology(SECOND).await;
    assert_eq!(tree.nodes().count(), 1 + 201 + 1 + 600);
    assert_eq!(tree.unhealthy().count(), 0);
    let deepest = tree
        .nodes()
        .map(|node| node.info.child.as_str().matches('/').count());
    assert_eq!(deepest.max(), Some(201));
    let ids: Vec<_> = tree.top.children[1]
        .children
        .iter()
        .map(|node| node.info.id.to_string())
        .collect();
    let expected: Vec<_> = (0..600).map(|n| n.to_string()).collect();
    assert_eq!(ids, expected, "in start order");
    root.stop(MINUTE).await;
}

/// Keeps the gauges and counters of this crate, by their labels.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<std::collections::BTreeMap<String, Arc<AtomicU64>>>>);

impl Recorded {
    fn keep(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|l| l.value().to_owned()).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        self.0.lock().unwrap().entry(name).or_default().clone()
    }

    fn children(&self, supervisor: &str, state: &str) -> f64 {
        let name = format!("paraphym_supervision_children {supervisor} {state}");
        let all = self.0.lock().unwrap();
        let gauge = all.get(&name).unwrap_or_else(|| panic!("no {name}"));
        f64::from_bits(gauge.load(Ordering::SeqCst))
    }

    /// Every state of which a supervisor has children.
    fn states(&self, supervisor: &str) -> Vec<(&'static str, u32)> {
        let word = |health: Health| (health.as_str(), self.children(supervisor, health.as_str()));
        let all = Health::ALL.into_iter().map(word);
        let some = all.filter(|(_, children)| *children != 0.0);
        some.map(|(state, children)| (state, format!("{children}").parse().unwrap()))
            .collect()
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.keep(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.keep(key))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn the_gauges_follow_every_child_and_go_to_zero_with_their_supervisor() {
    let recorded = Recorded::default();
    let _here = metrics::set_default_local_recorder(&recorded);
    let (brittle, child) = brittle("brittle");
    let (a, a_handle) = probe("a");
    let (b, _) = probe("b");
    let (c, c_handle) = probe("c");
    let spec = root().child(brittle).child(a).child(b).child(c.transient());
    let root = started(spec).await;
    settle().await;
    assert_eq!(recorded.states("root"), [("up", 4)]);
    assert_eq!(recorded.states("root/brittle"), [("up", 1)]);

    a_handle.tell(Linger(ms(12_000))).await.unwrap();
    c_handle.tell(Finish).await.unwrap();
    child.ask(Crash("bug"), SECOND).await.unwrap_err();
    tokio::time::sleep(ms(10_500)).await;
    let states = recorded.states("root");
    assert_eq!(
        states,
        [("up", 1), ("backing_off", 1), ("stuck", 1), ("down", 1)]
    );
    assert_eq!(recorded.states("root/brittle"), [], "its life is over");
    tokio::time::sleep(ms(3000)).await;
    let states = recorded.states("root");
    assert_eq!(states, [("up", 2), ("backing_off", 1), ("down", 1)]);
    let stuck = recorded.0.lock().unwrap()["paraphym_supervision_stuck_total root/a"].clone();
    assert_eq!(stuck.load(Ordering::SeqCst), 1);

    a_handle.tell(Linger(SECOND)).await.unwrap();
    settle().await;
    let supervisor = root.supervisor();
    let stop = aside(async move { supervisor.terminate_child(&"a".into()).await });
    settle().await;
    assert!(recorded.states("root").contains(&("draining", 1)));
    stop.await.unwrap().unwrap();
    root.stop(MINUTE).await;
    for supervisor in ["root", "root/brittle"] {
        assert_eq!(recorded.states(supervisor), [], "{supervisor}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_started_at_run_time_adds_no_label_of_its_own() {
    let recorded = Recorded::default();
    let _here = metrics::set_default_local_recorder(&recorded);
    let root = started(root()).await;
    for name in ["one", "two"] {
        let (child, _) = probe("child");
        let spec = SupervisorSpec::new(name).child(child);
        let spec = ChildSpec::supervisor(spec);
        root.supervisor().start_child(spec).await.unwrap();
    }
    settle().await;
    assert_eq!(recorded.states("root"), [("up", 2)]);
    assert_eq!(recorded.states("root/*"), [("up", 2)]);
    let names: Vec<_> = recorded.0.lock().unwrap().keys().cloned().collect();
    assert!(!names.iter().any(|name| name.contains("one")), "{names:?}");
    let one = "one".into();
    root.supervisor().terminate_child(&one).await.unwrap();
    settle().await;
    assert_eq!(recorded.states("root/*"), [("up", 1)]);
    root.stop(MINUTE).await;
    assert_eq!(recorded.states("root/*"), []);
}
