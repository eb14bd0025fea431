//! Shell: the task that carries one answer from the conversation's worker into its room. It is a child of its own: whoever
//! asked may go, crash or be killed, and the answer goes on.

use std::time::Duration;

use agent_worker::{Agents, TurnSettings};
use domain::{ConversationId, RequestId, TurnEvent, UserId};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, OptionFuture};
use supervision::{AskError, Handle, TaskContext, TaskError};
use typing::{Lend, Typing, TypingError, TypingLease};

use crate::board::Carried;

/// The name by which the agent is seen typing.
pub const AGENT: &str = "assistant";
/// How long the typing actor may take to answer: it never waits for anything.
const LENDING: Duration = Duration::from_secs(5);

/// What is carried, by whom.
pub(crate) struct Errand {
    pub(crate) carried: Carried,
    pub(crate) agents: Agents,
    pub(crate) typing: Handle<Typing>,
    pub(crate) text: String,
    pub(crate) settings: TurnSettings,
}

/// Asks, and carries everything into the room until the answer has ended. A graceful stop waits for it; past the deadline
/// it is dropped, and the answer ends with an error.
pub(crate) async fn carry(errand: Errand, context: TaskContext) -> Result<(), TaskError> {
    let Errand {
        carried,
        agents,
        typing,
        text,
        settings,
    } = errand;
    context.ready();
    let conversation = carried.conversation.clone();
    let asked = agents
        .ask_as(carried.turn.clone(), &conversation, text, settings)
        .await;
    let mut answer = match asked {
        Ok(answer) => answer,
        Err(error) => {
            carried.refused(error.to_string());
            return Ok(());
        }
    };
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
                let Some(event) = event else { return Ok(()) };
                if matches!(event, TurnEvent::Text(_)) && !writes {
                    writes = true;
                    lending = OptionFuture::from(Some(lend(&typing, &conversation)));
                }
                if !carried.hear(event) {
                    return Ok(());
                }
            }
        }
    }
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
