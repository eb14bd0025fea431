//! What the cache janitor can be asked: the whole inbox in one file.

use kameo::Reply;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::order::SweepOrder;
use crate::roster::{Held, NAME};
use crate::sweeps::Sweep;

/// Puts a cache under the janitor's care. Answered with a [`crate::Registration`]: the cache is swept until it is
/// dropped.
///
/// A cache of the same name that is registered already is replaced: what its owner still says is not heard any more.
#[derive(Clone, Debug)]
pub struct Register {
    /// Who it is, as a person would say it: `prefixes of smollm2`. 1 to [`NAME`] bytes.
    pub name: String,
    /// Where orders go. Room for one is enough: the next comes only after the answer, or long after none came.
    pub orders: mpsc::Sender<SweepOrder>,
}

/// Why a cache was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The name cannot be shown.
    #[error("a cache's name has {length} bytes: give it one of 1 to {NAME}")]
    Name {
        /// Its bytes.
        length: usize,
    },
    /// There are too many.
    #[error(
        "{name} is one cache too many: {limit} are registered; drop one, or keep several kinds of entries in one cache"
    )]
    TooMany {
        /// The one that was not taken.
        name: String,
        /// As many may be.
        limit: usize,
    },
}

/// Asks what is known of every cache, and for the last sweeps.
#[derive(Clone, Copy, Debug)]
pub struct Status;

/// All caches and the last sweeps, as a value.
#[derive(Clone, Debug, PartialEq, Eq, Reply)]
pub struct JanitorStatus {
    /// Every registered cache, in the order in which they came.
    pub caches: Vec<CacheStatus>,
    /// The last sweeps, at most [`crate::sweeps::KEPT`], oldest first.
    pub sweeps: Vec<Sweep>,
    /// Older sweeps that are not kept.
    pub forgotten: u64,
    /// How often the deadlines woke this process since the tree began: by a deadline, on the way to a far one, or by a
    /// cache whose deadline changed. Does not grow while nothing is due.
    pub wakes: u64,
}

/// One cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// Its name.
    pub name: String,
    /// What it holds, as its owner said last.
    pub held: Held,
    /// When it is asked next; absent if nothing in it ever expires, or while it is being swept.
    pub asked_next: Option<Instant>,
    /// It was asked and has not answered yet.
    pub sweeping: bool,
    /// Failures to answer, or to drop what is due, in a row.
    pub failures: u32,
    /// The last sweep that it carried out.
    pub last: Option<Sweep>,
}
