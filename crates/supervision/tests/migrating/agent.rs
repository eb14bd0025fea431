//! A task for each turn, each within the one before, becomes one actor with one turn at a time: the work runs beside its
//! handlers, in a set that it owns, and tells its end.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{Birth, ChildSpec, Handle, Inbox, WorkGuard};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// What is asked of a model; here it takes its time and says how much history it got.
async fn answer(history: Vec<String>, question: &'static str) -> String {
    tokio::time::sleep(SECOND).await;
    assert!(question != "crash", "the model crashed");
    format!("{question}, after {}", history.len())
}

#[derive(Debug, PartialEq, Eq)]
enum TurnError {
    Busy,
    Crashed,
}

type Done = Result<String, TurnError>;

struct Conversation {
    history: Vec<String>,
    turn: Option<(oneshot::Sender<Done>, WorkGuard)>,
    tasks: JoinSet<()>,
    inbox: Inbox<Self>,
}

impl Actor for Conversation {
    type Args = Birth<Self, ()>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            history: Vec::new(),
            turn: None,
            tasks: JoinSet::new(),
            inbox: birth.inbox,
        })
    }

    supervision::receive_from!(inbox);
}

struct RunTurn {
    question: &'static str,
    reply_to: oneshot::Sender<Done>,
}

impl Message<RunTurn> for Conversation {
    type Reply = ();

    async fn handle(&mut self, turn: RunTurn, context: &mut Context<Self, ()>) {
        if self.turn.is_some() {
            // Who is told and has gone is no error.
            let _ = turn.reply_to.send(Err(TurnError::Busy));
            return;
        }
        self.turn = Some((turn.reply_to, self.inbox.work("a turn")));
        let (me, history) = (context.actor_ref().clone(), self.history.clone());
        self.tasks.spawn(async move {
            let said = AssertUnwindSafe(answer(history, turn.question)).catch_unwind();
            let ended = TurnEnded(said.await.map_err(|_| TurnError::Crashed));
            // An error means that this life is over.
            let _ = me.tell(ended).send().await;
        });
    }
}

/// Private to this life: it comes through the actor's own reference.
struct TurnEnded(Done);

impl Message<TurnEnded> for Conversation {
    type Reply = ();

    async fn handle(&mut self, TurnEnded(done): TurnEnded, _: &mut Context<Self, ()>) {
        while self.tasks.try_join_next().is_some() {}
        self.history.extend(done.iter().cloned());
        if let Some((reply_to, _work)) = self.turn.take() {
            let _ = reply_to.send(done);
        }
    }
}

async fn ask(
    conversation: &Handle<Conversation>,
    question: &'static str,
) -> oneshot::Receiver<Done> {
    let (reply_to, done) = oneshot::channel();
    let turn = RunTurn { question, reply_to };
    conversation.tell(turn).await.unwrap();
    done
}

#[tokio::test(start_paused = true)]
async fn one_turn_at_a_time_each_with_all_that_was_said() {
    let (spec, conversation) = ChildSpec::actor("conversation", 16, ());
    let root = started(root().child(spec)).await;
    let first = ask(&conversation, "one").await;
    let second = ask(&conversation, "two").await;
    assert_eq!(second.await.unwrap(), Err(TurnError::Busy));
    assert_eq!(first.await.unwrap().unwrap(), "one, after 0");
    let crashed = ask(&conversation, "crash").await;
    assert_eq!(crashed.await.unwrap(), Err(TurnError::Crashed));
    let third = ask(&conversation, "three").await;
    assert_eq!(third.await.unwrap().unwrap(), "three, after 1");
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_turn_under_way_and_names_what_it_gave_up() {
    let (spec, conversation) = ChildSpec::actor("conversation", 16, ());
    let root = started(root().child(spec.shutdown(brief()))).await;
    let cut = ask(&conversation, "one").await;
    let report = root.stop(MINUTE).await;
    assert!(cut.await.is_err(), "an answer that never came is no answer");
    let abandoned = format!("{:?}", report.abandoned);
    assert!(abandoned.contains("a turn"), "{abandoned}");
}
