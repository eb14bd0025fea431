//! Every cache is swept at its deadline, and when memory is short, by its owner, and because this actor says so.
//!
//! ```text
//!  owner of a cache ── Register ──> cache_janitor ── Registration (RAII) ──> owner
//!        │  Registration::holds: entries, bytes, next deadline (never waits)
//!        ▼
//!  deadlines (DelayQueue) ── due ──> cache_janitor ── SweepOrder ──> owner ── done(Swept)
//!  memory_governor ────── Order ───> cache_janitor ── SweepOrder ──> owners, until enough is freed
//! ```
//!
//! Invariants: nothing wakes when nothing is due, no cache has two orders at once, no cache is asked again at once after
//! it did not answer, and nothing here holds a single entry of any cache.

mod actor;
#[cfg(test)]
mod actor_tests;
mod deadlines;
pub mod entries;
pub mod messages;
pub mod meters;
pub mod order;
mod registration;
mod registry;
pub mod relief;
pub mod roster;
pub mod sweeps;

pub use actor::{ANSWER, CHILD_ID, CacheJanitor, JanitorSeed, child, child_with};
pub use entries::{Bounds, Entries};
pub use messages::{CacheStatus, JanitorStatus, Register, RegisterError, Status};
pub use order::SweepOrder;
pub use registration::Registration;
pub use roster::{CACHES, Goal, Held, NAME, Swept};
pub use sweeps::{Ending, Sweep};
