//! One ledger of byte leases, so that memory is promised once and comes back by itself.
//!
//! ```text
//!  asker ── Reserve ──> memory_governor ── Lease (RAII) ──> asker … dropped: the bytes are back
//!                        limit = min(host RAM - reserve, cgroup - reserve, configured)
//! ```

pub mod ledger;
pub mod messages;

pub use ledger::{LeaseId, Ledger};
pub use messages::{LeaseInfo, LedgerStatus, Reserve, ReserveError, SetLimit, Status};
