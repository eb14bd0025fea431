//! What the memory governor can be asked: the whole inbox in one file, so that callers compile against it alone.

use domain::Bytes;
use kameo::Reply;

use crate::ledger::LeaseId;

/// Asks for `bytes`. Answered with a [`crate::Lease`]: the bytes are taken until it is dropped.
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

/// Sets the configured limit, or takes it away. The host's and the cgroup's memory are read anew, and the smallest of
/// the three holds. A limit below what is leased takes nothing away from anyone: it only refuses what comes next.
/// Answered with the `LedgerStatus` that holds from now on.
#[derive(Clone, Copy, Debug)]
pub struct SetLimit {
    /// The most bytes this process may lease; `None` leaves it to host and cgroup.
    pub bytes: Option<Bytes>,
}

/// Asks for the figures. They are true at the moment of the answer: leases dropped before are not counted.
#[derive(Clone, Copy, Debug)]
pub struct Status;

/// The ledger, as a value.
#[derive(Clone, Debug, PartialEq, Eq, Reply)]
pub struct LedgerStatus {
    /// The limit in force: the smallest of `host`, `cgroup` (each less a reserve) and `configured`.
    pub limit: Bytes,
    /// The sum of all live leases.
    pub leased: Bytes,
    /// What could be leased now; zero while `leased` is above `limit`.
    pub available: Bytes,
    /// The host's RAM; `None` if it could not be read.
    pub host: Option<Bytes>,
    /// The tightest limit of this process's cgroup and its parents; `None` without one.
    pub cgroup: Option<Bytes>,
    /// What was configured.
    pub configured: Option<Bytes>,
    /// Every live lease, oldest first.
    pub leases: Vec<LeaseInfo>,
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
    /// Its size.
    pub bytes: Bytes,
}
