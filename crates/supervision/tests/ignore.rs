//! Starts that find themselves unwanted: neither a failure nor a life.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use crate::common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::*;
use supervision::kameo::actor::{Actor, ActorRef, WeakActorRef};
use supervision::kameo::error::ActorStopReason;
use supervision::kameo::message::{Context, Message};
use supervision::{
    AskError, Backoff, Birth, ChildSpec, ChildState, DownReason, Handle, Inbox, TaskContext,
};

/// What `on_start` does after it has said that it is not wanted.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Starts,
    Fails,
    Panics,
    /// Says so only in its second life.
    Crashes,
}

struct Shy {
    log: Log,
    inbox: Inbox<Self>,
}

impl Actor for Shy {
    type Args = Birth<Self, (Log, Then)>;
    type Error = String;

    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, String> {
        let ((log, then), mut inbox) = (birth.seed, birth.inbox);
        log.note(format!("start {}", inbox.incarnation()));
        if then != Then::Crashes || inbox.incarnation() == 2 {
            inbox.ignore();
        }
        match then {
            Then::Fails => Err("no such luck".to_owned()),
            Then::Panics => panic!("a bug"),
            Then::Starts | Then::Crashes => Ok(Self { log, inbox }),
        }
    }

    supervision::receive_from!(inbox);

    async fn on_stop(&mut self, _: WeakActorRef<Self>, _: ActorStopReason) -> Result<(), String> {
        self.log.note("stop");
        Ok(())
    }
}

impl Message<Say> for Shy {
    type Reply = u32;
    async fn handle(&mut self, Say(n): Say, _: &mut Context<Self, u32>) -> u32 {
        // Too late: it is ready.
        self.inbox.ignore();
        self.log.note(n.to_string());
        assert!(n != 13, "unlucky");
        n
    }
}

fn shy(log: &Log, then: Then) -> (ChildSpec, Handle<Shy>) {
    let (spec, handle) = ChildSpec::actor("shy", 4, (log.clone(), then));
    (spec.backoff(Backoff::none()), handle)
}

#[tokio::test(start_paused = true)]
async fn an_ignored_start_is_no_failure_whatever_it_returns_and_handles_nothing() {
    for (then, ended) in [
        (Then::Starts, &["start 1", "stop"][..]),
        (Then::Fails, &["start 1"]),
    ] {
        let log = Log::default();
        let (spec, handle) = shy(&log, then);
        let (after, other) = Orders::new("after", &Log::default()).spec();
        handle.tell(Say(1)).await.unwrap();
        let asks = aside({
            let handle = handle.clone();
            async move { handle.ask(Say(2), MINUTE).await }
        });
        settle().await;
        let tree = started(root().child(spec).child(after)).await;
        assert_eq!(log.take(), ended);
        assert_eq!(handle.state(), ChildState::Down);
        assert_eq!(other.ask(Say(3), SECOND).await.unwrap(), 3);
        let answer = asks.await.unwrap().unwrap_err();
        let ignored = DownReason::Ignored;
        assert!(
            matches!(&answer, AskError::Down { reason, .. } if *reason == ignored),
            "{answer}"
        );
        tree.stop(MINUTE).await;
        assert_eq!(log.take(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_start_stays_a_failure() {
    let log = Log::default();
    let (spec, _handle) = shy(&log, Then::Panics);
    let failed = start(root().child(spec)).await.err().unwrap();
    assert!(failed.to_string().contains("a bug"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_later_life_may_find_itself_unwanted_and_the_queue_is_answered() {
    let log = Log::default();
    let (spec, handle) = shy(&log, Then::Crashes);
    let tree = started(root().child(spec)).await;
    assert_eq!(handle.ask(Say(1), SECOND).await.unwrap(), 1);
    assert_eq!(handle.state(), ChildState::Up, "too late to be ignored");
    handle.tell(Say(13)).await.unwrap();
    let answer = handle.ask(Say(2), SECOND).await.unwrap_err();
    assert!(
        matches!(
            answer,
            AskError::Down {
                reason: DownReason::Ignored,
                ..
            }
        ),
        "{answer}"
    );
    assert_eq!(
        log.take(),
        ["start 1", "1", "13", "stop", "start 2", "stop"]
    );
    tree.stop(MINUTE).await;
}

fn task(
    starts: &Arc<AtomicU32>,
    does: impl Fn(&TaskContext) -> Result<(), &'static str> + Send + Sync + Copy + 'static,
) -> ChildSpec {
    let starts = starts.clone();
    ChildSpec::task("job", move |context: TaskContext| {
        starts.fetch_add(1, Ordering::SeqCst);
        async move { does(&context).map_err(Into::into) }
    })
    .backoff(Backoff::none())
}

#[tokio::test(start_paused = true)]
async fn a_task_may_find_itself_unwanted_and_is_not_started_again() {
    let starts = Arc::default();
    let job = task(&starts, |context| {
        context.ignore();
        Ok(())
    });
    let (after, other) = Orders::new("after", &Log::default()).spec();
    let tree = started(root().child(job).child(after)).await;
    assert_eq!(other.ask(Say(3), SECOND).await.unwrap(), 3);
    tokio::time::sleep(SECOND).await;
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    tree.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_after_all_has_failed() {
    let starts = Arc::default();
    let job = task(&starts, |context| {
        context.ignore();
        Err("no such luck")
    });
    let failed = start(root().child(job)).await.err().unwrap();
    assert!(failed.to_string().contains("no such luck"), "{failed}");
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_ready_cannot_be_unwanted() {
    let starts = Arc::default();
    let job = task(&starts, |context| {
        context.ready();
        context.ignore();
        Ok(())
    });
    // Rests between its lives: one that ends at once would not let the paused clock move.
    let tree = started(root().child(job.backoff(Backoff::default()))).await;
    tokio::time::sleep(SECOND).await;
    assert!(
        starts.load(Ordering::SeqCst) > 1,
        "permanent, so started again"
    );
    tree.stop(MINUTE).await;
}
