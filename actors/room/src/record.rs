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
}
