//! Shell: the task that carries one answer from the conversation's worker into its room. It is a child of its own: whoever
//! asked may go, crash or be killed, and the answer goes on.

use std::sync::Arc;
use std::time::Duration;

use agent_worker::{Agents, TurnSettings, TurnStream};
use domain::{ConversationId, RequestId, TurnEvent, UserId};
use futures_util::future::{BoxFuture, OptionFuture};
use supervision::{AskError, Handle, TaskContext, TaskError};
use tokio::sync::oneshot;
use tokio::time::timeout;
use typing::{Lend, Typing, TypingError, TypingLease};

use crate::board::Carried;
use crate::client::Held;
use crate::record::{AskedTurn, Record};
use crate::room::Kept;

/// The name by which the agent is seen typing.
pub const AGENT: &str = "assistant";
/// How long the typing actor may take to answer: it never waits for anything.
const LENDING: Duration = Duration::from_secs(5);
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
    pub(crate) begin: Begin,
    pub(crate) settings: TurnSettings,
    /// Given back when the answer has ended, before anybody hears of it: whoever asks then has room.
    pub(crate) held: Option<Held>,
}

/// How an answer begins.
pub(crate) enum Begin {
    /// This is asked.
    Ask(String),
    /// A dead process had begun it.
    GoOn,
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
        begin,
        settings,
        held,
    } = errand;
    context.ready();
    let (turn, conversation) = (carried.turn.clone(), &carried.conversation);
    let asked = match begin {
        Begin::Ask(text) => {
            let asked = agents.ask_as(turn, conversation, text, settings).await;
            asked.map(Some)
        }
        // The oldest that was left: the one that was found.
        Begin::GoOn => agents.continue_turn(conversation, settings).await,
    };
    let record = record.as_deref();
    match asked {
        Ok(None) => carried.refused("it was gone on with elsewhere; look again".to_owned()),
        Ok(Some(answer)) => {
            let (begun, begins) = oneshot::channel();
            let showing = carried.show(answer, &typing, begun, held);
            let naming = carried.name(begins, record, &asker);
            tokio::join!(showing, naming);
        }
        Err(error) => {
            drop(held);
            carried.refused(error.to_string());
        }
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
    /// Carries the answer into the room to its end, and says when it has begun. One that the room wants no more was stopped
    /// before its worker knew of it: it is dropped, and nothing of it was said.
    async fn show(
        &self,
        mut answer: TurnStream,
        typing: &Handle<Typing>,
        begun: oneshot::Sender<()>,
        mut held: Option<Held>,
    ) {
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
                    let Some(event) = event else { return };
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
                    if matches!(event, TurnEvent::Finished { .. } | TurnEvent::Failed(_)) {
                        drop(held.take());
                    }
                    if !self.hear(event) {
                        return;
                    }
                }
            }
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
