//! A tree starts in order, each child awaited, and stops in reverse.

use crate::common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{
    Abandoned, AskError, AutoShutdown, Birth, ChildId, ChildSpec, ChildState, DownReason,
    EndReason, Inbox, Lifecycle, Policy, Restart, Shutdown, SpecError, StartTreeError, Strategy,
    SupervisorSpec, TellError,
};

#[tokio::test(start_paused = true)]
async fn children_start_in_order_each_awaited_until_ready_and_stop_in_reverse() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).start_takes(ms(50)).spec();
    let (b, _) = Orders::new("b", &log).start_takes(ms(30)).spec();
    let (c, handle) = Orders::new("c", &log).start_takes(ms(10)).spec();
    let root = started(root().child(a).child(b).child(c)).await;
    let expected = [
        "a starting",
        "a started",
        "b starting",
        "b started",
        "c starting",
        "c started",
    ];
    assert_eq!(log.take(), expected);
    assert_eq!(handle.ask(Say(7), SECOND).await.unwrap(), 7);
    assert_eq!(handle.child().as_str(), "root/c");
    log.take();
    let report = root.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    assert_eq!(log.take(), ["c stopped", "b stopped", "a stopped"]);
    assert_eq!(root.ended().await, EndReason::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_message_sent_before_the_start_is_handled_after_it() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    assert_eq!(handle.state(), ChildState::Starting);
    handle.tell(Say(1)).await.unwrap();
    let root = started(root().child(a)).await;
    assert_eq!(handle.ask(Say(2), SECOND).await.unwrap(), 2);
    assert_eq!(log.take(), ["a starting", "a started", "a 1", "a 2"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_stops_the_started_in_reverse_and_names_the_child_and_why() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let (b, _) = Orders::new("b", &log).spec();
    let (bad, _) = Orders::new("bad", &log).failing_starts(1).spec();
    let (never, _) = Orders::new("never", &log).spec();
    let spec = root().child(a).child(b).child(bad).child(never);
    let Err(StartTreeError::Child(failure)) = start(spec).await else {
        panic!("the tree must not start");
    };
    assert_eq!(failure.child.as_str(), "root/bad");
    assert!(failure.reason.contains("no such luck"), "{failure}");
    let expected = [
        "a starting",
        "a started",
        "b starting",
        "b started",
        "bad starting",
        "bad failing",
        "b stopped",
        "a stopped",
    ];
    assert_eq!(log.take(), expected);
    let Err(AskError::Down { reason, .. }) = handle.ask(Say(1), SECOND).await else {
        panic!("a must be down");
    };
    assert!(reason.to_string().contains("root/bad"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_on_start_is_a_failed_start_with_its_text() {
    let log = Log::default();
    let (bad, _) = Orders::new("bad", &log).start_panics().spec();
    let error = start(root().child(bad)).await.err().expect("must fail");
    assert_eq!(
        error.to_string(),
        "child root/bad did not start: cannot start"
    );
}

#[tokio::test(start_paused = true)]
async fn a_nested_failed_start_names_the_deepest_child() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).spec();
    let (bad, _) = Orders::new("bad", &log).failing_starts(1).spec();
    let inner = SupervisorSpec::new("inner").child(a).child(bad);
    let error = start(root().child(ChildSpec::supervisor(inner)))
        .await
        .err()
        .expect("must fail");
    let StartTreeError::Child(failure) = error else {
        panic!("{error}");
    };
    assert_eq!(failure.child.as_str(), "root/inner/bad");
    assert_eq!(log.seen().last().unwrap(), "a stopped");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_too_long_is_aborted_and_says_so() {
    let log = Log::default();
    let (slow, _) = Orders::new("slow", &log).start_takes(SECOND).spec();
    let begun = tokio::time::Instant::now();
    let error = start(root().child(slow.start_timeout(ms(200))))
        .await
        .err()
        .expect("must fail");
    assert_eq!(begun.elapsed().as_millis() / 10, 20);
    let text = error.to_string();
    assert!(text.contains("root/slow"), "{text}");
    assert!(text.contains("not ready within 200ms"), "{text}");
    assert!(text.contains("on_start has not returned"), "{text}");
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!(log.take(), ["slow starting"], "aborted where it stood");
}

/// An actor whose author forgot `receive_from!`.
struct Deaf {
    _inbox: Inbox<Self>,
}

impl Actor for Deaf {
    type Args = Birth<Self, ()>;
    type Error = Infallible;
    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            _inbox: birth.inbox,
        })
    }
}

impl Message<Say> for Deaf {
    type Reply = u32;
    async fn handle(&mut self, Say(n): Say, _: &mut Context<Self, u32>) -> u32 {
        n
    }
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_receive_from_gives_the_telling_error() {
    let (deaf, _) = ChildSpec::actor::<Deaf, ()>("deaf", 1, ());
    let error = start(root().child(deaf)).await.err().expect("must fail");
    let text = error.to_string();
    assert!(text.contains("not ready within 30s"), "{text}");
    assert!(
        text.contains("supervision::receive_from!(inbox);"),
        "{text}"
    );
    assert!(text.contains("Deaf"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_is_killed_at_its_deadline_and_on_stop_still_runs() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).spec();
    let (b, hung) = Orders::new("b", &log).spec();
    let root = started(root().child(a).child(b.shutdown(brief()))).await;
    hung.tell(Linger(Duration::from_hours(1))).await.unwrap();
    hung.tell(Say(1)).await.unwrap();
    hung.tell(Say(2)).await.unwrap();
    settle().await;
    let asked = aside({
        let hung = hung.clone();
        async move { hung.ask(Say(3), MINUTE).await }
    });
    settle().await;
    log.take();
    let mut events = root.events();
    let report = root.stop(MINUTE).await;
    assert_eq!(report.took.as_millis() / 10, 20, "{:?}", report.took);
    assert_eq!(log.take(), ["b stopped", "a stopped"]);
    let left: Vec<&str> = report.abandoned.iter().map(|a| a.what.as_str()).collect();
    assert_eq!(left, ["interrupted Linger", "3 queued Say"]);
    assert!(report.abandoned.iter().all(|a| a.child == "root/b"));
    assert!(matches!(
        asked.await.unwrap(),
        Err(AskError::Down {
            reason: DownReason::Stopped,
            ..
        })
    ));
    event(&mut events, "root/b", |what| *what == Lifecycle::Killed).await;
}

#[tokio::test(start_paused = true)]
async fn an_on_stop_that_hangs_is_aborted_one_second_after_the_kill() {
    let log = Log::default();
    let hour = Duration::from_hours(1);
    let (a, _) = Orders::new("a", &log).spec();
    let (b, hung) = Orders::new("b", &log).stop_takes(hour).spec();
    let root = started(root().child(a).child(b.shutdown(brief()))).await;
    hung.tell(Linger(hour)).await.unwrap();
    settle().await;
    log.take();
    let report = root.stop(MINUTE).await;
    assert_eq!(report.took.as_millis() / 10, 120, "{:?}", report.took);
    assert_eq!(log.take(), ["a stopped"], "b never came to its end");
}

#[tokio::test(start_paused = true)]
async fn a_brutal_kill_waits_for_nothing() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a.shutdown(Shutdown::BrutalKill))).await;
    handle.tell(Linger(SECOND)).await.unwrap();
    settle().await;
    let report = root.stop(MINUTE).await;
    assert!(report.took < ms(10), "{:?}", report.took);
    assert_eq!(report.abandoned.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_root_beats_infinity_at_any_depth() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let a = a.shutdown(Shutdown::Infinity);
    let inner = SupervisorSpec::new("inner").child(a);
    let outer = SupervisorSpec::new("outer").child(ChildSpec::supervisor(inner));
    let root = started(root().child(ChildSpec::supervisor(outer))).await;
    handle.tell(Linger(Duration::from_hours(1))).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    settle().await;
    let report = root.stop(SECOND).await;
    assert_eq!(report.took.as_millis() / 10, 100, "{:?}", report.took);
    assert_eq!(
        report.abandoned,
        ["interrupted Linger", "1 queued Say"].map(|what| Abandoned {
            child: handle.child().clone(),
            what: what.to_owned(),
        })
    );
    assert_eq!(handle.child().as_str(), "root/outer/inner/a");
    assert_eq!(root.ended().await, EndReason::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_stop_handles_what_is_queued_and_takes_nothing_new() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    handle.tell(Linger(ms(100))).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    let asked = aside({
        let handle = handle.clone();
        async move { handle.ask(Say(2), MINUTE).await }
    });
    settle().await;
    let stopping = async { root.stop(MINUTE).await };
    let refused = async {
        settle().await;
        assert_eq!(handle.state(), ChildState::Stopping);
        let Err(TellError::Down {
            message, reason, ..
        }) = handle.tell(Say(9)).await
        else {
            panic!("a stopping child takes nothing");
        };
        assert_eq!((message.0, reason), (9, DownReason::Stopped));
    };
    let (report, ()) = tokio::join!(stopping, refused);
    assert_eq!(report.abandoned, []);
    assert_eq!(asked.await.unwrap().unwrap(), 2);
    let expected = ["a lingered", "a 1", "a 2", "a stopped"];
    assert_eq!(log.take()[2..], expected);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_waits_for_room_gets_its_message_back_at_the_stop() {
    let log = Log::default();
    let orders = Orders::new("a", &log);
    let (a, handle) = ChildSpec::actor::<Probe, _>("a", 1, orders);
    let root = started(root().child(a.shutdown(brief()))).await;
    handle.tell(Linger(Duration::from_hours(1))).await.unwrap();
    settle().await;
    handle.tell(Say(1)).await.unwrap();
    assert!(matches!(
        handle.try_tell(Say(2)),
        Err(TellError::Full(Say(2)))
    ));
    assert_eq!((handle.depth(), handle.capacity()), (1, 1));
    let waiting = aside({
        let handle = handle.clone();
        async move { handle.tell(Say(3)).await }
    });
    settle().await;
    root.stop(MINUTE).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.into_message().0, 3);
}

#[tokio::test(start_paused = true)]
async fn work_delays_a_stop_until_it_ends() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    handle.ask(Hold("turn 7"), SECOND).await.unwrap();
    // The alarm still comes while the stop waits; nothing else would end the work.
    handle.ask(Wake(ms(300)), SECOND).await.unwrap();
    let listed = root.supervisor().which_children().await;
    assert_eq!(listed[0].work, ["turn 7"]);
    let report = root.stop(MINUTE).await;
    assert_eq!(report.took.as_millis() / 10, 30, "{:?}", report.took);
    assert_eq!(report.abandoned, []);
}

#[tokio::test(start_paused = true)]
async fn work_past_the_deadline_is_reported_as_abandoned() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a.shutdown(brief()))).await;
    handle.ask(Hold("turn 7"), SECOND).await.unwrap();
    handle.ask(Hold("turn 8"), SECOND).await.unwrap();
    let report = root.stop(MINUTE).await;
    assert_eq!(report.took.as_millis() / 10, 20, "{:?}", report.took);
    let left: Vec<&str> = report.abandoned.iter().map(|a| a.what.as_str()).collect();
    assert_eq!(left, ["turn 8"]);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_ends_by_itself_during_the_stop_neither_hangs_nor_restarts() {
    let log = Log::default();
    let (a, ending) = Orders::new("a", &log).spec();
    let (b, crashing) = Orders::new("b", &log).spec();
    let (c, slow) = Orders::new("c", &log).stop_takes(SECOND).spec();
    let root = started(root().child(a).child(b).child(c)).await;
    slow.tell(Say(1)).await.unwrap();
    settle().await;
    log.take();
    let during = async {
        tokio::time::sleep(ms(500)).await;
        ending.tell(Finish).await.unwrap();
        crashing.tell(Crash("now")).await.unwrap();
    };
    let (report, ()) = tokio::join!(root.stop(MINUTE), during);
    assert_eq!(report.abandoned, []);
    let mut seen = log.take();
    seen.sort();
    assert_eq!(seen, ["a stopped", "b now", "b stopped", "c stopped"]);
}

