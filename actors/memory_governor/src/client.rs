//! How others wait for memory: a place in line that outlives the governor's crashes, in one call.

use std::time::Duration;

use supervision::{AskError, Handle};
use tokio::time::Instant;

use crate::actor::MemoryGovernor;
use crate::lease::Lease;
use crate::messages::{Reserve, ReserveWithin};
use crate::reserve_error::ReserveError;
use crate::waiting::{GRACE, Waiting};

/// Asked again after a crash; a governor that crashes at each of them is broken, and soon down.
const TRIES: u32 = 3;

/// Takes a place in line.
///
/// # Errors
/// `Handler` with the refusal; otherwise the governor cannot be reached within 15 s.
pub async fn wait_in_line(
    governor: &Handle<MemoryGovernor>,
    wish: Reserve,
    patience: Duration,
) -> Result<Waiting, AskError<ReserveError>> {
    let asked = Instant::now();
    let mut tries = 1;
    loop {
        let within = ReserveWithin {
            wish: wish.clone(),
            patience: patience.saturating_sub(asked.elapsed()),
        };
        match governor.ask(within, GRACE).await {
            // Harmless: if a place was taken, its other end went with the answer, and so it is given up.
            Err(AskError::Crashed { .. }) if tries < TRIES => tries += 1,
            answer => return answer,
        }
    }
}

/// Leases `wish`, waiting in line for up to `patience`. Dropping the future leaves the line.
///
/// # Errors
/// `Handler` with the refusal, `GaveUp` after `patience`; otherwise the governor cannot be reached, and this is told
/// 15 s after `patience` at the latest.
pub async fn reserve_within(
    governor: &Handle<MemoryGovernor>,
    wish: Reserve,
    patience: Duration,
) -> Result<Lease, AskError<ReserveError>> {
    let waiting = wait_in_line(governor, wish, patience).await?;
    waiting.granted().await.map_err(AskError::Handler)
}
