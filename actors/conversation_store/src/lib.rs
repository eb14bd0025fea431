//! Conversations, turns and memories at rest: one SQLite file, written by one actor.
//!
//! ```text
//!  askers ── BeginTurn, Search, … ──> conversation_store ── a batch and the connection ──> blocking thread
//!     ^                                     ^   what waits goes into the next batch             │ one transaction,
//!     └── answers, after the commit ────────┴────────────── home ───────────────────────────────┘ a savepoint each
//! ```
//!
//! Invariants: nothing is acknowledged that is not on the disk; no handler waits for the disk; no file is changed that is
//! damaged, newer, or not ours.

mod actor;
mod archive;
#[cfg(test)]
mod archive_tests;
mod batch;
#[cfg(test)]
mod batch_tests;
mod berth;
pub mod client;
pub mod config;
pub mod control_log;
#[cfg(test)]
mod control_log_tests;
mod conversations;
#[cfg(test)]
mod crash_tests;
pub mod error;
mod hold;
pub mod limits;
pub mod memories;
pub mod messages;
#[cfg(test)]
mod model_tests;
mod newest;
mod process;
#[cfg(test)]
mod proving;
mod schema;
pub mod search;
#[cfg(test)]
mod search_tests;
mod transfer;
mod turn_log;
#[cfg(test)]
mod turn_log_tests;
mod vector_functions;
mod wire;
mod work;

pub use actor::{CACHE, CHILD_ID, ConversationStore, StoreSeed, WAITING, WAITING_BYTES, child};
pub use archive::Archive;
pub use config::StoreConfig;
pub use error::StoreError;
