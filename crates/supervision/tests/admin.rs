//! OTP's administration at run time, and its answers.

use crate::common;

use std::sync::atomic::Ordering;

use common::*;
use supervision::{
    Backoff, ChildCounts, ChildId, ChildSpec, ChildState, DeleteChildError, GetChildspecError,
    Restart, RestartChildError, Shutdown, StartChildError, Started, Strategy, SupervisorSpec,
};

fn id(text: &str) -> ChildId {
    ChildId::new(text)
}

#[tokio::test(start_paused = true)]
async fn a_terminated_child_can_be_restarted_and_its_handle_works_again() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let admin = root.supervisor();
    admin.terminate_child(&id("a")).await.unwrap();
    assert!(handle.tell(Say(0)).await.is_err());
    let started = admin.restart_child(&id("a")).await.unwrap();
    assert_eq!(started, Started::Running);
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    assert_eq!(handle.state(), ChildState::Up);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_finished_child_can_be_restarted_and_one_that_cannot_start_stays_down() {
    let log = Log::default();
    let orders = Orders::new("a", &log);
    let failing = orders.failing_starts.clone();
    let (a, handle) = orders.spec();
    let root = started(root().child(a.transient())).await;
    let admin = root.supervisor();
    handle.tell(Finish).await.unwrap();
    settle().await;
    failing.store(1, Ordering::SeqCst);
    let error = admin.restart_child(&id("a")).await.unwrap_err();
    assert!(matches!(&error, RestartChildError::Failed(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "child root/a did not start: no such luck"
    );
    assert_eq!(
        handle.state(),
        ChildState::Down,
        "not tried again by itself"
    );
    tokio::time::sleep(MINUTE).await;
    assert_eq!(log.take().iter().filter(|l| *l == "a failing").count(), 1);
    admin.restart_child(&id("a")).await.unwrap();
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn restart_and_delete_refuse_what_runs_rests_or_does_not_exist() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).spec();
    let (b, resting) = Orders::new("b", &log).spec();
    let patient = Backoff {
        base: MINUTE * 60,
        cap: MINUTE * 60,
        healthy_after: MINUTE,
    };
    let root = started(root().child(a).child(b.backoff(patient))).await;
    let admin = root.supervisor();
    resting.tell(Crash("boom")).await.unwrap();
    settle().await;
    let restart = admin.restart_child(&id("a")).await.unwrap_err();
    assert!(matches!(
        restart,
        RestartChildError::Running {
            state: ChildState::Up,
            ..
        }
    ));
    let delete = admin.delete_child(&id("a")).await.unwrap_err();
    assert!(matches!(
        &delete,
        DeleteChildError::Running { child, state: ChildState::Up } if *child == "root/a"
    ));
    assert!(delete.to_string().contains("terminate_child"), "{delete}");
    let restart = admin.restart_child(&id("b")).await.unwrap_err();
    assert!(matches!(
        restart,
        RestartChildError::Restarting {
            state: ChildState::BackingOff,
            ..
        }
    ));
    let delete = admin.delete_child(&id("b")).await.unwrap_err();
    assert!(matches!(
        delete,
        DeleteChildError::Restarting {
            state: ChildState::BackingOff,
            ..
        }
    ));
    let restart = admin.restart_child(&id("x")).await.unwrap_err();
    assert!(matches!(restart, RestartChildError::NotFound { .. }));
    let delete = admin.delete_child(&id("x")).await.unwrap_err();
    assert!(matches!(delete, DeleteChildError::NotFound { .. }));
    root.stop(MINUTE).await;
    let restart = admin.restart_child(&id("a")).await.unwrap_err();
    assert!(matches!(restart, RestartChildError::Down { .. }));
    let delete = admin.delete_child(&id("a")).await.unwrap_err();
    assert!(matches!(delete, DeleteChildError::Down { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_being_terminated_is_running_to_those_who_would_restart_it() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).stop_takes(ms(100)).spec();
    let root = started(root().child(a)).await;
    let admin = root.supervisor();
    let stopping = aside({
        let admin = admin.clone();
        async move { admin.terminate_child(&id("a")).await }
    });
    settle().await;
    let error = admin.restart_child(&id("a")).await.unwrap_err();
    assert!(matches!(
        error,
        RestartChildError::Running {
            state: ChildState::Stopping,
            ..
        }
    ));
    stopping.await.unwrap().unwrap();
    admin.restart_child(&id("a")).await.unwrap();
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_child_leaves_its_id_free() {
    let log = Log::default();
    let (a, old) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let admin = root.supervisor();
    admin.terminate_child(&id("a")).await.unwrap();
    let (again, _) = Orders::new("a", &log).spec();
    let error = admin.start_child(again).await.unwrap_err();
    assert!(matches!(&error, StartChildError::AlreadyPresent { .. }));
    assert!(error.to_string().contains("delete_child"), "{error}");
    admin.delete_child(&id("a")).await.unwrap();
    assert_eq!(admin.which_children().await, []);
    let (again, new) = Orders::new("a", &log).spec();
    admin.start_child(again).await.unwrap();
    assert_eq!(new.ask(Say(1), SECOND).await.unwrap(), 1);
    assert_eq!(old.state(), ChildState::Down);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn children_are_counted_by_kind_dead_or_alive() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).spec();
    let (b, _) = Orders::new("b", &log).spec();
    let nested = ChildSpec::supervisor(SupervisorSpec::new("s"));
    let root = started(root().child(a).child(b).child(nested)).await;
    let admin = root.supervisor();
    let mut counts = ChildCounts {
        specs: 3,
        active: 3,
        supervisors: 1,
        workers: 2,
    };
    assert_eq!(admin.count_children().await, counts);
    admin.terminate_child(&id("a")).await.unwrap();
    counts.active = 2;
    assert_eq!(admin.count_children().await, counts);
    admin.delete_child(&id("a")).await.unwrap();
    (counts.specs, counts.workers) = (2, 1);
    assert_eq!(admin.count_children().await, counts);
    root.stop(MINUTE).await;
    assert_eq!(admin.count_children().await, ChildCounts::default());
}

#[tokio::test(start_paused = true)]
async fn a_spec_is_shown_as_it_was_written() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).spec();
    let (b, _) = Orders::new("b", &log).spec();
    let b = b
        .transient()
        .shutdown(Shutdown::BrutalKill)
        .depends_on(["a"]);
    let root = started(root().child(a).child(b)).await;
    let admin = root.supervisor();
    let spec = admin.get_childspec(&id("b")).await.unwrap();
    assert_eq!((spec.id, spec.capacity), (id("b"), 64));
    assert_eq!(spec.child, "root/b");
    assert_eq!(spec.policy.restart, Restart::Transient);
    assert_eq!(spec.policy.shutdown, Shutdown::BrutalKill);
    assert_eq!(spec.depends_on, [id("a")]);
    let error = admin.get_childspec(&id("x")).await.unwrap_err();
    assert!(
        matches!(error, GetChildspecError::NotFound { .. }),
        "{error}"
    );
    root.stop(MINUTE).await;
    let error = admin.get_childspec(&id("b")).await.unwrap_err();
    assert!(matches!(error, GetChildspecError::Down { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn children_start_after_those_they_depend_on_and_stop_before_them() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).spec();
    let (b, _) = Orders::new("b", &log).spec();
    let (c, _) = Orders::new("c", &log).spec();
    let spec = root()
        .child(a.depends_on(["c"]))
        .child(b)
        .child(c.depends_on(["b"]));
    let root = started(spec).await;
    root.stop(MINUTE).await;
    let starts = [
        "b starting",
        "b started",
        "c starting",
        "c started",
        "a starting",
        "a started",
    ];
    let stops = ["a stopped", "c stopped", "b stopped"];
    assert_eq!(log.take(), [&starts[..], &stops[..]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_child_added_at_run_time_needs_those_it_depends_on_to_be_up() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let admin = root.supervisor();
    let needy = || Orders::new("b", &log).spec().0.depends_on(["a"]);
    let (stranger, _) = Orders::new("b", &log).spec();
    let error = admin
        .start_child(stranger.depends_on(["x"]))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "root/b depends on x, which does not exist; start that first"
    );
    admin.terminate_child(&id("a")).await.unwrap();
    let error = admin.start_child(needy()).await.unwrap_err();
    assert!(matches!(
        error,
        StartChildError::Dependency {
            state: Some(ChildState::Down),
            ..
        }
    ));
    admin.restart_child(&id("a")).await.unwrap();
    assert_eq!(admin.start_child(needy()).await.unwrap(), Started::Running);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_tree_of_a_hundred_levels_starts_is_reached_and_stops() {
    let log = Log::default();
    let (leaf, handle) = Orders::new("leaf", &log).spec();
    let mut spec = SupervisorSpec::new("s").child(leaf);
    for _ in 0..100 {
        spec = SupervisorSpec::new("s").child(ChildSpec::supervisor(spec));
    }
    let root = start(spec).await.unwrap();
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    assert_eq!(handle.child().as_str().matches('/').count(), 101);
    let report = root.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    assert_eq!(handle.state(), ChildState::Down);
}

#[tokio::test(start_paused = true)]
async fn a_restart_asked_for_in_the_middle_of_a_group_restart_waits_its_turn() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).start_takes(ms(100)).spec();
    let (b, second) = Orders::new("b", &log).start_takes(ms(100)).spec();
    let spec = root().strategy(Strategy::RestForOne).child(a).child(b);
    let root = started(spec).await;
    let admin = root.supervisor();
    first.tell(Crash("boom")).await.unwrap();
    settle().await;
    admin.terminate_child(&id("b")).await.unwrap();
    let restarted = admin.restart_child(&id("b")).await.unwrap();
    assert_eq!(restarted, Started::Running);
    assert_eq!(second.ask(Say(1), SECOND).await.unwrap(), 1);
    let starts: Vec<String> = log
        .take()
        .into_iter()
        .filter(|l| l.ends_with("starting"))
        .collect();
    assert_eq!(
        starts,
        ["a starting", "b starting", "a starting", "b starting"]
    );
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_another_administrator_ends_is_told_so() {
    let log = Log::default();
    let root = started(root()).await;
    let supervisor = root.supervisor();
    let (slow, _handle) = Orders::new("slow", &log).start_takes(SECOND).spec();
    let starting = aside({
        let supervisor = supervisor.clone();
        async move { supervisor.start_child(slow).await }
    });
    settle().await;
    supervisor.terminate_child(&"slow".into()).await.unwrap();
    let error = starting.await.unwrap().unwrap_err();
    assert!(matches!(&error, StartChildError::Terminated { child } if *child == "root/slow"));
    let restarting = aside({
        let supervisor = supervisor.clone();
        async move { supervisor.restart_child(&"slow".into()).await }
    });
    settle().await;
    supervisor.terminate_child(&"slow".into()).await.unwrap();
    let error = restarting.await.unwrap().unwrap_err();
    assert!(
        matches!(error, RestartChildError::Terminated { .. }),
        "{error}"
    );
    root.stop(MINUTE).await;
}
