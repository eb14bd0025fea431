//! What this crate believes about kameo 0.22, pinned: if one of these fails after an upgrade, read `inbox`, `actor_child`
//! and `handle` again.

use std::time::Duration;

use kameo::actor::{Actor, ActorRef, Spawn, WeakActorRef};
use kameo::error::{ActorStopReason, Infallible};
use kameo::mailbox::{MailboxReceiver, Signal};
use kameo::message::{Context, Message};
use tokio::sync::oneshot;

/// Receives only what is scripted, then ends.
struct Scripted {
    script: Vec<Say>,
    reply: Option<kameo::reply::BoxReplySender>,
    said: tokio::sync::mpsc::Sender<u32>,
}

struct Say(u32);

impl Actor for Scripted {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(args: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(args)
    }

    async fn next(
        &mut self,
        me: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<Signal<Self>>, Infallible> {
        assert!(
            matches!(mailbox.try_recv(), Ok(Signal::StartupFinished) | Err(_)),
            "kameo announces the end of on_start through the mailbox"
        );
        let (Some(message), Some(actor_ref)) = (self.script.pop(), me.upgrade()) else {
            return Ok(None);
        };
        Ok(Some(Signal::Message {
            message: Box::new(message),
            actor_ref,
            reply: self.reply.take(),
            sent_within_actor: true,
            message_name: "Say",
            caller_span: tracing::Span::none(),
        }))
    }
}

impl Message<Say> for Scripted {
    type Reply = u32;
    async fn handle(&mut self, Say(n): Say, _: &mut Context<Self, u32>) -> u32 {
        assert!(n != 13, "unlucky");
        self.said.send(n).await.ok();
        n
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_from_an_overridden_next_is_handled_and_none_ends_the_actor_normally() {
    let (said, mut heard) = tokio::sync::mpsc::channel(8);
    let (reply, answer) = oneshot::channel();
    let actor = Scripted {
        script: vec![Say(2), Say(1)],
        reply: Some(reply),
        said,
    };
    let prepared = Scripted::prepare_with_mailbox(kameo::mailbox::bounded(8));
    let _keep = prepared.actor_ref().clone();
    let (_, reason) = prepared.run(actor).await.unwrap();
    assert!(matches!(reason, ActorStopReason::Normal), "{reason:?}");
    assert_eq!((heard.recv().await, heard.recv().await), (Some(1), Some(2)));
    let answered = answer.await.unwrap().unwrap();
    assert_eq!(*answered.downcast::<u32>().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_drops_the_reply_sender_and_ends_the_run_with_its_text() {
    let (said, _heard) = tokio::sync::mpsc::channel(8);
    let (reply, answer) = oneshot::channel();
    let actor = Scripted {
        script: vec![Say(2), Say(13)],
        reply: Some(reply),
        said,
    };
    let prepared = Scripted::prepare_with_mailbox(kameo::mailbox::bounded(8));
    let _keep = prepared.actor_ref().clone();
    let (actor, reason) = prepared.run(actor).await.unwrap();
    let ActorStopReason::Panicked(error) = reason else {
        panic!("{reason:?}");
    };
    assert_eq!(error.with_str(str::to_owned).as_deref(), Some("unlucky"));
    assert!(answer.await.is_err(), "the asker is not left waiting");
    assert_eq!(actor.script.len(), 1, "nothing more was received");
}

struct Slow;

impl Actor for Slow {
    type Args = Duration;
    type Error = Infallible;
    async fn on_start(takes: Duration, _: ActorRef<Self>) -> Result<Self, Infallible> {
        tokio::time::sleep(takes).await;
        Ok(Self)
    }
}

impl Message<Duration> for Slow {
    type Reply = ();
    async fn handle(&mut self, takes: Duration, _: &mut Context<Self, ()>) {
        tokio::time::sleep(takes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_drops_a_handler_at_once_but_cannot_interrupt_on_start() {
    let begun = tokio::time::Instant::now();
    let prepared = Slow::prepare_with_mailbox(kameo::mailbox::bounded(8));
    let me = prepared.actor_ref().clone();
    let mut run = tokio::task::JoinSet::new();
    run.spawn(prepared.run(Duration::ZERO));
    me.tell(Duration::from_hours(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    me.kill();
    let (_, reason) = run.join_next().await.unwrap().unwrap().unwrap();
    assert!(matches!(reason, ActorStopReason::Killed), "{reason:?}");
    assert!(begun.elapsed() < Duration::from_millis(10));

    let prepared = Slow::prepare_with_mailbox(kameo::mailbox::bounded(8));
    prepared.actor_ref().kill();
    let _keep = prepared.actor_ref().clone();
    let begun = tokio::time::Instant::now();
    prepared.run(Duration::from_secs(1)).await.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "on_start ran to its end"
    );
}
