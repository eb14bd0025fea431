//! The asker's side: how the file is opened, and one question with a deadline and one kind of error.

use std::time::Duration;

use kameo::message::Message;
use supervision::{Answer, AskError, Handle, Refusal};

use crate::actor::ConversationStore;
use crate::archive::Archive;
use crate::config::StoreConfig;
use crate::error::StoreError;

/// Whatever is asked waits for the disk, for those before it, and for other processes that write.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Opens the file on the blocking pool; see [`Archive::open`]. It is read through once to see that it is whole, which
/// takes about as long as copying it.
///
/// # Errors
/// As [`Archive::open`].
pub async fn open(config: StoreConfig, now_ms: i64) -> Result<Archive, StoreError> {
    let path = config.shown();
    let opened = tokio::task::spawn_blocking(move || Archive::open(&config, now_ms)).await;
    opened.unwrap_or_else(|error| {
        Err(StoreError::Disk {
            path,
            reason: error.to_string(),
        })
    })
}

/// Asks the store. Any message of [`crate::messages`] is a question.
///
/// # Errors
/// The store's; `Unknown` if it ended or the time was over while it held the question, `Unavailable` if it was not
/// carried out.
pub async fn ask<M>(
    store: &Handle<ConversationStore>,
    message: M,
) -> Result<Answer<ConversationStore, M>, StoreError>
where
    ConversationStore: Message<M>,
    M: Send + 'static,
    Refusal<ConversationStore, M>: Into<StoreError>,
{
    store.ask(message, DEADLINE).await.map_err(|error| {
        let reason = error.to_string();
        match error {
            AskError::Handler(error) => error.into(),
            AskError::Down { .. } => StoreError::Unavailable { reason },
            AskError::Crashed { .. } | AskError::Timeout { .. } => StoreError::Unknown { reason },
        }
    })
}
