//! Shell: what of turns and histories is at rest. Each answer comes when it is on the disk; where nothing is kept, each
//! comes at once.

use std::fmt;
use std::sync::Arc;

use conversation_store::messages::{
    BeginTurn, EndTurn, OpenTurns, ReadHistory, RecordStep, ReplaceHistory, ResumeTurn, StepRecord,
    TurnRecord, TurnState,
};
use conversation_store::{ConversationStore, StoreError, client};
use domain::{ConversationId, GenerationError, Message, RequestId};
use supervision::Handle;

/// How many of a conversation's messages are read back: more than any window of the models run here holds.
const LAST: usize = 2000;

/// The wall clock, in milliseconds since 1970-01-01 UTC.
pub type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The way to the store, or to nothing.
#[derive(Clone, Default)]
pub(crate) struct Keeper(Option<(Handle<ConversationStore>, WallClock)>);

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keeper").field(&self.0.is_some()).finish()
    }
}

impl Keeper {
    pub(crate) fn new(store: Handle<ConversationStore>, clock: WallClock) -> Self {
        Self(Some((store, clock)))
    }

    /// Whether anything is kept.
    pub(crate) fn keeps(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) async fn begin(
        &self,
        conversation: &ConversationId,
        turn: &RequestId,
        user: &Message,
    ) -> Result<(), GenerationError> {
        let Some((store, clock)) = &self.0 else {
            return Ok(());
        };
        let begin = BeginTurn {
            conversation: conversation.clone(),
            turn: turn.clone(),
            user: user.clone(),
            now_ms: clock(),
        };
        // Asked again just as it was, it changes nothing.
        match client::ask(store, begin.clone()).await {
            Err(StoreError::Unknown { .. }) => client::ask(store, begin).await,
            done => done,
        }
        .map_err(refused)
    }

    pub(crate) async fn record(
        &self,
        turn: &RequestId,
        step: StepRecord,
    ) -> Result<(), GenerationError> {
        let Some((store, clock)) = &self.0 else {
            return Ok(());
        };
        let record = RecordStep {
            turn: turn.clone(),
            step,
            now_ms: clock(),
        };
        match client::ask(store, record.clone()).await {
            Err(StoreError::Unknown { .. }) => client::ask(store, record).await,
            done => done,
        }
        .map_err(refused)
    }

    pub(crate) async fn end(
        &self,
        turn: &RequestId,
        state: TurnState,
        messages: Vec<Message>,
    ) -> Result<(), GenerationError> {
        let Some((store, clock)) = &self.0 else {
            return Ok(());
        };
        let end = EndTurn {
            turn: turn.clone(),
            state,
            messages,
            now_ms: clock(),
        };
        match client::ask(store, end.clone()).await {
            Err(StoreError::Unknown { .. }) => client::ask(store, end).await,
            done => done,
        }
        .map(drop)
        .map_err(refused)
    }

    /// The end of a conversation's history; nothing if there is none.
    pub(crate) async fn history(
        &self,
        conversation: &ConversationId,
    ) -> Result<Vec<Message>, GenerationError> {
        let Some((store, _)) = &self.0 else {
            return Ok(Vec::new());
        };
        let conversation = conversation.clone();
        let last = LAST;
        let read = client::ask(store, ReadHistory { conversation, last }).await;
        let read = read.map_err(refused)?;
        Ok(read.into_iter().map(|stored| stored.message).collect())
    }

    pub(crate) async fn replace(
        &self,
        conversation: &ConversationId,
        messages: Vec<Message>,
    ) -> Result<(), GenerationError> {
        let Some((store, clock)) = &self.0 else {
            return Ok(());
        };
        let replace = ReplaceHistory {
            conversation: conversation.clone(),
            messages,
            now_ms: clock(),
        };
        client::ask(store, replace).await.map(drop).map_err(refused)
    }

    /// The oldest turn of this conversation that a dead process left, taken up again.
    pub(crate) async fn resume(
        &self,
        conversation: &ConversationId,
    ) -> Result<Option<TurnRecord>, GenerationError> {
        let Some((store, clock)) = &self.0 else {
            return Ok(None);
        };
        let conversation = conversation.clone();
        let open = client::ask(store, OpenTurns { conversation }).await;
        let open = open.map_err(refused)?;
        let left = open
            .into_iter()
            .find(|turn| turn.state == TurnState::Interrupted);
        let Some(left) = left else {
            return Ok(None);
        };
        let (turn, now_ms) = (left.turn, clock());
        let resumed = client::ask(store, ResumeTurn { turn, now_ms }).await;
        resumed.map(Some).map_err(refused)
    }
}

fn refused(error: StoreError) -> GenerationError {
    match error {
        StoreError::Invalid(field) => GenerationError::Invalid(field),
        other => GenerationError::Unavailable {
            part: "conversation_store".into(),
            reason: other.to_string(),
        },
    }
}
