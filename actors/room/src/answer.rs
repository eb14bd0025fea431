//! Shell: the task that carries one answer from the conversation's worker into its room. It is a child of its own: whoever
//! asked may go, crash or be killed, and the answer goes on.

use std::sync::Arc;
use std::time::Duration;

use agent_worker::{Agents, TurnSettings, TurnStream};
use domain::{ConversationId, RequestId, TurnEvent, UserId};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, OptionFuture};
use supervision::{AskError, Handle, TaskContext, TaskError};
use tokio::sync::oneshot;
use tokio::time::timeout;
use typing::{Lend, Typing, TypingError, TypingLease};

use crate::board::Carried;
use crate::record::{AskedTurn, Record};
use crate::room::Kept;

/// The name by which the agent is seen typing.
pub const AGENT: &str = "assistant";
/// How long the typing actor may take to answer: it never waits for anything.
const LENDING: Duration = Duration::from_secs(5);
/// How long the worker of an answer that was stopped may take to end it: a step of the model, and a write.
const ENDING: Duration = Duration::from_secs(15);
/// How long it may take to read what was written down of an answer, behind whatever else waits for the disk.
const KEEPING: Duration = Duration::from_secs(15);

/// What is carried, by whom.
pub(crate) struct Errand {
    pub(crate) carried: Carried,
    pub(crate) agents: Agents,
    pub(crate) typing: Handle<Typing>,
    pub(crate) record: Option<Arc<dyn Record>>,
    /// Who asked, and their client's name for it.
    pub(crate) asker: (UserId, String),
    pub(crate) text: String,
    pub(crate) settings: TurnSettings,
}

/// Asks, carries everything into the room until the answer has ended, and then tells what was written down of it. A graceful
/// stop waits for it; past the deadline it is dropped, and the answer ends with an error.
pub(crate) async fn carry(errand: Errand, context: TaskContext) -> Result<(), TaskError> {
    let Errand {
        carried,
        agents,
        typing,
        record,
        asker,
        text,
        settings,
    } = errand;
    context.ready();
    let asked = agents
        .ask_as(carried.turn.clone(), &carried.conversation, text, settings)
        .await;
    let record = record.as_deref();
    match asked {
        Ok(answer) => {
            let (begun, begins) = oneshot::channel();
            let showing = carried.show(answer, &typing, begun);
            let naming = carried.name(begins, record, &asker);
            let (rest, ()) = tokio::join!(showing, naming);
            if let Some(rest) = rest {
                carried.see_off(rest, &agents).await;
            }
        }
        Err(error) => carried.refused(error.to_string()),
    }
    let (_, nonce) = asker;
    carried.written(record, nonce).await;
    Ok(())
}

type Lending = BoxFuture<'static, Result<TypingLease, AskError<TypingError>>>;

/// Asks to be shown as typing. Nobody waits for it: the answer goes on meanwhile.
fn lend(typing: &Handle<Typing>, conversation: &ConversationId) -> Lending {
    let wish = Lend {
        conversation: conversation.clone(),
        user: UserId::new(AGENT),
    };
    let typing = typing.clone();
    Box::pin(async move { typing.ask(wish, LENDING).await })
}

impl Carried {
    /// Carries the answer into the room to its end, and says when it has begun; what is left of it, if the room wants it no
    /// more.
    async fn show(
        &self,
        mut answer: TurnStream,
        typing: &Handle<Typing>,
        begun: oneshot::Sender<()>,
    ) -> Option<TurnStream> {
        let mut begun = Some(begun);
        let mut shown: Option<TypingLease> = None;
        let mut lending = OptionFuture::from(None);
        let mut writes = false;
        loop {
            tokio::select! {
                Some(lent) = &mut lending, if writes && shown.is_none() => {
                    lending = OptionFuture::from(None);
                    match lent {
                        Ok(lent) => shown = Some(lent),
                        Err(error) => tracing::debug!(%error, "the agent is not shown as typing"),
                    }
                }
                event = answer.next() => {
                    let event = event?;
                    // Nothing runs before it is written down that it begins.
                    if !matches!(event, TurnEvent::Queued { .. } | TurnEvent::Failed(_))
                        && let Some(begun) = begun.take()
                    {
                        self.board.wrote();
                        // Fails only when nobody wants to know.
                        let _ = begun.send(());
                    }
                    if matches!(event, TurnEvent::Text(_)) && !writes {
                        writes = true;
                        lending = OptionFuture::from(Some(lend(typing, &self.conversation)));
                    }
                    let last = event.is_terminal();
                    if !self.hear(event) {
                        return (!last).then_some(answer);
                    }
                }
            }
        }
    }

    /// Somebody stopped it before its worker knew of it. What comes of it is not shown, but its end is waited for: then it
    /// is known what was written down.
    async fn see_off(&self, mut rest: TurnStream, agents: &Agents) {
        let end = async {
            if let Err(error) = agents.cancel(&self.conversation, &self.turn).await {
                tracing::debug!(%error, "a stopped answer is dropped");
                return;
            }
            while rest.next().await.is_some() {}
        };
        if timeout(ENDING, end).await.is_err() {
            tracing::debug!(turn = %self.turn, "a stopped answer does not end, and is dropped");
        }
    }

    /// Writes down who asked, once there is something to write it beside.
    async fn name(
        &self,
        begins: oneshot::Receiver<()>,
        record: Option<&dyn Record>,
        (by, nonce): &(UserId, String),
    ) {
        let (Some(record), Ok(())) = (record, begins.await) else {
            return;
        };
        let asked = AskedTurn {
            conversation: self.conversation.clone(),
            turn: self.turn.clone(),
            by: by.clone(),
            nonce: nonce.clone(),
        };
        let turn = &self.turn;
        match timeout(KEEPING, record.begun(asked)).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => tracing::warn!(%turn, reason, "who asked is not written down"),
            Err(_) => tracing::warn!(%turn, "who asked is not known to be written down"),
        }
    }

    /// Tells what was written down; nothing, where that is not known: then what was seen stays.
    async fn written(&self, record: Option<&dyn Record>, nonce: String) {
        let kept = match record {
            None => Kept::default(),
            Some(record) => {
                let ended = record.ended(self.conversation.clone(), self.turn.clone());
                let read = timeout(KEEPING, ended).await;
                let late = || Err(format!("nothing came within {KEEPING:?}"));
                read.unwrap_or_else(|_| late()).unwrap_or_else(|reason| {
                    let turn = &self.turn;
                    tracing::warn!(%turn, reason, "what was written down of an answer is not shown");
                    Kept::default()
                })
            }
        };
        self.board.turn(&self.conversation, |room| {
            (room.kept(&self.turn, nonce, kept), ())
        });
        self.board.wrote();
    }

    /// Whether the answer is still wanted: somebody may have stopped it before its worker knew of it.
    fn hear(&self, event: TurnEvent) -> bool {
        let turn: &RequestId = &self.turn;
        self.board.turn(&self.conversation, |room| {
            let event = room.hear(turn, event);
            (event, room.is_under_way(turn))
        })
    }

    fn refused(&self, error: String) {
        self.board.turn(&self.conversation, |room| {
            (room.refused(&self.turn, error), ())
        });
    }
}
