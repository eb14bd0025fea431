//! Shell: what a room needs of wherever turns are written down. Nothing here knows a store.

use domain::{ConversationId, RequestId, UserId};
use futures_util::future::BoxFuture;

use crate::room::Kept;

/// A turn that has ended, and who asked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedTurn {
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
    /// Writes down who asked, and reads what is written down of the turn: its worker has ended it there before its stream
    /// ended. An error in words; it has a deadline of its own.
    fn ended(&self, turn: EndedTurn) -> BoxFuture<'static, Result<Kept, String>>;
}
