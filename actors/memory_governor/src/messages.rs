//! What the memory governor can be asked: the whole inbox in one file, so that callers compile against it alone.

use std::time::Duration;

use domain::Bytes;
use kameo::Reply;

use crate::decisions::Decision;
use crate::ledger::LeaseId;
use crate::orders::TargetInfo;
use crate::pressure::Pressure;

/// Asks for `bytes`. Answered with a [`crate::Lease`]: the bytes are taken until it is dropped or shrunk.
///
/// The answer is a `Result<Lease, ReserveError>` and comes at once; nobody waits here for memory to come back.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// Who holds the lease, by its name in the tree or by a request id. Shown in `Status`.
    pub owner: String,
    /// What the bytes are for, as a person would say it: `weights of smollm2`. Shown in refusals.
    pub purpose: String,
    /// How many. Zero is refused: a lease of nothing is a caller that did not know its size.
    pub bytes: Bytes,
}

/// Why bytes were not leased.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// Zero bytes were asked for.
    #[error("{owner} asked for 0 bytes for {purpose}: say how many are needed")]
    ZeroBytes {
        /// Who asked.
        owner: String,
        /// What for.
        purpose: String,
    },
    /// It does not fit now.
    #[error(
        "not enough memory for {purpose}: {needed} needed, {available} available of {limit}; \
         raise the limit, or let something go first"
    )]
    Refused {
        /// What for.
        purpose: String,
        /// Bytes asked for.
        needed: Bytes,
        /// Bytes that could be leased now.
        available: Bytes,
        /// The limit in force.
        limit: Bytes,
    },
}

/// Sets the configured limit, or takes it away. It is in force at once; then the host's and the cgroup's memory are read
/// anew, and the smallest of the three holds. A limit below what is leased takes nothing away from anyone: it only
/// refuses what comes next. Answered, when they were read, with the `LedgerStatus` that holds then; others are served
/// meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct SetLimit {
    /// The most bytes this process may lease; `None` leaves it to host and cgroup.
    pub bytes: Option<Bytes>,
}

/// Asks for the figures. They are true at the moment of the answer: what was given back before is not counted.
#[derive(Clone, Copy, Debug)]
pub struct Status;

/// Asks to hear of pressure. The answer is a `tokio::sync::watch::Receiver<Pressure>` that holds the present level and
/// changes when the level does; its figures are those of the moment of the change. It stays good over the governor's
/// restarts. Do not wait for its end: it may stay open when its tree has stopped.
#[derive(Clone, Copy, Debug)]
pub struct WatchPressure;

/// Asks for the last decisions: every refusal, every change of the budget and of the pressure's level.
#[derive(Clone, Copy, Debug)]
pub struct Why;

/// The last decisions, as a value. Times are since the ledger was opened, with the tree.
#[derive(Clone, Debug, PartialEq, Eq, Reply)]
pub struct Reasons {
    /// When this was asked.
    pub now: Duration,
    /// How scarce memory is now.
    pub pressure: Pressure,
    /// Older decisions that are not kept.
    pub forgotten: u64,
    /// At most [`crate::decisions::KEPT`], oldest first.
    pub decisions: Vec<Decision>,
}

/// The ledger, as a value.
#[derive(Clone, Debug, PartialEq, Eq, Reply)]
pub struct LedgerStatus {
    /// The limit in force: the smallest of `host`, `cgroup` (each less a reserve) and `configured`.
    pub limit: Bytes,
    /// The sum of all live leases.
    pub leased: Bytes,
    /// What could be leased now; zero while `leased` is above `limit`.
    pub available: Bytes,
    /// What is leased beyond the limit: above zero only after the limit fell below `leased`. Nothing is taken back.
    pub over: Bytes,
    /// The host's RAM; `None` if it could not be read.
    pub host: Option<Bytes>,
    /// The tightest limit of this process's cgroup and its parents; `None` without one.
    pub cgroup: Option<Bytes>,
    /// What was configured.
    pub configured: Option<Bytes>,
    /// How scarce memory is, by the fullest of the ledger, the cgroups and the host.
    pub pressure: Pressure,
    /// Every live lease, oldest first.
    pub leases: Vec<LeaseInfo>,
    /// Who can be asked to let memory go, by name.
    pub targets: Vec<TargetInfo>,
}

/// One live lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// Its identity; never used twice.
    pub id: LeaseId,
    /// Who holds it.
    pub owner: String,
    /// What it is for.
    pub purpose: String,
    /// Its size now; zero if all of it was given back.
    pub bytes: Bytes,
}
