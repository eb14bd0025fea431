//! Conversations at rest, without a model: a tree of one, the store, for whoever lists, searches, exports or removes.
//!
//! Another process may have the same file open; each write of either is whole.

use std::sync::Arc;
use std::time::Duration;

use conversation_store::{ConversationStore, StoreConfig, StoreError};
use runtime::{Clock, CoarseClock};
use supervision::{Events, Handle, RootHandle, StartTreeError, SupervisorSpec, start_root};

/// What is written is on the disk before it is answered, so there is little to wait for.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Why conversations cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file is refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tree did not start.
    #[error(transparent)]
    Tree(#[from] StartTreeError),
}

/// The conversations of this user. Ask [`History::store`] with [`conversation_store::client::ask`].
pub struct History {
    root: RootHandle,
    store: Handle<ConversationStore>,
}

impl History {
    /// Opens the file, and makes it if there is none. Needs a runtime.
    ///
    /// # Errors
    /// The file is damaged, newer, not ours, or cannot be used; nothing was changed then.
    pub async fn open(config: StoreConfig) -> Result<Self, HistoryError> {
        let archive = conversation_store::client::open(config, now_ms()).await?;
        let (child, store) =
            conversation_store::child(archive, None, Arc::new(CoarseClock::default()));
        let spec = SupervisorSpec::new("history").child(child);
        let root = start_root(spec, Events::default()).await?;
        Ok(Self { root, store })
    }

    /// Whom to ask.
    pub const fn store(&self) -> &Handle<ConversationStore> {
        &self.store
    }

    /// Stops in order. Dropping it does so too, without waiting.
    pub async fn close(self) {
        self.root.stop(SHUTDOWN).await;
    }
}

/// What a request to the store is stamped with: milliseconds since 1970.
pub fn now_ms() -> i64 {
    CoarseClock::default().stamp().0
}