#[tokio::test(start_paused = true)]
async fn nested_supervisors_stop_depth_first_in_reverse() {
    let log = Log::default();
    let leaf = |name| Orders::new(name, &log).spec().0;
    let left = SupervisorSpec::new("left")
        .child(leaf("l1"))
        .child(leaf("l2"));
    let right = SupervisorSpec::new("right")
        .child(leaf("r1"))
        .child(leaf("r2"));
    let spec = root()
        .child(leaf("first"))
        .child(ChildSpec::supervisor(left))
        .child(ChildSpec::supervisor(right))
        .child(leaf("last"));
    let root = started(spec).await;
    log.take();
    root.stop(MINUTE).await;
    let expected = ["last", "r2", "r1", "l2", "l1", "first"].map(|name| format!("{name} stopped"));
    assert_eq!(log.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_whose_start_takes_too_long_stops_what_it_has_started_in_reverse() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).stop_takes(ms(50)).spec();
    let (b, _) = Orders::new("b", &log).stop_takes(ms(50)).spec();
    let (c, _) = Orders::new("c", &log).start_takes(MINUTE).spec();
    let nested = SupervisorSpec::new("s")
        .child(a)
        .child(b)
        .child(c.shutdown(brief()));
    let nested = ChildSpec::supervisor(nested).start_timeout(ms(100));
    let error = start(root().child(nested)).await.err().expect("too slow");
    assert_eq!(
        error.to_string(),
        "child root/s did not start: not ready within 100ms: its children have not all become ready"
    );
    let expected = [
        "a starting",
        "a started",
        "b starting",
        "b started",
        "c starting",
    ];
    let stops = ["b stopped", "a stopped"];
    assert_eq!(log.take(), [&expected[..], &stops[..]].concat());
    assert_eq!(first.state(), ChildState::Down);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_root_handle_stops_the_tree() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    drop(started(root().child(a)).await);
    settle().await;
    assert_eq!(log.take()[2..], ["a stopped"]);
    assert_eq!(handle.state(), ChildState::Down);
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_is_never_started_leaves_nobody_waiting() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    handle.tell(Say(1)).await.unwrap();
    drop(a);
    assert!(matches!(
        handle.ask(Say(2), MINUTE).await,
        Err(AskError::Down {
            reason: DownReason::Orphaned,
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_never_started_leaves_nobody_waiting() {
    let spec = SupervisorSpec::new("never");
    let handle = spec.handle();
    let before = aside({
        let handle = handle.clone();
        async move { handle.which_children().await }
    });
    settle().await;
    drop(spec);
    let answers = async { (before.await.unwrap(), handle.which_children().await) };
    let answers = tokio::time::timeout(MINUTE, answers).await;
    assert_eq!(answers.expect("answered"), (vec![], vec![]));
    assert_eq!(handle.state(), ChildState::Down);
}

#[tokio::test(start_paused = true)]
async fn everybody_who_stops_a_tree_gets_the_report() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = Arc::new(started(root().child(a)).await);
    handle.tell(Linger(MINUTE)).await.unwrap();
    settle().await;
    let patient = aside({
        let root = root.clone();
        async move { root.stop(MINUTE).await }
    });
    settle().await;
    let hasty = root.stop(ms(10)).await;
    assert_eq!(hasty.abandoned.len(), 1, "{hasty:?}");
    assert_eq!(patient.await.unwrap().abandoned, hasty.abandoned);
    assert_eq!(root.stop(SECOND).await.abandoned, hasty.abandoned);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_makes_a_path_ambiguous_is_refused() {
    let log = Log::default();
    let leaf = |name| root().child(Orders::new(name, &log).spec().0);
    let nested = |id| root().child(ChildSpec::supervisor(SupervisorSpec::new(id)));
    for spec in [
        leaf("x/y"),
        leaf(""),
        leaf("*"),
        nested("x/y"),
        SupervisorSpec::new(""),
    ] {
        let Err(StartTreeError::Spec(error)) = start(spec).await else {
            unreachable!("it started");
        };
        assert!(matches!(error, SpecError::Id { .. }), "{error}");
    }
    assert_eq!(log.take(), [""; 0]);
}

fn template_of(policy: Policy) -> SupervisorSpec {
    SupervisorSpec::simple_one_for_one::<Probe, Orders>("s", 1, policy).0
}

fn template(restart: Restart) -> SupervisorSpec {
    template_of(Policy {
        restart,
        ..Policy::worker()
    })
}

fn significant_template(restart: Restart) -> SupervisorSpec {
    template_of(Policy {
        restart,
        significant: true,
        ..Policy::worker()
    })
}

type Expected = fn(&SpecError) -> bool;

#[tokio::test(start_paused = true)]
async fn specs_that_can_never_run_are_refused_before_anything_starts() {
    let log = Log::default();
    let leaf = |name| Orders::new(name, &log).spec().0;
    let nested = |spec| root().child(leaf("a")).child(ChildSpec::supervisor(spec));
    let (no_room, _) = ChildSpec::actor::<Probe, _>("x", 0, Orders::new("x", &log));
    let table: Vec<(SupervisorSpec, Expected)> = vec![
        (
            nested(SupervisorSpec::new("s").strategy(Strategy::SimpleOneForOne)),
            |e| matches!(e, SpecError::NoTemplate { .. }),
        ),
        (nested(template(Restart::Transient).child(leaf("x"))), |e| {
            matches!(e, SpecError::BesideTemplate { .. })
        }),
        (nested(significant_template(Restart::Transient)), |e| {
            matches!(e, SpecError::Significant { .. })
        }),
        (
            nested(
                significant_template(Restart::Permanent)
                    .auto_shutdown(AutoShutdown::AllSignificant),
            ),
            |e| matches!(e, SpecError::SignificantPermanent { .. }),
        ),
        (
            nested(SupervisorSpec::new("s").child(leaf("x")).child(leaf("x"))),
            |e| matches!(e, SpecError::Duplicate { child, .. } if *child == ChildId::new("x")),
        ),
        (
            nested(SupervisorSpec::new("s").child(leaf("x").significant())),
            |e| matches!(e, SpecError::Significant { .. }),
        ),
        (
            nested(
                SupervisorSpec::new("s")
                    .auto_shutdown(AutoShutdown::AnySignificant)
                    .child(leaf("x").significant()),
            ),
            |e| matches!(e, SpecError::SignificantPermanent { child } if *child == "x".into()),
        ),
        (
            nested(SupervisorSpec::new("s").child(leaf("x").depends_on(["y"]))),
            |e| matches!(e, SpecError::UnknownDependency { on, .. } if *on == "y".into()),
        ),
        (
            nested(
                SupervisorSpec::new("s")
                    .child(leaf("x").depends_on(["y"]))
                    .child(leaf("y").depends_on(["x"])),
            ),
            |e| matches!(e, SpecError::DependencyCycle { path } if path.len() == 2),
        ),
        (nested(SupervisorSpec::new("s").child(no_room)), |e| {
            matches!(e, SpecError::NoCapacity { .. })
        }),
    ];
    for (spec, expected) in table {
        let error = start(spec).await.err().expect("must be refused");
        let StartTreeError::Spec(error) = error else {
            panic!("{error}");
        };
        assert!(expected(&error), "{error}");
    }
    assert_eq!(log.take(), [""; 0], "nothing was started");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_tree_frees_its_seeds_whoever_holds_a_handle() {
    let log = Log::default();
    let marker = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let seeded = |name| {
        let mut orders = Orders::new(name, &log);
        orders.failing_starts = marker.clone();
        orders.spec()
    };
    let ((a, first), (b, second)) = (seeded("a"), seeded("b"));
    let nested = ChildSpec::supervisor(SupervisorSpec::new("s").child(b));
    let root = started(root().child(a).child(nested)).await;
    assert_eq!(first.ask(Say(1), SECOND).await.unwrap(), 1);
    second.tell(Crash("boom")).await.unwrap();
    assert_eq!(second.ask(Say(2), SECOND).await.unwrap(), 2);
    root.stop(MINUTE).await;
    settle().await;
    let held = std::sync::Arc::strong_count(&marker);
    assert_eq!(held, 1, "the handles hold places, not seeds");
    assert!(first.ask(Say(3), SECOND).await.is_err());
    drop((root, first, second));
}
