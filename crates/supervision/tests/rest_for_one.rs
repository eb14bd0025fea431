//! A group restart: those after the crashed child are stopped in reverse, then all are started in order.

use crate::common;

use std::sync::atomic::Ordering;

use common::four::Four;
use common::*;
use supervision::{AskError, ChildState, DownReason, EndReason, Restart, Strategy};

fn rest_for_one() -> supervision::SupervisorSpec {
    root().strategy(Strategy::RestForOne)
}

/// a, b, c, d, each adjusted, in one group.
async fn four(adjust: impl Fn(Orders) -> Orders) -> Four {
    Four::under(Strategy::RestForOne, adjust).await
}

#[tokio::test(start_paused = true)]
async fn those_after_the_crashed_are_stopped_in_reverse_and_all_are_started_in_order() {
    let four = four(|orders| orders.start_takes(ms(10))).await;
    four.handles[1].tell(Crash("boom")).await.unwrap();
    settle().await;
    assert_eq!(four.handles[3].ask(Say(1), SECOND).await.unwrap(), 1);
    let expected = [
        "b boom",
        "b stopped",
        "d stopped",
        "c stopped",
        "b starting",
        "b started",
        "c starting",
        "c started",
        "d starting",
        "d started",
        "d 1",
    ];
    assert_eq!(four.log.take(), expected);
    assert_eq!(four.incarnations().await, [1, 2, 2, 2]);
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn the_queues_of_the_whole_group_are_kept_in_order() {
    let four = four(|orders| orders).await;
    four.handles[3].tell(Linger(ms(20))).await.unwrap();
    for n in 1..=3 {
        four.handles[3].tell(Say(n)).await.unwrap();
    }
    let asked = aside({
        let d = four.handles[3].clone();
        async move { d.ask(Say(4), SECOND).await }
    });
    settle().await;
    four.handles[0].tell(Crash("boom")).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap(), 4);
    let of_d: Vec<String> = four
        .log
        .take()
        .into_iter()
        .filter(|l| l.starts_with('d'))
        .collect();
    let expected = [
        "d lingered",
        "d stopped",
        "d starting",
        "d started",
        "d 1",
        "d 2",
        "d 3",
        "d 4",
    ];
    assert_eq!(
        of_d, expected,
        "the message in hand is finished, the rest waits"
    );
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_crash_while_the_group_is_stopping_widens_the_group() {
    let four = four(|orders| orders.stop_takes(ms(100))).await;
    four.handles[2].tell(Crash("first")).await.unwrap();
    tokio::time::sleep(ms(50)).await;
    four.handles[0].tell(Crash("second")).await.unwrap();
    // c has ended after 100 ms, a ends after 150 ms, when d is in the middle of its stop.
    tokio::time::sleep(ms(120)).await;
    assert_eq!(four.handles[3].state(), ChildState::Stopping);
    assert_eq!(four.handles[3].ask(Say(1), SECOND * 5).await.unwrap(), 1);
    assert_eq!(four.incarnations().await, [2, 2, 2, 2]);
    let starts: Vec<String> = four
        .log
        .take()
        .into_iter()
        .filter(|l| l.ends_with("starting"))
        .collect();
    assert_eq!(
        starts,
        ["a starting", "b starting", "c starting", "d starting"]
    );
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_crash_while_the_group_is_starting_starts_the_rest_anew() {
    let four = four(|orders| orders.start_takes(ms(100))).await;
    four.handles[0].tell(Crash("first")).await.unwrap();
    tokio::time::sleep(ms(250)).await;
    assert_eq!(
        four.states().await,
        [
            ChildState::Up,
            ChildState::Up,
            ChildState::Starting,
            ChildState::BackingOff
        ]
    );
    four.handles[0].tell(Crash("second")).await.unwrap();
    assert_eq!(four.handles[3].ask(Say(1), SECOND * 5).await.unwrap(), 1);
    assert_eq!(four.incarnations().await, [3, 3, 3, 2]);
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_start_in_the_group_is_tried_again_counted_and_never_hangs() {
    let four = four(|orders| orders).await;
    four.orders[2].failing_starts.store(2, Ordering::SeqCst);
    four.handles[0].tell(Crash("boom")).await.unwrap();
    assert_eq!(four.handles[3].ask(Say(1), SECOND).await.unwrap(), 1);
    assert_eq!(four.incarnations().await, [2, 2, 4, 2]);
    four.root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_too_often_in_the_group_escalates() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).spec();
    let orders = Orders::new("b", &log);
    let failing = orders.failing_starts.clone();
    let (b, second) = orders.spec();
    let root = started(rest_for_one().intensity(3, SECOND).child(a).child(b)).await;
    failing.store(1000, Ordering::SeqCst);
    first.tell(Crash("boom")).await.unwrap();
    let EndReason::Escalated(escalation) = root.ended().await else {
        panic!("escalates");
    };
    assert_eq!(escalation.child, "root/b");
    assert_eq!(log.seen().last().unwrap(), "a stopped");
    assert!(matches!(
        second.ask(Say(1), SECOND).await,
        Err(AskError::Down {
            reason: DownReason::Escalated(_),
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_hangs_in_its_stop_is_killed_and_the_group_goes_on() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).spec();
    let (b, hung) = Orders::new("b", &log).spec();
    let root = started(rest_for_one().child(a).child(b.shutdown(brief()))).await;
    hung.tell(Linger(MINUTE * 60)).await.unwrap();
    hung.tell(Say(1)).await.unwrap();
    settle().await;
    first.tell(Crash("boom")).await.unwrap();
    assert_eq!(hung.ask(Say(2), SECOND).await.unwrap(), 2);
    assert!(
        log.seen().contains(&"b 1".to_owned()),
        "what was queued behind the killed message is kept"
    );
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_temporary_sibling_is_stopped_with_the_group_and_not_started_again() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).spec();
    let (b, temporary) = Orders::new("b", &log).spec();
    let (c, last) = Orders::new("c", &log).spec();
    let spec = rest_for_one()
        .child(a)
        .child(b.restart(Restart::Temporary))
        .child(c);
    let root = started(spec).await;
    first.tell(Crash("boom")).await.unwrap();
    assert_eq!(last.ask(Say(1), SECOND).await.unwrap(), 1);
    assert_eq!(temporary.state(), ChildState::Down);
    let ids: Vec<String> = root
        .supervisor()
        .which_children()
        .await
        .iter()
        .map(|c| c.id.to_string())
        .collect();
    assert_eq!(ids, ["a", "c"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_had_finished_is_started_with_the_group_as_in_otp() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).spec();
    let (b, job) = Orders::new("b", &log).spec();
    let root = started(rest_for_one().child(a).child(b.transient())).await;
    job.tell(Finish).await.unwrap();
    settle().await;
    assert_eq!(job.state(), ChildState::Down);
    first.tell(Crash("boom")).await.unwrap();
    settle().await;
    assert_eq!(job.state(), ChildState::Up);
    assert_eq!(job.ask(Say(1), SECOND).await.unwrap(), 1);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_a_group_restart_ends_everything() {
    let four = four(|orders| orders.start_takes(ms(100)).stop_takes(ms(50))).await;
    four.handles[0].tell(Crash("boom")).await.unwrap();
    tokio::time::sleep(ms(330)).await;
    let report = four.root.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    assert!(
        four.handles
            .iter()
            .all(|handle| handle.state() == ChildState::Down)
    );
    assert_eq!(four.root.ended().await, EndReason::Stopped);
}

#[tokio::test(start_paused = true)]
async fn administrators_are_answered_in_the_middle_of_a_group_restart() {
    let four = four(|orders| orders.start_takes(SECOND).stop_takes(SECOND)).await;
    four.handles[0].tell(Crash("boom")).await.unwrap();
    for _ in 0..50 {
        let asked = tokio::time::Instant::now();
        assert_eq!(four.root.supervisor().which_children().await.len(), 4);
        assert!(asked.elapsed() < ms(1));
        tokio::time::sleep(ms(100)).await;
    }
    four.root.stop(MINUTE).await;
}
