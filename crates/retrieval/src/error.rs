//! Why nothing was remembered or recalled. A missing embedding model is none of these: then words alone are searched.

use std::time::Duration;

use conversation_store::StoreError;

/// Why retrieval failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetrievalError {
    /// The store refused, or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It took too long.
    #[error("memory did not answer within {after:?}: ask again, or go on without it")]
    TimedOut {
        /// How long it had.
        after: Duration,
    },
}
