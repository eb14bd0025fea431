//! Children of a template: started, found and stopped by id at run time, in no order, with nothing left behind.

use crate::common;

use common::*;
use supervision::{
    Backoff, ChildCounts, ChildId, ChildSpec, ChildState, DeleteChildError, DownReason, Handle,
    Instances, Policy, Restart, RestartChildError, RootHandle, Shutdown, StartChildError,
    SupervisorSpec, TerminateChildError,
};

fn policy(restart: Restart) -> Policy {
    Policy {
        restart,
        backoff: Backoff::none(),
        shutdown: Shutdown::Timeout(SECOND),
        ..Policy::worker()
    }
}

fn nest(restart: Restart) -> (SupervisorSpec, Instances<Probe, Orders>) {
    let (spec, instances) = SupervisorSpec::simple_one_for_one("nest", 8, policy(restart));
    (spec.intensity(1_000_000, SECOND), instances)
}

async fn running(restart: Restart) -> (RootHandle, Instances<Probe, Orders>) {
    let (spec, instances) = nest(restart);
    (
        started(root().child(ChildSpec::supervisor(spec))).await,
        instances,
    )
}

fn state(handle: &Handle<Probe>) -> ChildState {
    handle.state()
}

#[tokio::test(start_paused = true)]
async fn instances_are_started_by_id_and_each_id_lives_once() {
    let log = Log::default();
    let (root, instances) = running(Restart::Transient).await;
    let a = instances.start("a", Orders::new("a", &log)).await.unwrap();
    let b = instances.start("b", Orders::new("b", &log)).await.unwrap();
    assert_eq!(a.child(), "root/nest/a");
    assert_eq!(b.ask(Say(1), SECOND).await.unwrap(), 1);
    let again = instances.start("a", Orders::new("a", &log)).await;
    assert!(
        matches!(again, Err(StartChildError::AlreadyStarted { child }) if child == "root/nest/a")
    );
    assert_eq!(
        instances.ensure("a", Orders::new("a", &log)).await.unwrap(),
        a
    );
    let counts = ChildCounts {
        specs: 2,
        active: 2,
        supervisors: 0,
        workers: 2,
    };
    assert_eq!(instances.supervisor().count_children().await, counts);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_restarts_that_one_alone_with_its_queue() {
    let log = Log::default();
    let (root, instances) = running(Restart::Transient).await;
    let a = instances.start("a", Orders::new("a", &log)).await.unwrap();
    let b = instances.start("b", Orders::new("b", &log)).await.unwrap();
    a.tell(Crash("boom")).await.unwrap();
    a.tell(Say(1)).await.unwrap();
    assert_eq!(a.ask(Say(2), SECOND).await.unwrap(), 2);
    assert_eq!(b.ask(Say(3), SECOND).await.unwrap(), 3);
    let list = instances.supervisor().which_children().await;
    let lives: Vec<_> = list
        .iter()
        .map(|c| (c.id.as_str(), c.incarnation))
        .collect();
    assert_eq!(lives, [("a", 2), ("b", 1)]);
    assert!(log.seen().contains(&"a 1".to_owned()));
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_ends_is_forgotten_and_its_id_is_free() {
    let log = Log::default();
    for restart in [Restart::Transient, Restart::Temporary] {
        let (root, instances) = running(restart).await;
        let a = instances.start("a", Orders::new("a", &log)).await.unwrap();
        a.tell(Finish).await.unwrap();
        settle().await;
        assert_eq!(state(&a), ChildState::Down);
        assert_eq!(instances.supervisor().which_children().await, []);
        let next = instances.start("a", Orders::new("a", &log)).await.unwrap();
        assert_ne!(next, a);
        instances.terminate(&ChildId::new("a")).await.unwrap();
        assert_eq!(instances.supervisor().which_children().await, []);
        let gone = instances.terminate(&ChildId::new("a")).await;
        assert!(matches!(gone, Err(TerminateChildError::NotFound { .. })));
        root.stop(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_rests_is_terminated_at_once() {
    let log = Log::default();
    let policy = Policy {
        backoff: Backoff {
            base: MINUTE,
            cap: MINUTE,
            healthy_after: MINUTE,
        },
        ..policy(Restart::Permanent)
    };
    let (spec, instances) = SupervisorSpec::simple_one_for_one("nest", 8, policy);
    let root = started(root().child(ChildSpec::supervisor(spec))).await;
    let a = instances.start("a", Orders::new("a", &log)).await.unwrap();
    a.tell(Crash("boom")).await.unwrap();
    a.tell(Say(1)).await.unwrap();
    settle().await;
    assert_eq!(state(&a), ChildState::BackingOff);
    let asked = tokio::time::Instant::now();
    instances.terminate(&ChildId::new("a")).await.unwrap();
    assert!(asked.elapsed() < ms(1));
    assert_eq!(instances.supervisor().which_children().await, []);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_asks_all_of_them_together() {
    let log = Log::default();
    let (root, instances) = running(Restart::Permanent).await;
    for name in ["a", "b", "c", "d"] {
        let orders = Orders::new(name, &log).stop_takes(ms(500));
        instances.start(name, orders).await.unwrap();
    }
    let report = root.stop(MINUTE).await;
    assert_eq!(report.took.as_millis() / 100, 5, "{:?}", report.took);
    assert_eq!(report.abandoned, []);
    let stopped = log.seen().iter().filter(|l| l.ends_with("stopped")).count();
    assert_eq!(stopped, 4);
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_leaves_nothing_and_says_why() {
    let log = Log::default();
    let (root, instances) = running(Restart::Permanent).await;
    let failing = Orders::new("a", &log).failing_starts(1);
    let error = instances.start("a", failing).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "child root/nest/a did not start: no such luck"
    );
    assert_eq!(instances.supervisor().which_children().await, []);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_their_supervisor_ends_them_for_good() {
    let log = Log::default();
    let (spec, instances) = nest(Restart::Permanent);
    let spec = spec.intensity(0, SECOND);
    let root = started(root().child(ChildSpec::supervisor(spec).backoff(Backoff::none()))).await;
    let a = instances.start("a", Orders::new("a", &log)).await.unwrap();
    let b = instances.start("b", Orders::new("b", &log)).await.unwrap();
    a.tell(Crash("boom")).await.unwrap();
    settle().await;
    assert!(matches!(
        b.ask(Say(1), SECOND).await,
        Err(supervision::AskError::Down {
            reason: DownReason::Escalated(_),
            ..
        })
    ));
    assert_eq!(instances.supervisor().state(), ChildState::Up);
    assert_eq!(instances.supervisor().which_children().await, []);
    let again = instances.ensure("b", Orders::new("b", &log)).await.unwrap();
    assert_eq!(again.ask(Say(2), SECOND).await.unwrap(), 2);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_for_a_template_is_refused_with_the_way_out() {
    let log = Log::default();
    let (root, instances) = running(Restart::Transient).await;
    let admin = instances.supervisor();
    let (stranger, _) = Orders::new("x", &log).spec();
    let error = admin.start_child(stranger).await.unwrap_err();
    assert!(matches!(error, StartChildError::Template { .. }), "{error}");
    let ensured = admin.ensure_actor::<Probe, _>("x", 1, Orders::new("x", &log), |spec| spec);
    let error = ensured.await.unwrap_err();
    assert!(error.to_string().contains("Instances"), "{error}");
    let id = ChildId::new("x");
    let error = admin.restart_child(&id).await.unwrap_err();
    assert!(
        matches!(error, RestartChildError::Template { .. }),
        "{error}"
    );
    let error = admin.delete_child(&id).await.unwrap_err();
    assert!(
        matches!(error, DeleteChildError::Template { .. }),
        "{error}"
    );
    assert_eq!(log.seen(), [""; 0], "nothing was started");
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn five_thousand_instances_stop_in_one_go_and_leave_nothing() {
    let (root, instances) = running(Restart::Permanent).await;
    let log = Log::default();
    let orders = Orders::new("x", &log);
    for n in 0..5_000 {
        instances
            .start(format!("c{n}"), orders.clone())
            .await
            .unwrap();
    }
    assert_eq!(instances.supervisor().count_children().await.active, 5_000);
    let report = root.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    let stopped = log.seen().iter().filter(|l| *l == "x stopped").count();
    assert_eq!(stopped, 5_000);
}
