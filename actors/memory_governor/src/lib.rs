//! One ledger of byte leases, so that memory is promised once and comes back by itself.
//!
//! ```text
//!  asker ── Reserve ──> memory_governor ── Lease (RAII) ──> asker … dropped or shrunk: the bytes are back
//!  asker ── ReserveWithin ──> a place in line ── positions, then a Lease or why not ──> asker … dropped: has left
//!  limit = min(host RAM - reserve, cgroup - reserve, configured)
//!  pressure = the fullest of ledger, cgroups, host, or a stall, or what the kernel counted ── watch channel ──> whoever wants to know
//!  someone waits, or the machine is full ── Order ──> caches, then idle models ── freed so much ──> granted, or refused
//!  the machine ── a stall ──> is looked at; by the clock only where the kernel does not tell, or while it is not calm
//! ```
//!
//! Invariants: no lease is granted beyond the limit, none is counted for more than it holds, nobody overtakes who
//! waits, and no handler waits. A limit may fall below what is leased: then nothing is granted, and nothing taken back.

mod actor;
mod book;
pub mod cgroup;
#[cfg(test)]
mod churn_tests;
pub mod client;
#[cfg(test)]
mod crash_tests;
pub mod decisions;
pub mod desk;
pub mod events;
mod lease;
pub mod ledger;
pub mod limit;
pub mod line;
pub mod messages;
pub mod meters;
pub mod need;
pub mod orders;
pub mod pressure;
pub mod psi;
mod reads;
mod relief;
mod reserve_error;
pub mod response;
pub mod stalls;
mod targets;
mod waiting;

pub use actor::{
    CHILD_ID, DEFAULT_POLL, GovernorConfig, GovernorSeed, MIN_POLL, MemoryGovernor, child,
    child_with,
};
pub use decisions::{Decided, Decision};
pub use lease::Lease;
pub use ledger::{LeaseId, Ledger};
pub use limit::{FileProbe, Probe};
pub use messages::{
    LeaseInfo, LedgerStatus, Looks, Many, PollError, Reasons, Reserve, ReserveMany, ReserveWithin,
    SetLimit, SetPoll, Standing, Status, WaiterInfo, WatchPressure, Why,
};
pub use orders::{Enlist, EnlistError, Order, Receipt, Stage, TargetInfo};
pub use pressure::{Level, Pressure};
pub use reserve_error::ReserveError;
pub use response::{Answer, OrderInfo};
pub use waiting::Waiting;
