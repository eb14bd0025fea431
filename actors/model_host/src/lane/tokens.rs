//! The tokens of prompts that a lane keeps while its model is in memory: who registers them, when they are kept, and how
//! they go.
//!
//! Invariants: no request waits for what is kept; what is encoded by one engine's tokenizer is not there for the next's.

use domain::Bytes;
use tokio::time::Instant;

use super::Lane;
use super::keep::cache_name;
use crate::meters::Meters;
use crate::shelf::{room_to_keep, tend};
use crate::tokenised::{Learned, PLAN, PURPOSE, Tokenised};

impl Lane {
    /// A new tokenizer has encoded nothing.
    pub(super) fn begin_remembering(&mut self) {
        let meters = self
            .meters
            .get_or_insert_with(|| Meters::new(&self.parts.label));
        let tokenised = Tokenised::new(PLAN, Some(meters.tokenised_bytes()));
        let name = cache_name(PURPOSE, &self.parts.label);
        let tending = tend(tokenised.clone(), self.parts.janitor.clone(), name);
        self.tasks.spawn(tending);
        self.tokenised = Some(tokenised);
    }

    /// Keeps what a request made, beside everything else: whoever asked has gone on.
    pub(super) fn remember(&mut self, learned: Learned) {
        let more = learned.bytes();
        let Learned { shelf, found, made } = learned;
        if let Some(meters) = &self.meters {
            meters.encoded(found, made.len() as u64);
        }
        let Some(bytes) = shelf.missing(more) else {
            return shelf.keep(made, None, Instant::now());
        };
        let (governor, owner) = (self.parts.governor.clone(), self.parts.name());
        self.tasks.spawn(async move {
            let lease = room_to_keep(&governor, (owner, PURPOSE), bytes).await;
            shelf.keep(made, lease, Instant::now());
        });
    }

    /// The tokenizer is gone, or about to go. The bytes that came back.
    pub(super) fn forget_tokens(&mut self) -> Bytes {
        let tokenised = self.tokenised.take();
        tokenised.map_or(Bytes::ZERO, |tokenised| tokenised.close())
    }
}
