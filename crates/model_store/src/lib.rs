//! Models on disk: which there are, where they come from, and how one arrives whole or not at all.
//!
//! Invariants: a file under a model's name is always complete and, where the catalogue knows it, has the catalogue's
//! checksum; what is on its way lies in a folder of its own that goes when the pull ends, however it ends. Nothing
//! here starts an OS thread: files are read and written on tokio's blocking pool, and `pip` is a child process that
//! does not outlive the future that wanted it.

pub mod catalogue;
pub mod error;
pub mod installed;
pub mod name;
pub mod record;
pub mod store;

mod folder;
mod hugging_face;
mod incoming;
mod intake;
mod pip;
mod pull;
mod wheel;

pub use catalogue::{Companion, DEFAULT_MODEL, EMBEDDING_MODEL, Entry, Kind, Source};
pub use error::{Attempt, DiskError, PullError, ResolveError, SourceError, StoreError};
pub use installed::{Installed, Shown, Verdict};
pub use name::{HubFile, Wanted};
pub use pull::PullEvent;
pub use record::Record;
pub use store::{Store, StoreConfig};
