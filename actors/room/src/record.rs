//! Shell: what a room needs of wherever turns are written down. Nothing here knows a store.

use domain::{ConversationId, RequestId, UserId};
use futures_util::future::BoxFuture;

use crate::room::Kept;

/// A turn, and who asked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedTurn {
    /// Where.
    pub conversation: ConversationId,
    /// Which.
    pub turn: RequestId,
    /// Who asked.
    pub by: UserId,
    /// Their client's name for the question.
    pub nonce: String,
}

/// A turn that a process began and did not end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftTurn {
    /// Which.
    pub turn: RequestId,
    /// Who asked.
    pub by: UserId,
    /// Their client's name for the question.
    pub nonce: String,
    /// What was asked.
    pub text: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Where turns are written down.
pub trait Record: Send + Sync {
    /// Writes down who asked. It is written down already that the turn has begun. An error in words, within a deadline.
    fn begun(&self, asked: AskedTurn) -> BoxFuture<'static, Result<(), String>>;

    /// What is written down of the turn: its worker has ended it there before its stream ended. An error in words, within a
    /// deadline.
    fn ended(
        &self,
        conversation: ConversationId,
        turn: RequestId,
    ) -> BoxFuture<'static, Result<Kept, String>>;

    /// The turn of that conversation that a dead process left, if nothing was said since; none where that is not known. An
    /// error in words, within a deadline.
    fn left(
        &self,
        conversation: ConversationId,
    ) -> BoxFuture<'static, Result<Option<LeftTurn>, String>> {
        drop(conversation);
        Box::pin(std::future::ready(Ok(None)))
    }
}
