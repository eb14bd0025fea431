//! Bytes for a lane: it takes its place in the governor's line, and the governor asks caches and idle models to make
//! room before it refuses anyone.
//!
//! Runs as a task beside the lane, never in a handler. Two lanes cannot wait for each other here: a lane that wants room
//! is loading or has someone waiting, so it is not idle, and whoever is asked to let a model go asks only idle ones.

use std::time::Duration;

use domain::{Bytes, GenerationError};
use memory_governor::client::wait_in_line;
use memory_governor::line::MOST_WAITING;
use memory_governor::{Lease, MemoryGovernor, Reserve, ReserveError};
use supervision::{AskError, Handle};

/// The governor answers in microseconds and a lane unloads in milliseconds; beyond this something is wrong there.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// How long a model waits for room for its weights. Whom nobody can help is refused at once, so this is for those behind
/// others in line: an order to caches is waited for 2 s, one to idle models 5 s, and a few are before it.
pub(crate) const WEIGHTS: Duration = Duration::from_secs(30);
/// How long a question waits for room for its conversation: as long as the orders for itself take. Where others of its
/// model are being answered it then waits for one of them to end, and is asked for again.
pub(crate) const CONVERSATION: Duration = Duration::from_secs(10);

/// Why there is no lease.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NoLease {
    /// It does not fit now.
    NoRoom(GenerationError),
    /// It never will, or nobody answered.
    Failed(GenerationError),
}

/// Who asks for what.
pub(crate) struct Wanted {
    pub(crate) owner: String,
    pub(crate) purpose: String,
    pub(crate) bytes: Bytes,
    pub(crate) patience: Duration,
}

/// While it waits in line it looks so often whether anyone still wants it.
const LOOK: Duration = Duration::from_secs(1);

/// Reserves, in turn. If it is not served at once, `ahead` hears how many are before it whenever that changes, and
/// `is_wanted` is asked whether to stay in line: `Failed(Cancelled)` if not.
pub(crate) async fn reserve(
    governor: &Handle<MemoryGovernor>,
    wanted: Wanted,
    ahead: impl Fn(usize),
    is_wanted: impl Fn() -> bool,
) -> Result<Lease, NoLease> {
    let Wanted {
        owner,
        purpose,
        bytes,
        patience,
    } = wanted;
    let wish = Reserve {
        owner,
        purpose,
        bytes,
    };
    let waiting = wait_in_line(governor, wish, patience)
        .await
        .map_err(no_lease)?;
    let mut positions = waiting.positions();
    // The first is told, too, unless the lease is there already.
    positions.mark_changed();
    let mut granted = std::pin::pin!(waiting.granted());
    loop {
        tokio::select! {
            biased;
            answer = &mut granted => return answer.map_err(|error| no_lease(AskError::Handler(error))),
            Ok(()) = positions.changed() => ahead(positions.borrow().saturating_sub(1)),
            () = tokio::time::sleep(LOOK) => {
                if !is_wanted() {
                    return Err(NoLease::Failed(GenerationError::Cancelled));
                }
            }
        }
    }
}

/// Until the first in a full line is served or turned away, more or less: as long as the first order to make room is waited
/// for.
const LINE_MOVES_MS: u64 = 2000;

fn no_lease(error: AskError<ReserveError>) -> NoLease {
    match error {
        AskError::Handler(
            ReserveError::Refused {
                purpose,
                needed,
                available,
                ..
            }
            | ReserveError::GaveUp {
                purpose,
                needed,
                available,
                ..
            },
        ) => NoLease::NoRoom(GenerationError::MemoryExhausted {
            purpose,
            needed,
            available,
        }),
        AskError::Handler(ReserveError::LineFull { .. }) => {
            NoLease::Failed(GenerationError::Overloaded {
                waiting: MOST_WAITING,
                retry_after_ms: LINE_MOVES_MS,
            })
        }
        other => NoLease::Failed(GenerationError::Unavailable {
            part: memory_governor::CHILD_ID.to_owned(),
            reason: match other {
                AskError::Handler(error) => error.to_string(),
                error => error.to_string(),
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_line_is_a_busy_host_and_says_when_to_come_again() {
        let full = ReserveError::LineFull {
            purpose: "weights".to_owned(),
            needed: Bytes(7),
        };
        let NoLease::Failed(error) = no_lease(AskError::Handler(full)) else {
            panic!("it was no want of room");
        };
        let expected = GenerationError::Overloaded {
            waiting: 64,
            retry_after_ms: 2000,
        };
        assert_eq!(error, expected);
        let zero = ReserveError::ZeroBytes {
            owner: String::new(),
            purpose: String::new(),
        };
        let failed = no_lease(AskError::Handler(zero));
        assert!(matches!(
            failed,
            NoLease::Failed(GenerationError::Unavailable { .. })
        ));
    }
}
