//! Settings that are checked by field, versioned, written whole and told to all.
//!
//! ```text
//!  defaults < file < environment < flags ──> check ──> Settings, each value with its origin
//!  asker ── Update{expected} ──> plan ──> write (blocking pool) ──> commit ──> answer, subscribers
//! ```
//!
//! Invariants: no setting is used that was not checked, no accepted change is lost, none is answered before it is on the
//! disk, and nobody who asks waits for somebody else's write.

mod actor;
mod catalogue;
mod check;
pub mod client;
mod effect;
pub mod file;
mod flat;
mod history;
mod instructions;
mod layers;
mod memory_disk;
pub mod messages;
mod news;
mod paths;
pub mod patience;
mod provenance;
mod quiet;
mod refusal;
mod revisions;
pub mod settings;
mod status;
mod store;
mod units;
mod watch;

pub use actor::{CHILD_ID, ChatConfig, Clock, ConfigSeed, WAITING, child};
pub use catalogue::{Catalogue, Entry};
pub use effect::Effect;
pub use flat::{Flat, to_toml};
pub use instructions::instructions;
pub use layers::{ENVIRONMENT_PREFIX, Layers};
pub use messages::{
    ConfigError, Current, Diff, Differences, Get, History, Rehearse, Reload, Revised, Rollback,
    Status, Subscribe, Update,
};
pub use news::{Heard, NEWS, Subscription};
pub use refusal::{Origin, Refusal, Refusals};
pub use revisions::{Author, Cause, Change, Changed, HISTORY, PlanError, Revision, Revisions};
pub use settings::Settings;
pub use status::{ConfigStatus, Refused, StatusReader, Watching};
pub use store::{Outlook, Store, Wish};
pub use units::{Size, Span, UnitError};
pub use watch::Changes;
