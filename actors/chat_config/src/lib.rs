//! Settings that are checked by field, versioned, written whole and told to all.

mod catalogue;
mod check;
pub mod file;
mod flat;
mod layers;
mod refusal;
mod revisions;
pub mod settings;
mod units;

pub use catalogue::{Catalogue, Entry};
pub use flat::{Flat, to_toml};
pub use layers::{ENVIRONMENT_PREFIX, Layers};
pub use refusal::{Origin, Refusal, Refusals};
pub use revisions::{Author, Cause, Change, Changed, HISTORY, PlanError, Revision, Revisions};
pub use settings::Settings;
pub use units::{Size, Span, UnitError};
