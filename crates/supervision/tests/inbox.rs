//! What an actor has inside: its alarm, its private messages, and word of a stop.

use crate::common;

use common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{Birth, ChildSpec, ChildState, Inbox};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn an_alarm_comes_once_and_the_last_setting_counts() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    log.take();
    handle.ask(Wake(ms(500)), SECOND).await.unwrap();
    handle.ask(Wake(ms(100)), SECOND).await.unwrap();
    tokio::time::sleep(ms(90)).await;
    assert_eq!(log.take(), [""; 0]);
    tokio::time::sleep(ms(20)).await;
    assert_eq!(log.take(), ["a alarm"]);
    tokio::time::sleep(SECOND).await;
    assert_eq!(log.take(), [""; 0]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_is_due_goes_before_a_full_queue() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    log.take();
    handle.tell(Wake(ms(10))).await.unwrap();
    handle.tell(Linger(ms(20))).await.unwrap();
    handle.tell(Say(1)).await.unwrap();
    handle.ask(Say(2), SECOND).await.unwrap();
    assert_eq!(log.take(), ["a lingered", "a alarm", "a 1", "a 2"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn an_alarm_of_a_former_life_never_rings() {
    let log = Log::default();
    let (a, handle) = Orders::new("a", &log).spec();
    let root = started(root().child(a)).await;
    handle.tell(Wake(ms(100))).await.unwrap();
    handle.tell(Crash("boom")).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert!(!log.take().contains(&"a alarm".to_owned()));
    root.stop(MINUTE).await;
}

/// Works beside its handler and tells itself the end.
struct Worker {
    log: Log,
    me: ActorRef<Self>,
    inbox: Inbox<Self>,
    tasks: JoinSet<()>,
}

impl Actor for Worker {
    type Args = Birth<Self, Log>;
    type Error = Infallible;
    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            log: birth.seed,
            me,
            inbox: birth.inbox,
            tasks: JoinSet::new(),
        })
    }
    supervision::receive_from!(inbox);
}

struct Work(u64);
struct Worked;

impl Message<Work> for Worker {
    type Reply = ();
    async fn handle(&mut self, Work(takes): Work, _: &mut Context<Self, ()>) {
        assert!(takes != 13, "unlucky");
        let (me, guard) = (self.me.clone(), self.inbox.work(format!("work of {takes}")));
        let (log, stopping) = (self.log.clone(), self.inbox.stopping());
        self.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(ms(takes)) => {}
                () = stopping => log.note("hears of the stop"),
            }
            drop(me.tell(Worked).await);
            drop(guard);
        });
    }
}

impl Message<Worked> for Worker {
    type Reply = ();
    async fn handle(&mut self, _: Worked, _: &mut Context<Self, ()>) {
        let stopping = self.inbox.is_stopping();
        self.log.note(format!("worked, stopping: {stopping}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_heard_by_work_and_its_private_result_is_still_handled() {
    let log = Log::default();
    let (worker, handle) = ChildSpec::actor::<Worker, _>("w", 4, log.clone());
    let root = started(root().child(worker)).await;
    handle.ask(Work(60_000), SECOND).await.unwrap();
    let report = root.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    assert!(report.took < ms(5), "{:?}", report.took);
    assert_eq!(log.take(), ["hears of the stop", "worked, stopping: true"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_private_of_a_former_life_arrives_in_the_next() {
    let log = Log::default();
    let (worker, handle) = ChildSpec::actor::<Worker, _>("w", 4, log.clone());
    let root = started(root().child(worker)).await;
    handle.tell(Work(50)).await.unwrap();
    handle.tell(Work(13)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(handle.state(), ChildState::Up);
    assert_eq!(log.take(), [""; 0]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_tree_whose_start_is_given_up_stops_what_it_started() {
    let log = Log::default();
    let (a, first) = Orders::new("a", &log).spec();
    let (b, _) = Orders::new("b", &log).start_takes(MINUTE).spec();
    let spec = root().child(a).child(b.shutdown(brief()));
    let begun = Instant::now();
    assert!(tokio::time::timeout(SECOND, start(spec)).await.is_err());
    tokio::time::sleep(SECOND).await;
    assert_eq!(first.state(), ChildState::Down);
    assert_eq!(
        log.take(),
        ["a starting", "a started", "b starting", "a stopped"]
    );
    assert!(begun.elapsed() < SECOND * 3);
}
