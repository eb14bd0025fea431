//! One ledger of byte leases, so that memory is promised once and comes back by itself.
//!
//! ```text
//!  asker ── Reserve ──> memory_governor ── Lease (RAII) ──> asker … dropped: the bytes are back
//!                        limit = min(host RAM - reserve, cgroup - reserve, configured)
//! ```
//!
//! Invariants: no lease is granted beyond the limit, none is counted after it was dropped, and nobody waits here.

mod actor;
#[cfg(test)]
mod crash_tests;
mod lease;
pub mod ledger;
pub mod limit;
pub mod messages;
pub mod meters;

pub use actor::{CHILD_ID, GovernorSeed, MemoryGovernor, child};
pub use lease::Lease;
pub use ledger::{LeaseId, Ledger};
pub use limit::{FileProbe, Probe};
pub use messages::{LeaseInfo, LedgerStatus, Reserve, ReserveError, SetLimit, Status};
