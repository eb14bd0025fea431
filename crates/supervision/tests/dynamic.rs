//! Children started at run time: admin commands, idle stops, successors, and nothing left behind.

use crate::common;

use common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::{
    Birth, ChildId, ChildSpec, ChildState, DownReason, Inbox, Kind, StartChildError,
    SupervisorHandle, SupervisorSpec, TellError, TerminateChildError,
};

async fn ids(admin: &SupervisorHandle) -> Vec<String> {
    admin
        .which_children()
        .await
        .iter()
        .map(|child| child.id.to_string())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn start_child_waits_until_it_is_ready_and_refuses_a_second_of_that_id() {
    let log = Log::default();
    let root = started(root()).await;
    let admin = root.supervisor();
    let (a, handle) = Orders::new("a", &log).start_takes(ms(50)).spec();
    let begun = tokio::time::Instant::now();
    admin.start_child(a).await.unwrap();
    assert_eq!(begun.elapsed().as_millis() / 10, 5);
    assert_eq!(handle.child(), "root/a");
    let (again, _) = Orders::new("a", &log).spec();
    let error = admin.start_child(again).await.unwrap_err();
    assert!(matches!(&error, StartChildError::AlreadyStarted { child } if *child == "root/a"));
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_to_start_leaves_nothing_and_says_why() {
    let log = Log::default();
    let root = started(root()).await;
    let admin = root.supervisor();
    let (bad, handle) = Orders::new("bad", &log).failing_starts(1).spec();
    let error = admin.start_child(bad).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "child root/bad did not start: no such luck"
    );
    assert_eq!(ids(&admin).await, [""; 0]);
    assert_eq!(handle.state(), ChildState::Down);
    let (deaf, _) = Orders::new("slow", &log).start_takes(MINUTE).spec();
    let error = admin
        .start_child(deaf.start_timeout(ms(10)))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("not ready within 10ms"),
        "{error}"
    );
    assert_eq!(ids(&admin).await, [""; 0]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn commands_are_answered_while_a_child_takes_long_to_start() {
    let log = Log::default();
    let root = started(root()).await;
    let admin = root.supervisor();
    let (slow, _) = Orders::new("slow", &log).start_takes(SECOND).spec();
    let starting = aside({
        let admin = admin.clone();
        async move { admin.start_child(slow).await }
    });
    settle().await;
    let begun = tokio::time::Instant::now();
    let (quick, _) = Orders::new("quick", &log).spec();
    admin.start_child(quick).await.unwrap();
    let list = admin.which_children().await;
    assert_eq!(list[0].state, ChildState::Starting);
    assert_eq!(list[1].state, ChildState::Up);
    assert!(begun.elapsed() < ms(5));
    starting.await.unwrap().unwrap();
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn terminate_child_drains_it_and_keeps_the_spec_unless_it_is_temporary() {
    let log = Log::default();
    let (fixed, fixed_handle) = Orders::new("fixed", &log).spec();
    let root = started(root().child(fixed)).await;
    let admin = root.supervisor();
    let (a, handle) = Orders::new("a", &log).spec();
    admin.start_child(a).await.unwrap();
    handle.tell(Linger(ms(50))).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    admin.terminate_child(&ChildId::new("a")).await.unwrap();
    assert!(
        log.take()
            .ends_with(&["a lingered", "a 1", "a stopped"].map(str::to_owned))
    );
    let (brief, _) = Orders::new("brief", &log).spec();
    admin.start_child(brief.temporary()).await.unwrap();
    admin.terminate_child(&ChildId::new("brief")).await.unwrap();
    assert_eq!(
        ids(&admin).await,
        ["fixed", "a"],
        "a temporary one is forgotten"
    );
    admin.terminate_child(&ChildId::new("fixed")).await.unwrap();
    let list = admin.which_children().await;
    assert_eq!(list[0].state, ChildState::Down);
    assert_eq!(list[1].state, ChildState::Down);
    assert_eq!(fixed_handle.state(), ChildState::Down);
    let error = admin
        .terminate_child(&ChildId::new("nobody"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, TerminateChildError::NotFound { .. }),
        "{error}"
    );
    let (again, _) = Orders::new("fixed", &log).spec();
    let error = admin.start_child(again).await.unwrap_err();
    assert!(
        matches!(error, StartChildError::AlreadyPresent { .. }),
        "{error}"
    );
    root.stop(MINUTE).await;
    let error = admin.terminate_child(&ChildId::new("a")).await.unwrap_err();
    assert!(matches!(error, TerminateChildError::Down { .. }), "{error}");
    let (late, _) = Orders::new("late", &log).spec();
    let error = admin.start_child(late).await.unwrap_err();
    assert!(matches!(error, StartChildError::Stopping { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn which_children_shows_what_each_is_doing() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let nested = SupervisorSpec::new("nested");
    let root = started(root().child(a).child(ChildSpec::supervisor(nested))).await;
    handle.tell(Crash("boom")).await.unwrap();
    handle.tell(Linger(SECOND)).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    tokio::time::sleep(ms(100)).await;
    let list = root.supervisor().which_children().await;
    let a = &list[0];
    assert_eq!(
        (a.state, a.kind, a.incarnation, a.restarts),
        (ChildState::Up, Kind::Worker, 2, 1)
    );
    assert_eq!((a.depth, a.capacity), (1, 64));
    let (current, age) = a.current.clone().unwrap();
    assert_eq!((current.as_str(), age.as_millis() / 10), ("Linger", 10));
    assert_eq!(a.last_error.as_deref(), Some("boom"));
    assert_eq!(a.uptime.unwrap().as_millis() / 10, 10);
    assert_eq!(
        (list[1].kind, list[1].child.as_str()),
        (Kind::Supervisor, "root/nested")
    );
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn ensure_actor_returns_the_same_handle_while_it_lives() {
    let log = Log::default();
    let root = started(root()).await;
    let admin = root.supervisor();
    let ensure = || {
        admin.ensure_actor::<Probe, _>(
            "a",
            8,
            Orders::new("a", &log).start_takes(ms(20)),
            ChildSpec::transient,
        )
    };
    let (first, second) = tokio::join!(ensure(), ensure());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first, second, "both waited for the one start");
    first.tell(Crash("boom")).await.unwrap();
    settle().await;
    assert_eq!(
        ensure().await.unwrap(),
        first,
        "a restart does not change the handle"
    );
    assert_eq!(ids(&admin).await, ["a"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn ensure_actor_after_an_idle_stop_starts_a_new_actor() {
    let log = Log::default();
    let root = started(root()).await;
    let admin = root.supervisor();
    let ensure = || {
        admin.ensure_actor::<Probe, _>(
            "a",
            8,
            Orders::new("a", &log).stop_takes(ms(100)),
            ChildSpec::transient,
        )
    };
    let first = ensure().await.unwrap();
    assert!(first.ask(FinishIfIdle, SECOND).await.unwrap());
    let Err(TellError::Down {
        message, reason, ..
    }) = first.try_tell(Say(1))
    else {
        panic!("it takes nothing once it has decided to stop");
    };
    assert_eq!((message.0, reason), (1, DownReason::Finished));
    let second = ensure().await.unwrap();
    assert_ne!(first, second);
    assert_eq!(second.ask(Say(2), SECOND).await.unwrap(), 2);
    let lines = log.take();
    let stopped = lines.iter().position(|l| l == "a stopped").unwrap();
    let again = lines.iter().rposition(|l| l == "a starting").unwrap();
    assert!(stopped < again, "never two at once: {lines:?}");
    assert_eq!(ids(&admin).await, ["a"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn ensure_actor_waits_for_a_child_that_is_being_terminated() {
    let log = Log::default();
    let root = started(root()).await;
    let admin = root.supervisor();
    let ensure = || {
        admin.ensure_actor::<Probe, _>("a", 8, Orders::new("a", &log).stop_takes(ms(100)), |spec| {
            spec
        })
    };
    let first = ensure().await.unwrap();
    let id = ChildId::new("a");
    let (ended, successors) = tokio::join!(admin.terminate_child(&id), async {
        tokio::time::sleep(ms(10)).await;
        tokio::join!(ensure(), ensure())
    });
    ended.unwrap();
    let (second, third) = (successors.0.unwrap(), successors.1.unwrap());
    assert_ne!(first, second);
    assert_eq!(second, third);
    root.stop(MINUTE).await;
}

struct Other {
    inbox: Inbox<Self>,
}

impl Actor for Other {
    type Args = Birth<Self, ()>;
    type Error = Infallible;
    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self { inbox: birth.inbox })
    }
    supervision::receive_from!(inbox);
}

#[tokio::test(start_paused = true)]
async fn ensure_actor_refuses_an_id_that_belongs_to_another_actor() {
    let log = Log::default();
    let (a, _) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    let error = root
        .supervisor()
        .ensure_actor::<Other, ()>("a", 1, (), |spec| spec)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StartChildError::OtherActor { .. }),
        "{error}"
    );
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_stop_is_refused_while_something_is_queued_or_under_way() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a.transient())).await;
    handle.tell(Linger(ms(10))).await.unwrap();
    let idle = aside({
        let handle = handle.clone();
        async move { handle.ask(FinishIfIdle, SECOND).await }
    });
    settle().await;
    handle.tell(Say(1)).await.unwrap();
    assert!(
        !idle.await.unwrap().unwrap(),
        "something is queued behind it"
    );
    handle.ask(Hold("turn"), SECOND).await.unwrap();
    assert!(
        !handle.ask(FinishIfIdle, SECOND).await.unwrap(),
        "work is under way"
    );
    assert_eq!(handle.ask(Say(2), SECOND).await.unwrap(), 2);
    assert!(handle.ask(FinishIfIdle, SECOND).await.unwrap());
    root.stop(MINUTE).await;
}

/// Senders on other threads race an actor that stops whenever it is idle; each message that comes back is sent again to
/// the successor. On real threads, because the race is between threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_message_is_lost_or_handled_twice_between_idle_stops() {
    const SENDERS: u32 = 4;
    const EACH: u32 = 200;
    let log = Log::default();
    let root = started(root()).await;
    let admin = root.supervisor();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let (admin, log) = (admin.clone(), log.clone());
        senders.spawn(async move {
            for n in 0..EACH {
                let mut message = Say(sender * EACH + n);
                loop {
                    let ensured = admin.ensure_actor::<Probe, _>(
                        "a",
                        4,
                        Orders::new("a", &log),
                        ChildSpec::transient,
                    );
                    let handle = ensured.await.unwrap();
                    match handle.tell(message).await {
                        Ok(()) => break,
                        Err(error) => message = error.into_message(),
                    }
                }
                let handle = admin
                    .ensure_actor::<Probe, _>("a", 4, Orders::new("a", &log), ChildSpec::transient)
                    .await
                    .unwrap();
                drop(handle.tell(FinishIfIdle).await);
            }
        });
    }
    senders.join_all().await;
    let report = root.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    let lines = log.take();
    let started = lines.iter().filter(|l| *l == "a started").count();
    assert!(started > 1, "the race was run: {started} lives");
    let mut said: Vec<u32> = lines
        .iter()
        .filter_map(|l| l.strip_prefix("a ")?.parse().ok())
        .collect();
    said.sort_unstable();
    assert_eq!(said, (0..SENDERS * EACH).collect::<Vec<_>>());
}

/// Decides to stop before its first message.
struct Brief {
    inbox: Inbox<Brief>,
}
impl Actor for Brief {
    type Args = Birth<Self, std::sync::Arc<()>>;
    type Error = Infallible;
    async fn on_start(mut birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        birth.inbox.stop_if_idle();
        Ok(Self { inbox: birth.inbox })
    }
    supervision::receive_from!(inbox);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_temporary_children_leave_nothing_behind() {
    let root = started(root()).await;
    let admin = root.supervisor();
    let marker = std::sync::Arc::new(());
    for n in 0..10_000 {
        let (spec, _) = ChildSpec::actor::<Brief, _>(format!("c{n}"), 1, marker.clone());
        admin.start_child(spec.temporary()).await.unwrap();
    }
    settle().await;
    assert_eq!(admin.which_children().await, []);
    assert_eq!(
        std::sync::Arc::strong_count(&marker),
        1,
        "every seed is gone"
    );
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn children_started_at_run_time_stop_in_reverse_order_too() {
    let log = Log::default();
    let (fixed, _) = Orders::new("fixed", &log).spec();
    let root = started(root().child(fixed)).await;
    for name in ["a", "b", "c"] {
        let (child, _) = Orders::new(name, &log).stop_takes(ms(100)).spec();
        root.supervisor().start_child(child).await.unwrap();
    }
    log.take();
    let report = root.stop(MINUTE).await;
    assert_eq!(report.took.as_millis() / 10, 30, "{:?}", report.took);
    let stopped = ["c stopped", "b stopped", "a stopped", "fixed stopped"];
    assert_eq!(log.seen(), stopped);
}

#[tokio::test(start_paused = true)]
async fn ensure_actor_gets_the_next_life_of_one_that_a_group_restart_catches_leaving() {
    let log = Log::default();
    let (a, crashing) = Orders::new("a", &log).spec();
    let (b, leaving) = Orders::new("b", &log).stop_takes(ms(100)).spec();
    let tree = root().strategy(supervision::Strategy::OneForAll);
    let root = started(tree.child(a).child(b.transient())).await;
    assert!(leaving.ask(FinishIfIdle, SECOND).await.unwrap());
    let supervisor = root.supervisor();
    let orders = Orders::new("b", &log);
    let ensured = aside(async move {
        let ensured = supervisor.ensure_actor::<Probe, _>("b", 8, orders, ChildSpec::transient);
        tokio::time::timeout(MINUTE, ensured).await
    });
    settle().await;
    crashing.tell(Crash("boom")).await.unwrap();
    let handle = ensured.await.unwrap().expect("answered").unwrap();
    assert_eq!(handle, leaving);
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    root.stop(MINUTE).await;
}
