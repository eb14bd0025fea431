//! One child crashes and comes back: what is kept, what is lost, who hears what, and when it is over.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use crate::common;

use std::time::Duration;

use common::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use supervision::{
    AskError, Backoff, ChildSpec, ChildState, DownReason, EndReason, Escalation, Lifecycle,
    Shutdown, SupervisorSpec, TellError,
};
use tokio::time::Instant;

/// Rests of at most 100, 200, 400 … 1600 ms, forgotten after 5 s of health.
fn slow() -> Backoff {
    Backoff {
        base: ms(100),
        cap: ms(1600),
        healthy_after: SECOND * 5,
    }
}

#[tokio::test(start_paused = true)]
async fn two_crashes_in_a_row_keep_the_queue_in_order_for_tells_and_asks() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    log.take();
    handle.tell(Linger(ms(5))).await.unwrap();
    handle.tell(Crash("first")).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    let asked = aside({
        let handle = handle.clone();
        async move { handle.ask(Say(2), SECOND).await }
    });
    tokio::task::yield_now().await;
    handle.tell(Crash("second")).await.unwrap();
    handle.tell(Say(3)).await.unwrap();
    assert_eq!(handle.ask(Say(4), SECOND).await.unwrap(), 4);
    assert_eq!(asked.await.unwrap().unwrap(), 2);
    let expected = [
        "a lingered",
        "a first",
        "a stopped",
        "a starting",
        "a started",
        "a 1",
        "a 2",
        "a second",
        "a stopped",
        "a starting",
        "a started",
        "a 3",
        "a 4",
    ];
    assert_eq!(log.take(), expected);
    root.stop(MINUTE).await;
}

/// Random sequences of good and crashing messages, tells and asks, and queues that overflow.
#[tokio::test(start_paused = true)]
async fn what_was_sent_is_handled_once_in_order_whatever_crashes() {
    let stories = (
        prop::collection::vec(any::<bool>(), 0..40),
        prop::collection::vec(any::<bool>(), 40),
        1_usize..8,
    );
    let mut runner = TestRunner::deterministic();
    for _ in 0..64 {
        let story = stories.new_tree(&mut runner).unwrap().current();
        let told = format!("(crashes, asks, capacity): {story:?}");
        let (crashes, asks, capacity) = story;
        let (handled, answers) = run_sequence(crashes.clone(), asks, capacity).await;
        let expected: Vec<String> = crashes
            .iter()
            .enumerate()
            .map(|(n, crash)| match crash {
                true => "a boom".to_owned(),
                false => format!("a {n}"),
            })
            .collect();
        assert_eq!(handled, expected, "{told}");
        for (n, answer) in answers {
            match answer {
                Ok(said) => assert_eq!(said, Some(n as u32), "{told}"),
                Err(()) => assert!(crashes[n], "{told}"),
            }
        }
    }
}

type Answers = Vec<(usize, Result<Option<u32>, ()>)>;

/// Sends every message in order, each as a tell or an ask, and returns what was handled and what was answered. `Err` is
/// `Crashed`, anything else unexpected fails here.
async fn run_sequence(
    crashes: Vec<bool>,
    asks: Vec<bool>,
    capacity: usize,
) -> (Vec<String>, Answers) {
    let log = Log::default();
    let orders = Orders::new("a", &log);
    let (a, handle) = ChildSpec::actor::<Probe, _>("a", capacity, orders);
    let tree = started(root().child(a.backoff(slow()))).await;
    log.take();
    let mut waiting = tokio::task::JoinSet::new();
    for (n, crash) in crashes.into_iter().enumerate() {
        match (crash, asks[n]) {
            (true, false) => handle.tell(Crash("boom")).await.unwrap(),
            (false, false) => handle.tell(Say(n as u32)).await.unwrap(),
            (crash, true) => {
                let asker = handle.clone();
                waiting.spawn(async move {
                    let answer = if crash {
                        asker
                            .ask(Crash("boom"), MINUTE * 60)
                            .await
                            .map(|()| None)
                            .map_err(|e| assert!(matches!(e, AskError::Crashed { .. }), "{e}"))
                    } else {
                        asker
                            .ask(Say(n as u32), MINUTE * 60)
                            .await
                            .map(Some)
                            .map_err(|e| panic!("{e}"))
                    };
                    (n, answer)
                });
                // The ask is in the queue, or first in line for it, before the next message is sent.
                tokio::task::yield_now().await;
            }
        }
    }
    let answers = waiting.join_all().await;
    // A child that rests is not started once more to be stopped; so wait until it has handled the last message.
    handle.ask(Wake(MINUTE * 600), MINUTE * 60).await.unwrap();
    let report = tree.stop(MINUTE * 60).await;
    assert_eq!(report.abandoned, []);
    let handled = log
        .take()
        .into_iter()
        .filter(|line| !line.contains("start") && !line.contains("stop"))
        .collect();
    (handled, answers)
}

