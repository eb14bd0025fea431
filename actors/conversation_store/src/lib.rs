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
mod batch;
mod berth;
pub mod client;
pub mod config;
pub mod control_log;
mod conversations;
pub mod error;
pub mod limits;
pub mod memories;
pub mod messages;
mod process;
mod schema;
pub mod search;
mod transfer;
mod turn_log;
mod vector_functions;
mod wire;
mod work;

pub use actor::{CACHE, CHILD_ID, ConversationStore, StoreSeed, WAITING, WAITING_BYTES, child};
pub use archive::Archive;
pub use config::StoreConfig;
pub use error::StoreError;
