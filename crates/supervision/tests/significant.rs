//! Automatic shutdown: the end of significant children, by themselves and for good, is the end of their supervisor.

use crate::common;

use common::*;
use supervision::{
    AskError, AutoShutdown, Backoff, ChildId, ChildSpec, ChildState, DownReason, EndReason,
    Lifecycle, SupervisorSpec,
};

/// Two significant transient children and a permanent one.
fn three(auto: AutoShutdown, log: &Log) -> (SupervisorSpec, Vec<supervision::Handle<Probe>>) {
    let (a, first) = Orders::new("a", log).spec();
    let (b, second) = Orders::new("b", log).spec();
    let (c, third) = Orders::new("c", log).spec();
    let spec = SupervisorSpec::new("group")
        .auto_shutdown(auto)
        .intensity(1_000_000, SECOND)
        .child(a.transient().significant())
        .child(b.transient().significant())
        .child(c);
    (spec, vec![first, second, third])
}

#[tokio::test(start_paused = true)]
async fn the_first_end_is_enough_for_any_significant() {
    let log = Log::default();
    let (spec, handles) = three(AutoShutdown::AnySignificant, &log);
    let root = start(spec).await.unwrap();
    let mut events = root.events();
    handles[2].tell(Linger(ms(10))).await.unwrap();
    handles[2].tell(Say(7)).await.unwrap();
    handles[0].tell(Finish).await.unwrap();
    let EndReason::AutoShutdown(significant) = root.ended().await else {
        panic!("ends by itself");
    };
    assert_eq!(significant, "group/a");
    let seen = event(&mut events, "group", |what| {
        matches!(what, Lifecycle::AutoShutdown { .. })
    });
    let Lifecycle::AutoShutdown { significant } = seen.await.what else {
        unreachable!()
    };
    assert_eq!(significant, ChildId::new("a"));
    let lines = log.take();
    let ends = ["c lingered", "c 7", "c stopped", "b stopped"];
    assert!(
        lines.ends_with(&ends.map(str::to_owned)),
        "drained, in reverse: {lines:?}"
    );
    let Err(AskError::Down { reason, .. }) = handles[2].ask(Say(1), SECOND).await else {
        panic!("down");
    };
    assert_eq!(reason, DownReason::AutoShutdown("a".into()));
}

#[tokio::test(start_paused = true)]
async fn the_last_end_is_needed_for_all_significant() {
    let log = Log::default();
    let (spec, handles) = three(AutoShutdown::AllSignificant, &log);
    let root = start(spec).await.unwrap();
    handles[0].tell(Finish).await.unwrap();
    settle().await;
    assert_eq!(handles[0].state(), ChildState::Down);
    assert_eq!(handles[2].ask(Say(1), SECOND).await.unwrap(), 1);
    handles[1].tell(Finish).await.unwrap();
    let EndReason::AutoShutdown(significant) = root.ended().await else {
        panic!("ends by itself");
    };
    assert_eq!(significant, "group/b");
}

#[tokio::test(start_paused = true)]
async fn a_significant_child_that_is_being_restarted_still_counts_as_living() {
    let log = Log::default();
    let (spec, handles) = three(AutoShutdown::AllSignificant, &log);
    let root = start(spec).await.unwrap();
    handles[1].tell(Linger(ms(50))).await.unwrap();
    handles[1].tell(Crash("boom")).await.unwrap();
    handles[0].tell(Finish).await.unwrap();
    tokio::time::sleep(ms(60)).await;
    assert_eq!(handles[1].ask(Say(1), SECOND).await.unwrap(), 1);
    root.stop(MINUTE).await;
    assert_eq!(root.ended().await, EndReason::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_a_terminated_and_an_insignificant_child_end_nothing() {
    let log = Log::default();
    let (spec, handles) = three(AutoShutdown::AnySignificant, &log);
    let (d, job) = Orders::new("d", &log).spec();
    let root = start(spec.child(d.transient())).await.unwrap();
    handles[0].tell(Crash("boom")).await.unwrap();
    settle().await;
    assert_eq!(
        handles[0].state(),
        ChildState::Up,
        "a restart is not an end"
    );
    job.tell(Finish).await.unwrap();
    settle().await;
    assert_eq!(job.state(), ChildState::Down, "not significant");
    let admin = root.supervisor();
    admin.terminate_child(&ChildId::new("a")).await.unwrap();
    admin.terminate_child(&ChildId::new("b")).await.unwrap();
    assert_eq!(handles[2].ask(Say(1), SECOND).await.unwrap(), 1);
    root.stop(MINUTE).await;
    assert_eq!(root.ended().await, EndReason::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_significant_child_ends_it_by_crashing_too() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).spec();
    let spec = SupervisorSpec::new("group").auto_shutdown(AutoShutdown::AllSignificant);
    let root = start(spec.child(a.temporary().significant()))
        .await
        .unwrap();
    first.tell(Crash("boom")).await.unwrap();
    assert!(matches!(root.ended().await, EndReason::AutoShutdown(child) if child == "group/a"));
}

#[tokio::test(start_paused = true)]
async fn for_its_own_supervisor_it_is_a_normal_end() {
    for permanent in [false, true] {
        let log = Log::default();
        let (group, handles) = three(AutoShutdown::AnySignificant, &log);
        let group = ChildSpec::supervisor(group).backoff(Backoff::none());
        let group = if permanent { group } else { group.transient() };
        let root = started(root().child(group)).await;
        handles[2].tell(Linger(ms(10))).await.unwrap();
        handles[2].tell(Say(7)).await.unwrap();
        handles[0].tell(Finish).await.unwrap();
        tokio::time::sleep(ms(100)).await;
        let list = root.supervisor().which_children().await;
        assert!(log.seen().contains(&"c 7".to_owned()), "handled either way");
        if permanent {
            assert_eq!((list[0].state, list[0].incarnation), (ChildState::Up, 2));
            assert_eq!(handles[0].ask(Say(1), SECOND).await.unwrap(), 1);
        } else {
            assert_eq!((list[0].state, list[0].incarnation), (ChildState::Down, 1));
            assert_eq!(list[0].last_error, None, "nothing went wrong");
            assert_eq!(handles[2].state(), ChildState::Down);
        }
        root.stop(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_in_the_middle_of_the_start_is_no_failed_start() {
    let log = Log::default();
    let (first, finishing) = Orders::new("first", &log).spec();
    let (second, _) = Orders::new("second", &log).start_takes(ms(100)).spec();
    let (beside, other) = Orders::new("beside", &log).spec();
    finishing.tell(Finish).await.unwrap();
    let group = SupervisorSpec::new("group")
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(first.transient().significant())
        .child(second);
    let tree = root().child(ChildSpec::supervisor(group).transient());
    let root = started(tree.child(beside)).await;
    assert_eq!(other.ask(Say(1), SECOND).await.unwrap(), 1);
    tokio::time::sleep(SECOND).await;
    let list = root.supervisor().which_children().await;
    assert_eq!(list[0].down, Some(DownReason::Finished));
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_root_may_be_over_before_it_is_whole() {
    let log = Log::default();
    let (first, finishing) = Orders::new("first", &log).spec();
    let (second, _) = Orders::new("second", &log).start_takes(ms(100)).spec();
    finishing.tell(Finish).await.unwrap();
    let spec = SupervisorSpec::new("root")
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(first.transient().significant())
        .child(second);
    let root = started(spec).await;
    assert!(matches!(root.ended().await, EndReason::AutoShutdown(_)));
}
