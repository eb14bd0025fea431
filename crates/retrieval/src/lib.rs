//! Finding again: memories and documents, by meaning and by words.
//!
//! ```text
//!  remember ─┐                 ┌─ Embeds: the model host ── a vector, or why there is none
//!  recall ───┼──> Retrieval ───┤
//!  documents ┘                 └─ conversation_store ── candidates by words, candidates by meaning
//!                                        └──> fusion (reciprocal rank) ──> decay (age, read now) ──> Answer
//! ```
//!
//! Invariants: no age is written; a search by words alone says that it is one, and why; no failure looks like "nothing was
//! found"; nothing here starts a task or keeps a memory.

pub mod content;
pub mod decay;
pub mod documents;
pub mod embeds;
pub mod error;
pub mod files;
pub mod found;
pub mod fusion;
pub mod pieces;
pub mod ranking;
pub mod retrieval;
pub mod tools;

pub use decay::Decay;
pub use documents::{Added, Progress};
pub use embeds::{Embeds, HostedModel, Meanings};
pub use error::RetrievalError;
pub use files::Refused;
pub use found::{Answer, Basis, Found, How, within};
pub use ranking::Weighing;
pub use retrieval::{CaughtUp, Note, Noted, Retrieval, RetrievalConfig};
pub use tools::{RecallTool, RememberTool};

/// What is stored, in the store's words.
pub use conversation_store::memories::{
    Document, DocumentId, Forget, ListMemories, Memory, MemoryId, MemoryKind, Origin, Place, Scope,
};
