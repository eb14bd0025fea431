//! Shell: what a turn needs of long-term memory and documents: to find what may help, and to remember what was said. Who does it
//! is handed in, so that a conversation works without.

use std::sync::Arc;

use domain::{Citation, ConversationId};
use futures_util::future::BoxFuture;
use toolbox::Tool;

use crate::settings::MemorySettings;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recollection {
    /// Best first.
    pub citations: Vec<Citation>,
    /// What the model is shown of it; within the settings' tokens.
    pub text: String,
    /// Why words alone were searched, or nothing at all; `None` if meanings were, too.
    pub without_meaning: Option<String>,
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
        settings: &MemorySettings,
    ) -> BoxFuture<'static, Result<(), String>>;

    /// The tools by which a model of a turn with these settings finds and remembers by itself; none where there are none.
    fn tools(&self, _: &MemorySettings) -> Vec<Arc<dyn Tool>> {
        Vec::new()
    }
}