#[tokio::test(start_paused = true)]
async fn an_ask_during_backoff_is_answered_after_it_or_times_out() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).start_takes(ms(300)).spec();
    let root = started(root().child(a)).await;
    handle.tell(Crash("boom")).await.unwrap();
    settle().await;
    assert_eq!(handle.state(), ChildState::Starting);
    let begun = Instant::now();
    let error = handle.ask(Say(1), ms(100)).await.unwrap_err();
    assert!(
        matches!(error, AskError::Timeout { deadline, .. } if deadline == ms(100)),
        "{error}"
    );
    assert_eq!(begun.elapsed().as_millis() / 10, 10);
    assert_eq!(handle.ask(Say(2), SECOND).await.unwrap(), 2);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn an_ask_in_flight_hears_crashed() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let error = handle.ask(Crash("boom"), SECOND).await.unwrap_err();
    assert!(
        matches!(&error, AskError::Crashed { child } if *child == "root/a"),
        "{error}"
    );
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_down_for_good_fails_at_once_with_the_reason() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a.temporary())).await;
    handle.tell(Linger(ms(10))).await.unwrap();
    handle.tell(Crash("boom")).await.unwrap();
    let queued = aside({
        let handle = handle.clone();
        async move { handle.ask(Say(1), MINUTE).await }
    });
    let begun = Instant::now();
    let reason = match queued.await.unwrap() {
        Err(AskError::Down { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason, DownReason::Crashed("boom".to_owned()));
    assert!(begun.elapsed() < ms(20));
    let Err(TellError::Down {
        message, reason, ..
    }) = handle.tell(Say(2)).await
    else {
        panic!("down");
    };
    assert_eq!(
        (message.0, reason),
        (2, DownReason::Crashed("boom".to_owned()))
    );
    assert_eq!(handle.state(), ChildState::Down);
    assert_eq!(root.supervisor().which_children().await, []);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn each_restart_type_answers_each_end_as_otp_says() {
    // (restart type, ends normally?, started again?)
    use supervision::Restart::{Permanent, Temporary, Transient};
    let table = [
        (Permanent, true, true),
        (Permanent, false, true),
        (Transient, true, false),
        (Transient, false, true),
        (Temporary, true, false),
        (Temporary, false, false),
    ];
    for (restart, normally, again) in table {
        let log = Log::default();
        let (a, handle) = Orders::new("a", &log).spec();
        let root = started(root().child(a.restart(restart))).await;
        if normally {
            handle.tell(Finish).await.unwrap();
        } else {
            handle.tell(Crash("boom")).await.unwrap();
        }
        settle().await;
        let starts = log
            .take()
            .iter()
            .filter(|line| *line == "a started")
            .count();
        assert_eq!(starts == 2, again, "{restart:?}, normally: {normally}");
        let kept = root.supervisor().which_children().await.len();
        assert_eq!(kept == 0, restart == Temporary && !again, "{restart:?}");
        root.stop(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_to_start_is_tried_again_and_counted() {
    let log = Log::default();
    let orders = Orders::new("a", &log);
    let failing = orders.failing_starts.clone();
    let (a, handle) = orders.spec();
    let root = started(root().intensity(3, SECOND).child(a)).await;
    failing.store(2, std::sync::atomic::Ordering::SeqCst);
    handle.tell(Crash("boom")).await.unwrap();
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    let info = root.supervisor().which_children().await.remove(0);
    assert_eq!((info.incarnation, info.restarts), (4, 1));
    assert!(info.last_error.unwrap().contains("no such luck"));
    failing.store(1, std::sync::atomic::Ordering::SeqCst);
    handle.tell(Crash("one too many")).await.unwrap();
    let EndReason::Escalated(Escalation { reason, .. }) = root.ended().await else {
        panic!("four restarts within a second");
    };
    assert_eq!(reason, "one too many");
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_takes_too_long_is_aborted_and_tried_again() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).start_takes(ms(100)).spec();
    let root = started(root().intensity(2, MINUTE).child(a.start_timeout(ms(150)))).await;
    let mut events = root.events();
    // Every start now takes longer than it may, so the restarts are used up one timeout apart.
    handle.tell(Crash("boom")).await.unwrap();
    event(&mut events, "root/a", |what| {
        matches!(what, Lifecycle::Restarted { restarts: 1, .. })
    })
    .await;
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn the_intensity_window_is_exact_to_the_millisecond() {
    // Two restarts within 1000 ms are allowed; the third crash comes this long after the first.
    for (third_at, survives) in [(1000, false), (1001, true)] {
        let log = Log::default();
        let (a, handle) = Orders::new("a", &log).spec();
        let root = started(root().intensity(2, SECOND).child(a)).await;
        let begun = Instant::now();
        for at in [0, 400, third_at] {
            tokio::time::sleep_until(begun + ms(at)).await;
            handle.tell(Crash("boom")).await.unwrap();
        }
        settle().await;
        assert_eq!(
            handle.state() == ChildState::Up,
            survives,
            "third at {third_at}"
        );
        let report = root.stop(MINUTE).await;
        assert_eq!(report.abandoned, []);
    }
}

#[tokio::test(start_paused = true)]
async fn rests_grow_to_their_cap_and_shrink_after_a_healthy_life() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let tree = started(root().child(a.backoff(slow()))).await;
    let mut events = tree.events();
    let mut rests = Vec::new();
    for crash in 0..9 {
        if crash == 7 {
            tokio::time::sleep(SECOND * 5).await;
        }
        handle.tell(Crash("boom")).await.unwrap();
        let resting = event(&mut events, "root/a", |what| {
            matches!(what, Lifecycle::BackingOff { .. })
        })
        .await;
        let Lifecycle::BackingOff { delay, .. } = resting.what else {
            unreachable!("asked for");
        };
        let up = event(&mut events, "root/a", |what| {
            matches!(what, Lifecycle::Restarted { .. })
        })
        .await;
        let waited = up.at - resting.at;
        assert!(
            waited >= delay && waited <= delay + ms(2),
            "{waited:?} for {delay:?}"
        );
        rests.push(delay);
    }
    let ceilings = [100, 200, 400, 800, 1600, 1600, 1600, 100, 200];
    for (n, (rest, ceiling)) in rests.iter().zip(ceilings).enumerate() {
        assert!(*rest <= ms(ceiling), "rest {n}: {rest:?} > {ceiling}");
    }
    assert!(
        rests[3..7].iter().any(|rest| *rest > ms(200)),
        "they grow: {rests:?}"
    );
    tree.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_rests_the_same() {
    let mut told = Vec::new();
    for _ in 0..2 {
        let log = Log::default();
        let (a, handle) = Orders::new("a", &log).spec();
        let tree = started(root().child(a.backoff(slow()))).await;
        let mut events = tree.events();
        handle.tell(Crash("boom")).await.unwrap();
        let rest = event(&mut events, "root/a", |what| {
            matches!(what, Lifecycle::BackingOff { .. })
        })
        .await;
        told.push(rest.what);
        tree.stop(MINUTE).await;
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_leaves_the_siblings_alone() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).spec();
    let (b, second) = Orders::new("b", &log).spec();
    let root = started(root().child(a).child(b)).await;
    log.take();
    first.tell(Crash("boom")).await.unwrap();
    assert_eq!(first.ask(Say(1), SECOND).await.unwrap(), 1);
    assert_eq!(second.ask(Say(2), SECOND).await.unwrap(), 2);
    let seen = log.take();
    assert!(
        !seen
            .iter()
            .any(|line| line.starts_with("b start") || line == "b stopped"),
        "{seen:?}"
    );
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_backoff_ends_at_once_and_reports_the_queue() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let hour = Backoff {
        base: MINUTE * 60,
        cap: MINUTE * 60,
        healthy_after: MINUTE,
    };
    let root = started(root().child(a.backoff(hour))).await;
    handle.tell(Crash("boom")).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    settle().await;
    assert_eq!(handle.state(), ChildState::BackingOff);
    let report = root.stop(MINUTE).await;
    assert!(report.took < ms(5), "{:?}", report.took);
    assert_eq!(report.abandoned.len(), 1);
    assert_eq!(report.abandoned[0].what, "1 queued Say");
}

#[tokio::test(start_paused = true)]
async fn every_step_of_a_life_is_an_event_in_order() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).start_takes(ms(20)).spec();
    let events = supervision::Events::with_seed(1);
    let mut heard = events.subscribe();
    let root = supervision::start_root(root().child(a), events)
        .await
        .unwrap();
    handle.tell(Crash("boom")).await.unwrap();
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    root.stop(MINUTE).await;
    let mut steps = Vec::new();
    while let Ok(event) = heard.try_recv() {
        if event.child == "root/a" {
            steps.push((event.incarnation, event.what));
        }
    }
    let stopped = Lifecycle::Stopped {
        reason: DownReason::Stopped,
        abandoned: vec![],
    };
    let expected = [
        (1, Lifecycle::Starting),
        (1, Lifecycle::Ready { took: ms(20) }),
        (
            1,
            Lifecycle::Crashed {
                reason: "boom".to_owned(),
            },
        ),
        (
            1,
            Lifecycle::BackingOff {
                delay: Duration::ZERO,
                in_a_row: 1,
                restarts: 1,
                allowed: 1_000_000,
            },
        ),
        (2, Lifecycle::Starting),
        (
            2,
            Lifecycle::Restarted {
                restarts: 1,
                cause: supervision::RestartCause::Crashed,
            },
        ),
        (2, Lifecycle::Stopping),
        (2, stopped),
    ];
    assert_eq!(steps.len(), expected.len(), "{steps:?}");
    for (got, wanted) in steps.into_iter().zip(expected) {
        match (&got.1, &wanted.1) {
            (Lifecycle::Ready { took }, Lifecycle::Ready { took: about }) => {
                assert!(*took >= *about && *took <= *about + ms(2), "{took:?}");
            }
            _ => assert_eq!(got, wanted),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn escalation_goes_up_level_by_level_and_the_root_reports_it() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let (b, sibling) = Orders::new("b", &log).spec();
    let inner = SupervisorSpec::new("inner")
        .intensity(1, MINUTE)
        .child(a)
        .child(b);
    let outer = SupervisorSpec::new("outer")
        .intensity(1, MINUTE)
        .child(ChildSpec::supervisor(inner).backoff(Backoff::none()));
    let spec = SupervisorSpec::new("root")
        .intensity(0, MINUTE)
        .child(ChildSpec::supervisor(outer).backoff(Backoff::none()));
    let root = started(spec).await;
    sibling.tell(Linger(ms(1))).await.unwrap();
    // inner allows 1 restart per life and has 2 lives under each of outer's: the fourth crash reaches the root.
    for crash in 1..=3 {
        handle.tell(Crash("boom")).await.unwrap();
        assert_eq!(
            handle.ask(Say(crash), SECOND).await.unwrap(),
            crash,
            "crash {crash}"
        );
        assert_eq!(sibling.ask(Say(crash), SECOND).await.unwrap(), crash);
    }
    handle.tell(Crash("the last")).await.unwrap();
    handle.tell(Say(99)).await.unwrap();
    let EndReason::Escalated(escalation) = root.ended().await else {
        panic!("the root gives up");
    };
    assert_eq!(escalation.supervisor, "root");
    assert_eq!(escalation.child, "root/outer");
    assert!(
        escalation.reason.contains("root/outer/inner/a: the last"),
        "{escalation}"
    );
    let Err(AskError::Down {
        reason: DownReason::Escalated(why),
        ..
    }) = sibling.ask(Say(0), SECOND).await
    else {
        panic!("down with the reason");
    };
    assert!(why.contains("the last"), "{why}");
    assert_eq!(log.seen().last().unwrap(), "b stopped");
}

#[tokio::test(start_paused = true)]
async fn a_queue_survives_the_restart_of_its_supervisor() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let (b, other) = Orders::new("b", &log).spec();
    let inner = SupervisorSpec::new("inner")
        .intensity(0, MINUTE)
        .child(a)
        .child(b);
    let root = started(root().child(ChildSpec::supervisor(inner).backoff(Backoff::none()))).await;
    other.tell(Linger(ms(50))).await.unwrap();
    other.tell(Say(1)).await.unwrap();
    settle().await;
    handle.tell(Crash("boom")).await.unwrap();
    handle.tell(Say(2)).await.unwrap();
    assert_eq!(handle.ask(Say(3), SECOND).await.unwrap(), 3);
    assert_eq!(other.ask(Say(4), SECOND).await.unwrap(), 4);
    let said: Vec<String> = log.take().into_iter().filter(|l| l.len() == 3).collect();
    let of = |name: char| {
        said.iter()
            .filter(|l| l.starts_with(name))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(of('a'), ["a 2", "a 3"]);
    assert_eq!(of('b'), ["b 1", "b 4"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_handle_and_its_commands_survive_the_restart_of_the_supervisor() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).start_takes(ms(100)).spec();
    let inner = SupervisorSpec::new("inner").intensity(0, MINUTE).child(a);
    let admin = inner.handle();
    let inner = ChildSpec::supervisor(inner)
        .backoff(Backoff::none())
        .shutdown(Shutdown::Infinity);
    let root = started(root().child(inner)).await;
    handle.tell(Crash("boom")).await.unwrap();
    settle().await;
    let (b, _) = Orders::new("b", &log).spec();
    admin.start_child(b).await.unwrap();
    let ids: Vec<String> = admin
        .which_children()
        .await
        .iter()
        .map(|c| c.child.to_string())
        .collect();
    assert_eq!(ids, ["root/inner/a", "root/inner/b"]);
    root.stop(MINUTE).await;
    assert_eq!(admin.which_children().await, []);
}
