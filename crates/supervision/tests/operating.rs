//! What operators do to a running tree, by path.

use crate::common;

use common::four::Four;
use common::*;
use supervision::{
    AdminError, Affected, AskError, Backoff, ChildSpec, ChildState, Fate, Intervention, Lifecycle,
    RestartCause, Started, Strategy, SupervisorSpec,
};

/// `root/team/{a, b}` and a task `root/pump`.
fn team(log: &Log) -> (SupervisorSpec, [supervision::Handle<Probe>; 2]) {
    let (a, first) = Orders::new("a", log).spec();
    let (b, second) = Orders::new("b", log).spec();
    let team = SupervisorSpec::new("team")
        .intensity(1_000_000, SECOND)
        .child(a)
        .child(b);
    let pump = ChildSpec::task("pump", |context| async move {
        context.ready();
        context.stopping().await;
        Ok(())
    });
    let spec = root().child(ChildSpec::supervisor(team)).child(pump);
    (spec, [first, second])
}

fn paths(affected: &[Affected]) -> Vec<(&str, Fate)> {
    let pairs = affected.iter().map(|one| (one.child.as_str(), one.fate));
    pairs.collect()
}

#[tokio::test(start_paused = true)]
async fn every_child_is_reached_by_its_whole_path_and_by_the_one_below_the_top() {
    let (spec, _) = team(&Log::default());
    let root = started(spec).await;
    let admin = root.administration();
    let table = [
        ("root", "root"),
        ("root/team", "root/team"),
        ("team", "root/team"),
        ("root/team/b", "root/team/b"),
        ("team/b", "root/team/b"),
        ("pump", "root/pump"),
    ];
    for (path, whole) in table {
        assert_eq!(admin.find(path, SECOND).await.unwrap(), whole, "{path}");
    }
    for path in ["", "/", "team//b", "team/*", "root/"] {
        let error = admin.find(path, SECOND).await.unwrap_err();
        assert!(matches!(error, AdminError::Path { .. }), "{path}: {error}");
    }
    let error = admin.find("team/x", SECOND).await.unwrap_err();
    assert!(matches!(&error, AdminError::NotFound { supervisor, child }
        if *supervisor == "root/team" && child.as_str() == "x"));
    let error = admin.find("pump/x", SECOND).await.unwrap_err();
    assert!(
        matches!(error, AdminError::NotASupervisor { .. }),
        "{error}"
    );
    let error = admin.restart("root", SECOND).await.unwrap_err();
    assert!(matches!(error, AdminError::Top { .. }), "{error}");
    root.stop(MINUTE).await;
    let error = admin.find("team/b", SECOND).await.unwrap_err();
    assert!(matches!(error, AdminError::Down { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_task_inside_the_tree_administers_the_whole_of_it() {
    let log = Log::default();
    let (a, _handle) = Orders::new("a", &log).spec();
    let said = log.clone();
    let control = ChildSpec::task("control", move |context| {
        let said = said.clone();
        async move {
            context.ready();
            let admin = context.administration().on_behalf_of("ctl");
            let done = admin.restart("a", SECOND).await;
            said.note(format!("{done:?}"));
            context.stopping().await;
            Ok(())
        }
    });
    let root = started(root().child(a).child(control)).await;
    settle().await;
    let expected = [
        "a starting",
        "a started",
        "a stopped",
        "a starting",
        "a started",
    ];
    assert_eq!(log.seen()[..5], expected);
    assert_eq!(log.seen()[5], "Ok(Running)");
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_order_finishes_the_message_keeps_the_queue_and_counts_as_no_crash() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let slow = Backoff {
        base: MINUTE,
        cap: MINUTE,
        healthy_after: MINUTE,
    };
    let spec = SupervisorSpec::new("root").intensity(0, MINUTE);
    let root = started(spec.child(a.backoff(slow))).await;
    let mut events = root.events();
    handle.tell(Linger(SECOND)).await.unwrap();
    for n in 1..=3 {
        handle.tell(Say(n)).await.unwrap();
    }
    settle().await;
    let admin = root.administration().on_behalf_of("uid 7");
    assert_eq!(admin.restart("a", MINUTE).await, Ok(Started::Running));
    assert_eq!(handle.ask(Say(4), SECOND).await.unwrap(), 4);
    let life = [
        "starting", "started", "lingered", "stopped", "starting", "started",
    ];
    let said = ["1", "2", "3", "4"];
    let expected: Vec<String> = life.iter().chain(&said).map(|w| format!("a {w}")).collect();
    assert_eq!(log.take(), expected);
    let ordered = event(&mut events, "root/a", |_| true).await;
    let by = "uid 7".to_owned();
    let what = Intervention::Restart;
    assert_eq!(ordered.what, Lifecycle::Ordered { what, by });
    let again = event(&mut events, "root/a", |what| {
        matches!(what, Lifecycle::Restarted { .. })
    });
    let (restarts, cause) = (1, RestartCause::Asked);
    assert_eq!(again.await.what, Lifecycle::Restarted { restarts, cause });
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_cuts_a_rest_short_and_starts_one_that_is_down() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let patient = Backoff {
        base: MINUTE * 600,
        cap: MINUTE * 600,
        healthy_after: MINUTE,
    };
    let root = started(root().child(a.backoff(patient))).await;
    let admin = root.administration();
    handle.tell(Crash("boom")).await.unwrap();
    settle().await;
    assert_eq!(handle.state(), ChildState::BackingOff);
    assert_eq!(admin.restart("a", ms(1)).await, Ok(Started::Running));
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    admin.stop("a", SECOND).await.unwrap();
    assert_eq!(handle.state(), ChildState::Down);
    assert_eq!(admin.restart("a", SECOND).await, Ok(Started::Running));
    admin.stop("a", SECOND).await.unwrap();
    assert_eq!(admin.start("a", SECOND).await, Ok(Started::Running));
    let error = admin.start("a", SECOND).await.unwrap_err();
    assert!(matches!(error, AdminError::NotDown { .. }), "{error}");
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_takes_the_group_with_it_and_the_dry_run_says_so_beforehand() {
    let table = [
        (Strategy::OneForOne, vec!["b"]),
        (Strategy::RestForOne, vec!["d", "c", "b"]),
        (Strategy::OneForAll, vec!["d", "c", "b", "a"]),
    ];
    for (strategy, group) in table {
        let four = Four::under(strategy, |orders| orders).await;
        for handle in &four.handles {
            handle.tell(Linger(ms(10))).await.unwrap();
            handle.tell(Say(1)).await.unwrap();
        }
        let admin = four.root.administration();
        let impact = admin
            .impact("b", Intervention::Restart, SECOND)
            .await
            .unwrap();
        let expected: Vec<String> = group.iter().map(|id| format!("root/{id}")).collect();
        let told = impact.affected.iter().map(|one| one.child.to_string());
        assert_eq!(told.collect::<Vec<_>>(), expected, "{strategy:?}");
        assert!(
            impact
                .affected
                .iter()
                .all(|one| one.fate == Fate::Restarted)
        );
        assert_eq!(admin.restart("b", MINUTE).await, Ok(Started::Running));
        settle().await;
        let stopped = four
            .log
            .seen()
            .into_iter()
            .filter(|line| line.ends_with("stopped"));
        let wanted: Vec<String> = group.iter().map(|id| format!("{id} stopped")).collect();
        assert_eq!(stopped.collect::<Vec<_>>(), wanted, "{strategy:?}");
        for name in ["a", "b", "c", "d"] {
            let said = four.notes_of(name).into_iter().filter(|note| note == "1");
            assert_eq!(said.count(), 1, "{strategy:?}: {name} keeps its queue");
        }
        four.root.stop(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_drops_the_message_in_hand_and_is_followed_by_what_follows_a_crash() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let mut events = root.events();
    let asker = handle.clone();
    let hears = aside(async move { asker.ask(Linger(MINUTE * 60), MINUTE * 90).await });
    settle().await;
    handle.tell(Say(1)).await.unwrap();
    let admin = root.administration();
    admin.kill("root/a", SECOND).await.unwrap();
    let answer = hears.await.unwrap();
    assert!(
        matches!(answer, Err(AskError::Crashed { .. })),
        "{answer:?}"
    );
    let crashed = event(&mut events, "root/a", |what| {
        matches!(what, Lifecycle::Crashed { .. })
    });
    let reason = "was killed".to_owned();
    assert_eq!(crashed.await.what, Lifecycle::Crashed { reason });
    let again = event(&mut events, "root/a", |what| {
        matches!(what, Lifecycle::Restarted { .. })
    });
    let (restarts, cause) = (1, RestartCause::Killed);
    assert_eq!(again.await.what, Lifecycle::Restarted { restarts, cause });
    assert_eq!(handle.ask(Say(2), SECOND).await.unwrap(), 2);
    let said: Vec<String> = log
        .take()
        .into_iter()
        .filter(|line| line.len() == 3)
        .collect();
    assert_eq!(said, ["a 1", "a 2"], "what was queued is handled");
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_is_not_obeyed_is_an_abort_a_second_later() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).stop_takes(MINUTE).spec();
    let root = started(root().child(a)).await;
    let mut events = root.events();
    root.administration().kill("a", SECOND).await.unwrap();
    let begun = tokio::time::Instant::now();
    event(&mut events, "root/a", |what| {
        matches!(what, Lifecycle::Restarted { .. })
    })
    .await;
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_refused_with_the_way_out_and_changes_nothing() {
    let log = Log::default();
    let (spec, [a, _b]) = team(&log);
    let (guest, _) = Orders::new("guest", &log).spec();
    let root = started(spec).await;
    root.supervisor()
        .start_child(guest.temporary())
        .await
        .unwrap();
    let mut events = root.events();
    let admin = root.administration();
    let table = [
        (
            admin.pause("team", SECOND).await,
            "a supervisor and has no queue to pause",
        ),
        (
            admin.pause("pump", SECOND).await,
            "a task and has no queue to pause",
        ),
        (
            admin.kill("team", SECOND).await,
            "`restart` keeps the queues",
        ),
        (admin.restart("guest", SECOND).await.map(drop), "temporary"),
        (admin.kill("team/x", SECOND).await, "has no child x"),
    ];
    for (done, words) in table {
        let error = done.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(events.try_recv().is_err(), "nothing was told");
    admin.stop("team/a", SECOND).await.unwrap();
    assert_eq!(a.state(), ChildState::Down);
    let error = admin.kill("team/a", SECOND).await.unwrap_err();
    assert!(matches!(
        error,
        AdminError::NotUp {
            state: ChildState::Down,
            ..
        }
    ));
    let error = admin.pause("team/a", SECOND).await.unwrap_err();
    assert!(matches!(error, AdminError::NotUp { .. }), "{error}");
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_queue_waits_in_order_and_asks_wait_within_their_deadlines() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let admin = root.administration();
    admin.pause("a", SECOND).await.unwrap();
    admin.pause("a", SECOND).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    let late = handle.ask(Say(2), ms(50)).await;
    assert!(matches!(late, Err(AskError::Timeout { .. })), "{late:?}");
    let asker = handle.clone();
    let patient = aside(async move { asker.ask(Say(3), MINUTE).await });
    tokio::time::sleep(SECOND).await;
    assert_eq!(handle.depth(), 3, "nothing is handled and nothing is lost");
    let shown = root.topology(SECOND).await;
    let info = &shown
        .nodes()
        .find(|node| node.info.id.as_str() == "a")
        .unwrap()
        .info;
    assert!(info.paused);
    assert!(shown.to_string().contains("paused"), "{shown}");
    admin.resume("a", SECOND).await.unwrap();
    assert_eq!(patient.await.unwrap().unwrap(), 3);
    let said: Vec<String> = log
        .take()
        .into_iter()
        .filter(|line| line.len() == 3)
        .collect();
    assert_eq!(said, ["a 1", "a 2", "a 3"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_lets_the_message_in_hand_and_the_alarm_go_on() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let admin = root.administration();
    handle.tell(Wake(SECOND)).await.unwrap();
    handle.tell(Linger(ms(100))).await.unwrap();
    settle().await;
    admin.pause("a", SECOND).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    log.take();
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!(log.take(), ["a lingered", "a alarm"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_outlives_crashes_and_restarts_and_a_stop_handles_what_waits() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let admin = root.administration();
    admin.pause("a", SECOND).await.unwrap();
    for n in 1..=3 {
        handle.tell(Say(n)).await.unwrap();
    }
    admin.kill("a", SECOND).await.unwrap();
    settle().await;
    admin.restart("a", SECOND).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(handle.depth(), 3);
    log.take();
    admin.stop("a", SECOND).await.unwrap();
    assert_eq!(log.take(), ["a 1", "a 2", "a 3", "a stopped"]);
    admin.start("a", SECOND).await.unwrap();
    assert_eq!(
        handle.ask(Say(4), SECOND).await.unwrap(),
        4,
        "a new beginning"
    );
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_child_does_not_hold_up_the_stop_of_the_tree() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    root.administration().pause("a", SECOND).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    let report = root.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    assert!(log.take().contains(&"a 1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_dry_run_of_a_supervisor_names_all_below_it_and_touches_nobody() {
    let log = Log::default();
    let (spec, _) = team(&log);
    let root = started(spec).await;
    let (guest, _) = Orders::new("guest", &log).spec();
    let list = root.supervisor();
    let admin = root.administration();
    assert_eq!(list.which_children().await.len(), 2);
    list.start_child(guest.temporary()).await.unwrap();
    let mut events = root.events();
    let seen = admin
        .impact("team", Intervention::Restart, SECOND)
        .await
        .unwrap();
    let all = |fate| {
        vec![
            ("root/team/b", fate),
            ("root/team/a", fate),
            ("root/team", fate),
        ]
    };
    assert_eq!(paths(&seen.affected), all(Fate::Restarted));
    let seen = admin
        .impact("team", Intervention::Stop, SECOND)
        .await
        .unwrap();
    assert_eq!(paths(&seen.affected), all(Fate::Ended));
    let seen = admin
        .impact("guest", Intervention::Kill, SECOND)
        .await
        .unwrap();
    assert_eq!(paths(&seen.affected), [("root/guest", Fate::Ended)]);
    let error = admin
        .impact("team", Intervention::Kill, SECOND)
        .await
        .unwrap_err();
    assert!(matches!(error, AdminError::Supervisor { .. }));
    let error = admin
        .impact("guest", Intervention::Restart, SECOND)
        .await
        .unwrap_err();
    assert!(matches!(error, AdminError::Temporary { .. }));
    assert!(events.try_recv().is_err());
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_supervisor_keeps_the_queues_of_its_spec() {
    let log = Log::default();
    let (spec, [a, _b]) = team(&log);
    let root = started(spec).await;
    let admin = root.administration();
    a.tell(Linger(ms(10))).await.unwrap();
    for n in 1..=2 {
        a.tell(Say(n)).await.unwrap();
    }
    settle().await;
    assert_eq!(admin.restart("team", MINUTE).await, Ok(Started::Running));
    assert_eq!(a.ask(Say(3), SECOND).await.unwrap(), 3);
    let said: Vec<String> = log
        .take()
        .into_iter()
        .filter(|line| line.len() == 3)
        .collect();
    assert_eq!(said, ["a 1", "a 2", "a 3"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_takes_too_long_says_that_it_may_still_be_carried_out() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    handle.tell(Linger(SECOND * 2)).await.unwrap();
    settle().await;
    let admin = root.administration();
    let error = admin.restart("a", ms(10)).await.unwrap_err();
    assert!(matches!(error, AdminError::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("may still be carried out"));
    assert_eq!(handle.ask(Say(1), MINUTE).await.unwrap(), 1, "and it was");
    assert_eq!(
        log.take()
            .iter()
            .filter(|line| *line == "a started")
            .count(),
        2
    );
    root.stop(MINUTE).await;
}
