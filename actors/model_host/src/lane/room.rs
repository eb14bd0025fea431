//! Bytes for a lane: asks the governor, and if it refuses, asks idle neighbours to let their models go, longest idle
//! first.
//!
//! Runs as a task beside the lane, never in a handler. Two lanes cannot wait for each other here: a lane that wants room
//! is loading or has someone waiting, so it is not idle, and refuses to unload at once.

use std::time::Duration;

use domain::{Bytes, GenerationError};
use memory_governor::{Lease, MemoryGovernor, Reserve, ReserveError};
use supervision::{AskError, Handle};

use crate::messages::Unload;
use crate::roster::Roster;

/// The governor answers in microseconds and a lane unloads in milliseconds; beyond this something is wrong there.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

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
}

/// Reserves, letting idle neighbours go as far as needed.
pub(crate) async fn reserve(
    governor: &Handle<MemoryGovernor>,
    roster: &Roster,
    wanted: Wanted,
) -> Result<Lease, NoLease> {
    let Wanted {
        owner,
        purpose,
        bytes,
    } = wanted;
    let wish = Reserve {
        owner,
        purpose,
        bytes,
    };
    // Each neighbour is asked once, so this ends.
    let mut neighbours = roster.idle().into_iter();
    loop {
        let refusal = match governor.ask(wish.clone(), DEADLINE).await {
            Ok(lease) => return Ok(lease),
            Err(error) => no_lease(error),
        };
        let (NoLease::NoRoom(_), Some((neighbour, lane))) = (&refusal, neighbours.next()) else {
            return Err(refusal);
        };
        let unloaded = lane
            .ask(
                Unload {
                    model: neighbour.clone(),
                },
                DEADLINE,
            )
            .await;
        tracing::info!(%neighbour, done = unloaded.is_ok(), "asked an idle model to make room");
    }
}

fn no_lease(error: AskError<ReserveError>) -> NoLease {
    match error {
        AskError::Handler(ReserveError::Refused {
            purpose,
            needed,
            available,
            ..
        }) => NoLease::NoRoom(GenerationError::MemoryExhausted {
            purpose,
            needed,
            available,
        }),
        other => NoLease::Failed(GenerationError::Unavailable {
            part: memory_governor::CHILD_ID.to_owned(),
            reason: match other {
                AskError::Handler(error) => error.to_string(),
                error => error.to_string(),
            },
        }),
    }
}
