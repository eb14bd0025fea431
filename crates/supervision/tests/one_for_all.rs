//! A crash restarts all siblings: all are stopped in reverse, then all are started in order.

use crate::common;

use std::sync::atomic::Ordering;

use common::four::Four;
use common::*;
use supervision::{
    AskError, AutoShutdown, ChildId, ChildState, DownReason, EndReason, Lifecycle, Restart,
    Started, Strategy,
};

async fn four(adjust: impl Fn(Orders) -> Orders) -> Four {
    Four::under(Strategy::OneForAll, adjust).await
}

#[tokio::test(start_paused = true)]
async fn all_are_stopped_in_reverse_and_started_in_order_whoever_crashed() {
    let four = four(|orders| orders.start_takes(ms(10))).await;
    four.handles[2].tell(Crash("boom")).await.unwrap();
    settle().await;
    assert_eq!(four.handles[3].ask(Say(1), SECOND).await.unwrap(), 1);
    let expected = [
        "c boom",
        "c stopped",
        "d stopped",
        "b stopped",
        "a stopped",
        "a starting",
        "a started",
        "b starting",
        "b started",
        "c starting",
        "c started",
        "d starting",
        "d started",
        "d 1",
    ];
    assert_eq!(four.log.take(), expected);
    assert_eq!(four.incarnations().await, [2, 2, 2, 2]);
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn queues_of_all_are_kept_in_order_and_only_the_crashing_message_is_lost() {
    let four = four(|orders| orders).await;
    let (a, c) = (&four.handles[0], &four.handles[2]);
    a.tell(Linger(ms(20))).await.unwrap();
    for n in 1..=3 {
        a.tell(Say(n)).await.unwrap();
    }
    let asked = aside({
        let a = a.clone();
        async move { a.ask(Say(4), SECOND).await }
    });
    let crashing = aside({
        let c = c.clone();
        async move { c.ask(Crash("boom"), SECOND).await }
    });
    settle().await;
    c.tell(Say(5)).await.unwrap();
    assert!(matches!(
        crashing.await.unwrap(),
        Err(AskError::Crashed { .. })
    ));
    assert_eq!(asked.await.unwrap().unwrap(), 4);
    assert_eq!(c.ask(Say(6), SECOND).await.unwrap(), 6);
    let of_a = [
        "lingered", "stopped", "starting", "started", "1", "2", "3", "4",
    ];
    assert_eq!(four.notes_of("a"), of_a);
    let of_c = ["boom", "stopped", "starting", "started", "5", "6"];
    assert_eq!(four.notes_of("c"), of_c, "the crash is not delivered twice");
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_crash_while_the_others_are_stopping_is_part_of_the_same_restart() {
    let four = four(|orders| orders.stop_takes(ms(100))).await;
    four.handles[1].tell(Crash("first")).await.unwrap();
    tokio::time::sleep(ms(50)).await;
    four.handles[0].tell(Crash("second")).await.unwrap();
    // b has ended after 100 ms, a ends after 150 ms, when d is in the middle of its stop.
    tokio::time::sleep(ms(120)).await;
    assert_eq!(four.handles[3].state(), ChildState::Stopping);
    assert_eq!(four.handles[3].ask(Say(1), SECOND * 5).await.unwrap(), 1);
    assert_eq!(four.incarnations().await, [2, 2, 2, 2]);
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_the_group_is_starting_starts_all_anew() {
    let four = four(|orders| orders.start_takes(ms(100))).await;
    four.handles[0].tell(Crash("first")).await.unwrap();
    tokio::time::sleep(ms(250)).await;
    four.handles[1].tell(Crash("second")).await.unwrap();
    assert_eq!(four.handles[3].ask(Say(1), SECOND * 5).await.unwrap(), 1);
    assert_eq!(four.incarnations().await, [3, 3, 3, 2]);
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_start_in_the_group_is_counted_and_tried_again_until_it_holds() {
    let four = four(|orders| orders).await;
    four.orders[1].failing_starts.store(2, Ordering::SeqCst);
    four.handles[3].tell(Crash("boom")).await.unwrap();
    assert_eq!(four.handles[3].ask(Say(1), SECOND).await.unwrap(), 1);
    // Each failure of b is a new restart of all: a is up again by then, c and d are not.
    assert_eq!(four.incarnations().await, [4, 4, 2, 2]);
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_too_often_in_the_group_escalates_with_its_reason() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).spec();
    let orders = Orders::new("b", &log);
    let failing = orders.failing_starts.clone();
    let (b, second) = orders.spec();
    let spec = root().strategy(Strategy::OneForAll).intensity(3, SECOND);
    let root = started(spec.child(a).child(b)).await;
    failing.store(1000, Ordering::SeqCst);
    first.tell(Crash("boom")).await.unwrap();
    let EndReason::Escalated(escalation) = root.ended().await else {
        panic!("escalates");
    };
    assert_eq!(
        (escalation.child.as_str(), escalation.max_restarts),
        ("root/b", 3)
    );
    let failures = log.seen().iter().filter(|l| *l == "b failing").count();
    assert_eq!(
        failures, 3,
        "one restart for the crash, two for failures, the third is too many"
    );
    assert!(matches!(
        second.ask(Say(1), SECOND).await,
        Err(AskError::Down {
            reason: DownReason::Escalated(_),
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn temporary_siblings_are_forgotten_and_finished_ones_are_started_again() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).spec();
    let (b, temporary) = Orders::new("b", &log).spec();
    let (c, job) = Orders::new("c", &log).spec();
    let spec = root()
        .strategy(Strategy::OneForAll)
        .child(a)
        .child(b.restart(Restart::Temporary))
        .child(c.transient());
    let root = started(spec).await;
    job.tell(Finish).await.unwrap();
    settle().await;
    assert_eq!(job.state(), ChildState::Down);
    first.tell(Crash("boom")).await.unwrap();
    settle().await;
    assert_eq!(job.ask(Say(1), SECOND).await.unwrap(), 1);
    assert_eq!(temporary.state(), ChildState::Down);
    let ids: Vec<String> = (root.supervisor().which_children().await.iter())
        .map(|child| child.id.to_string())
        .collect();
    assert_eq!(ids, ["a", "c"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_that_crashes_restarts_nobody() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).spec();
    let (b, temporary) = Orders::new("b", &log).spec();
    let spec = root().strategy(Strategy::OneForAll);
    let root = started(spec.child(a).child(b.temporary())).await;
    temporary.tell(Crash("boom")).await.unwrap();
    settle().await;
    assert_eq!(first.ask(Say(1), SECOND).await.unwrap(), 1);
    let list = root.supervisor().which_children().await;
    let seen: Vec<_> = list
        .iter()
        .map(|c| (c.id.as_str(), c.incarnation))
        .collect();
    assert_eq!(seen, [("a", 1)]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_added_at_run_time_belongs_to_the_group() {
    let four = four(|orders| orders).await;
    let (e, added) = Orders::new("e", &four.log).spec();
    let admin = four.root.supervisor();
    assert_eq!(admin.start_child(e).await.unwrap(), Started::Running);
    added.tell(Say(1)).await.unwrap();
    four.handles[0].tell(Crash("boom")).await.unwrap();
    assert_eq!(added.ask(Say(2), SECOND).await.unwrap(), 2);
    assert_eq!(four.incarnations().await, [2, 2, 2, 2, 2]);
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_terminated_during_the_restart_stays_down() {
    let four = four(|orders| orders.stop_takes(ms(100)).start_takes(ms(100))).await;
    four.handles[0].tell(Crash("boom")).await.unwrap();
    tokio::time::sleep(ms(150)).await;
    let d = ChildId::new("d");
    four.root.supervisor().terminate_child(&d).await.unwrap();
    assert_eq!(four.handles[2].ask(Say(1), SECOND * 5).await.unwrap(), 1);
    assert_eq!(four.handles[3].state(), ChildState::Down);
    assert_eq!(four.incarnations().await, [2, 2, 2, 1]);
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_ends_by_itself_while_it_is_to_be_stopped_neither_hangs_nor_counts() {
    let four = four(|orders| orders.stop_takes(ms(100))).await;
    four.handles[1].tell(Linger(ms(150))).await.unwrap();
    four.handles[1].tell(Finish).await.unwrap();
    settle().await;
    four.handles[3].tell(Crash("boom")).await.unwrap();
    assert_eq!(four.handles[3].ask(Say(1), SECOND * 5).await.unwrap(), 1);
    assert_eq!(four.incarnations().await.len(), 4);
    assert!(four.states().await.iter().all(|s| *s == ChildState::Up));
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_any_moment_of_the_restart_ends_everything() {
    for moment in 0..16 {
        let four = four(|orders| orders.start_takes(ms(100)).stop_takes(ms(50))).await;
        four.handles[1].tell(Crash("boom")).await.unwrap();
        tokio::time::sleep(ms(40 * moment)).await;
        let report = four.root.stop(MINUTE).await;
        assert_eq!(report.abandoned, [], "after {moment} times 40 ms");
        assert!(report.took < SECOND, "{:?}", report.took);
        let down = |handle: &supervision::Handle<Probe>| handle.state() == ChildState::Down;
        assert!(four.handles.iter().all(down));
        assert_eq!(four.root.ended().await, EndReason::Stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn siblings_that_crash_together_are_one_restart_as_in_otp() {
    let log = Log::default();
    let mut spec = root().strategy(Strategy::OneForAll).intensity(1, MINUTE);
    let mut handles = Vec::new();
    for name in ["a", "b", "c"] {
        let (child, handle) = Orders::new(name, &log).spec();
        spec = spec.child(child);
        handles.push(handle);
    }
    let root = started(spec).await;
    for handle in &handles {
        handle.tell(Crash("shared fault")).await.unwrap();
        handle.tell(Say(1)).await.unwrap();
    }
    for handle in &handles {
        assert_eq!(handle.ask(Say(2), SECOND).await.unwrap(), 2);
    }
    let list = root.supervisor().which_children().await;
    let lives: Vec<u64> = list.iter().map(|child| child.incarnation).collect();
    assert_eq!(lives, [2, 2, 2]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_finishes_before_its_turn_to_stop_is_started_with_the_group() {
    let log = Log::default();
    let (a, crashing) = Orders::new("a", &log).spec();
    let (b, finishing) = Orders::new("b", &log).spec();
    let (c, _slow) = Orders::new("c", &log).stop_takes(ms(100)).spec();
    let spec = root()
        .strategy(Strategy::OneForAll)
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(a)
        .child(b.transient().significant())
        .child(c);
    let root = started(spec).await;
    crashing.tell(Crash("boom")).await.unwrap();
    tokio::time::sleep(ms(50)).await;
    finishing.tell(Finish).await.unwrap();
    finishing.tell(Say(1)).await.unwrap();
    assert_eq!(finishing.ask(Say(2), SECOND).await.unwrap(), 2);
    let of_b: Vec<String> = log
        .take()
        .into_iter()
        .filter(|l| l.starts_with('b'))
        .collect();
    let expected = [
        "b starting",
        "b started",
        "b stopped",
        "b starting",
        "b started",
        "b 1",
        "b 2",
    ];
    assert_eq!(of_b, expected);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_the_restart_handles_what_is_queued() {
    let four = four(|orders| orders).await;
    let d = &four.handles[3];
    d.tell(Linger(ms(100))).await.unwrap();
    d.tell(Say(1)).await.unwrap();
    settle().await;
    four.handles[0].tell(Crash("boom")).await.unwrap();
    settle().await;
    assert_eq!(d.state(), ChildState::Stopping);
    let report = four.root.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    assert_eq!(four.notes_of("d"), ["lingered", "1", "stopped"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_group_restart_cuts_off_is_reported() {
    let log = Log::default();
    let (a, crashing) = Orders::new("a", &log).spec();
    let (b, busy) = Orders::new("b", &log).spec();
    let tree = root().strategy(Strategy::OneForAll);
    let root = started(tree.child(a).child(b.shutdown(brief()))).await;
    let mut events = root.events();
    busy.tell(Hold("upload")).await.unwrap();
    busy.tell(Linger(MINUTE)).await.unwrap();
    settle().await;
    crashing.tell(Crash("boom")).await.unwrap();
    let seen = event(&mut events, "root/b", |what| {
        matches!(what, Lifecycle::Stopped { .. })
    });
    let Lifecycle::Stopped { abandoned, .. } = seen.await.what else {
        unreachable!()
    };
    assert_eq!(abandoned, ["interrupted Linger", "upload"]);
    assert_eq!(busy.ask(Say(1), SECOND).await.unwrap(), 1);
    assert_eq!(root.stop(MINUTE).await.abandoned, []);
}
