//! What the memory governor can be asked: the whole inbox in one file, so that callers compile against it alone.

use std::time::Duration;

use domain::Bytes;
use kameo::Reply;

use crate::actor::MIN_POLL;
use crate::decisions::Decision;
use crate::lease::Lease;
use crate::ledger::LeaseId;
use crate::orders::TargetInfo;
use crate::pressure::Pressure;

/// Asks for `bytes`. Answered with a [`crate::Lease`]: the bytes are taken until it is dropped or shrunk.
///
/// The answer is a `Result<Lease, ReserveError>` and comes at once. While others wait it is a refusal, whatever is
/// free: nobody is overtaken. While what is really in use is [`crate::Level::Critical`] it is a refusal with nothing
/// available. Nobody is asked to let memory go for it: who wants that waits.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// Who holds the lease, by its name in the tree or by a request id. Shown in `Status`.
    pub owner: String,
    /// What the bytes are for, as a person would say it: `weights of smollm2`. Shown in refusals.
    pub purpose: String,
    /// How many. Zero is refused: a lease of nothing is a caller that did not know its size.
    pub bytes: Bytes,
}

/// Asks for as many times `each` bytes as fit, all or nothing between the two bounds: who needs several of a kind need
/// not try. Answered with [`Many`], or a `ReserveError`, at once and in turn as [`Reserve`].
#[derive(Clone, Debug)]
pub struct ReserveMany {
    /// As of [`Reserve`].
    pub owner: String,
    /// As of [`Reserve`].
    pub purpose: String,
    /// How many bytes for each. Zero is refused.
    pub each: Bytes,
    /// How few are of use; from 1.
    pub at_least: u32,
    /// How many are of use; from `at_least`.
    pub at_most: u32,
}

/// One lease for several of a kind.
#[derive(Debug)]
pub struct Many {
    /// For all of them together: `count` times `each`.
    pub lease: Lease,
    /// How many there are.
    pub count: u32,
}

/// Asks for a place in line; [`crate::client::reserve_within`] is the short way. The answer comes at once and is a
/// `Result<Waiting, ReserveError>`: a [`crate::Waiting`] tells the position, and then the lease or why there is none.
///
/// Who waits is served in the order of arrival when leases are dropped or shrunk or the limit rises; one who needs less
/// does not overtake one who needs more. For whoever is first and does not fit, those who enlisted are asked to let memory
/// go, and when all were asked in vain it is refused, before its patience is over; with nobody enlisted it waits. Refused at
/// once: zero bytes, more than the whole limit (it would hold up
/// everybody and get nothing), and more than [`crate::line::MOST_WAITING`] who wait. Places outlive the governor's
/// crashes.
#[derive(Clone, Debug)]
pub struct ReserveWithin {
    /// What is wanted.
    pub wish: Reserve,
    /// How long to wait for it. Zero asks for what is free now, in turn.
    pub patience: Duration,
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

/// Sets how often the machine is looked at; see [`crate::GovernorConfig::poll`]. It counts from the last look, and stays
/// over the governor's restarts. Answered with a `Result<(), PollError>`.
#[derive(Clone, Copy, Debug)]
pub struct SetPoll {
    /// From the end of one look to the beginning of the next; at least [`MIN_POLL`].
    pub poll: Duration,
}

/// Why an interval was not taken: it is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "poll is {poll:?}, and the machine is looked at every {MIN_POLL:?} at most: say that or more"
)]
pub struct PollError {
    /// What was asked for.
    pub poll: Duration,
}

/// Asks for the figures. They are true at the moment of the answer: what was given back before is not counted.
#[derive(Clone, Copy, Debug)]
pub struct Status;

/// Asks to hear of pressure. The answer is a `tokio::sync::watch::Receiver<Pressure>` that holds the present level and
/// changes when the level does; its figures are those of the moment of the change. It stays good over the governor's
/// restarts, and is closed when its tree has stopped.
#[derive(Clone, Copy, Debug)]
pub struct WatchPressure;

/// Asks for the last decisions: every refusal, every grant to one who waited, every order to let memory go with its
/// answer, every time the kernel had none left, every change of the budget and of the pressure's level.
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
    /// The host's RAM; `None` if it could never be read.
    pub host: Option<Bytes>,
    /// The tightest limit of this process's cgroup and its parents; `None` without one.
    pub cgroup: Option<Bytes>,
    /// What was configured.
    pub configured: Option<Bytes>,
    /// How scarce memory is, by the fullest of the ledger, the cgroups and the host.
    pub pressure: Pressure,
    /// Every live lease, oldest first.
    pub leases: Vec<LeaseInfo>,
    /// Who waits, who is next first.
    pub waiters: Vec<WaiterInfo>,
    /// What is being done about a lack of memory.
    pub standing: Standing,
    /// Who can be asked to let memory go, by name; what they are asked, and what they last said.
    pub targets: Vec<TargetInfo>,
    /// How changes of the machine are noticed.
    pub looks: Looks,
    /// How often the machine is looked at by the clock.
    pub poll: Duration,
}

/// What is being done about a lack of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is missing, or nobody can be asked for what is.
    #[default]
    Calm,
    /// An order to let memory go is out. While it is for the machine's sake, those in line are not served; nor while a full
    /// machine was not looked at since something was freed.
    Holding,
    /// The machine is full, and everyone was asked. If it is [`crate::Level::Critical`], leases are refused.
    Spent,
}

impl Standing {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Holding => "holding",
            Self::Spent => "spent",
        }
    }
}

/// How changes of the machine are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Looks {
    /// It is looked at by the clock.
    #[default]
    Poll,
    /// The kernel tells when tasks wait for memory. The clock runs only while they do, or the machine is full.
    Psi,
}

impl Looks {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Psi => "psi",
        }
    }
}

/// One who waits for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaiterInfo {
    /// Who.
    pub owner: String,
    /// What for.
    pub purpose: String,
    /// How many bytes.
    pub bytes: Bytes,
    /// 1 is next.
    pub position: usize,
    /// How long it has waited.
    pub waited: Duration,
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
