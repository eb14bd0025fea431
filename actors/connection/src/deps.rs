//! Shell: what a connection needs of others. What waits for the disk is asked through a trait, so that nothing here knows
//! a store.

use std::sync::Arc;

use agent_worker::TurnSettings;
use domain::{ConversationId, FieldError};
use futures_util::future::BoxFuture;
use room::Rooms;
use supervision::Handle;
use tokio::sync::watch;
use typing::Typing;

use crate::session::Limits;
use crate::translate::Said;
use crate::wire::room::{ConversationLine, TreeNode};

/// What was said, wherever it is kept.
pub trait History: Send + Sync {
    /// What was said in a conversation behind this number, at most what one page shows; an error in words.
    fn messages(
        &self,
        conversation: ConversationId,
        after: Option<u64>,
    ) -> BoxFuture<'static, Result<Said, String>>;

    /// The conversations there are, newest first; an error in words.
    fn conversations(&self) -> BoxFuture<'static, Result<Vec<ConversationLine>, String>>;
}

/// What a turn is run with, where its asker chose a model or a temperature, or did not.
pub type Settings =
    dyn Fn(Option<&str>, Option<f32>) -> Result<TurnSettings, FieldError> + Send + Sync;

/// What every connection of a tree shares.
#[derive(Clone)]
pub struct Deps {
    /// Where conversations are shown.
    pub rooms: Rooms,
    /// Who types.
    pub typing: Handle<Typing>,
    /// What was said.
    pub history: Arc<dyn History>,
    /// What turns are run with.
    pub settings: Arc<Settings>,
    /// The supervision tree as it was last looked at. Nobody looks while nobody watches.
    pub tree: watch::Receiver<Arc<[TreeNode]>>,
    /// The wall clock, in milliseconds since 1970.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// The bounds of each session.
    pub limits: Limits,
    /// Conversations that one connection may show at once.
    pub joined: usize,
}
