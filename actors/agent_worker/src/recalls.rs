//! Shell: what a turn needs of long-term memory and documents: to find what may help, and to remember what was said. Who does it
//! is handed in, so that a conversation works without.

use domain::{Citation, ConversationId};
use futures_util::future::BoxFuture;

use crate::settings::MemorySettings;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recollection {
    /// Best first.
    pub citations: Vec<Citation>,
    /// What the model is shown of it; within the settings' tokens.
    pub text: String,
}

/// Finds and remembers.
pub trait Recalls: Send + Sync {
    /// What may help to answer `text`. A failure is logged, and the turn goes on without.
    fn recall(
        &self,
        conversation: &ConversationId,
        text: &str,
        settings: &MemorySettings,
    ) -> BoxFuture<'static, Result<Recollection, String>>;

    /// Keeps what was said and answered. A failure is logged.
    fn remember(
        &self,
        conversation: &ConversationId,
        text: &str,
        answer: &str,
    ) -> BoxFuture<'static, Result<(), String>>;
}
