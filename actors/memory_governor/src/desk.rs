//! Who gets bytes next: the ledger, and the line before it.
//!
//! Invariants: nobody overtakes who waits, not even one who would fit at once; nobody waits for more than the whole
//! limit; whoever joins is turned away or served exactly once, unless they leave before. Nothing here waits or reads a
//! clock: times are since the ledger was opened.

use std::time::Duration;

use domain::Bytes;

use crate::ledger::{LeaseId, Ledger};
use crate::line::{Line, Waiter, WaiterId};
use crate::reserve_error::ReserveError;

/// The ledger, and those who wait.
pub struct Desk {
    ledger: Ledger,
    line: Line,
    scarce: bool,
}

/// What became of one who waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Who.
    pub id: WaiterId,
    /// What they wanted, and since when.
    pub waiter: Waiter,
    /// The lease, or why there is none.
    pub outcome: Result<LeaseId, ReserveError>,
}

impl Desk {
    /// An empty one.
    pub fn new(limit: Bytes) -> Self {
        Self {
            ledger: Ledger::new(limit),
            line: Line::default(),
            scarce: false,
        }
    }

    /// Leases at once or not at all.
    ///
    /// # Errors
    /// As [`Ledger::reserve`]; and `Refused` if someone waits, with how many, or if the machine is full.
    pub fn reserve(
        &mut self,
        owner: &str,
        purpose: &str,
        bytes: Bytes,
    ) -> Result<LeaseId, ReserveError> {
        if bytes > Bytes::ZERO {
            self.in_turn(purpose, bytes)?;
        }
        self.ledger.reserve(owner, purpose, bytes)
    }

    /// Leases as many as fit, at once or not at all.
    ///
    /// # Errors
    /// As [`Ledger::reserve_many`]; and `Refused` if someone waits, with how many, or if the machine is full.
    pub fn reserve_many(
        &mut self,
        owner: &str,
        purpose: &str,
        each: Bytes,
        at_least: u32,
        at_most: u32,
    ) -> Result<(LeaseId, u32), ReserveError> {
        // Who cannot say what they need is told so first.
        if each > Bytes::ZERO && (1..=at_most).contains(&at_least) {
            self.in_turn(purpose, each.saturating_mul(at_least.into()))?;
        }
        self.ledger
            .reserve_many(owner, purpose, each, at_least, at_most)
    }

    /// Takes a place in line; [`Desk::serve`] tells what becomes of it.
    ///
    /// # Errors
    /// `ZeroBytes`; `Refused` if it is more than the whole limit, because it would hold up everybody behind it and get
    /// nothing; `LineFull`. The line is then as before.
    pub fn wait(
        &mut self,
        owner: &str,
        purpose: &str,
        bytes: Bytes,
        now: Duration,
        patience: Duration,
    ) -> Result<WaiterId, ReserveError> {
        if bytes == Bytes::ZERO {
            return Err(ReserveError::ZeroBytes {
                owner: owner.to_owned(),
                purpose: purpose.to_owned(),
            });
        }
        if bytes > self.ledger.limit() {
            return Err(self.ledger.refusal(purpose, bytes, self.line.len()));
        }
        let waiter = Waiter {
            owner: owner.to_owned(),
            purpose: purpose.to_owned(),
            bytes,
            since: now,
            deadline: now.saturating_add(patience),
        };
        self.line
            .join(waiter)
            .ok_or_else(|| ReserveError::LineFull {
                purpose: purpose.to_owned(),
                needed: bytes,
            })
    }

    /// Strikes one who waits out; those behind move up.
    pub fn leave(&mut self, id: WaiterId) {
        self.line.leave(id);
    }

    /// The machine is full, or is not any more: while it is, nothing is leased, whatever the ledger has left.
    pub fn set_scarce(&mut self, scarce: bool) {
        self.scarce = scarce;
    }

    /// Whether the machine is full.
    pub fn is_scarce(&self) -> bool {
        self.scarce
    }

    /// Serves whose turn it is, and turns those away whose time is over or who fit no more. Who can be served at the
    /// deadline, or when it is first looked at after, is served. With `held` nobody is served, only turned away.
    pub fn serve(&mut self, now: Duration, held: bool) -> Vec<Served> {
        let mut served = Vec::new();
        while let Some((id, outcome)) = self.next_outcome(now, held) {
            if let Some(waiter) = self.line.leave(id) {
                served.push(Served {
                    id,
                    waiter,
                    outcome,
                });
            }
        }
        served
    }

    /// Turns away who is next, with the figures of now.
    pub fn turn_first_away(&mut self) -> Option<Served> {
        let (id, first) = self.line.first()?;
        let error = self.refusal(&first.purpose, first.bytes, 0);
        let waiter = self.line.leave(id)?;
        Some(Served {
            id,
            waiter,
            outcome: Err(error),
        })
    }

    /// One who need not wait on. Whoever is first and fits goes before anyone is turned away.
    fn next_outcome(
        &mut self,
        now: Duration,
        held: bool,
    ) -> Option<(WaiterId, Result<LeaseId, ReserveError>)> {
        let (id, first) = self.line.first()?;
        if !held && !self.scarce && first.bytes <= self.ledger.available() {
            let lease = self
                .ledger
                .reserve(&first.owner, &first.purpose, first.bytes);
            return Some((id, lease));
        }
        let limit = self.ledger.limit();
        let (ahead, (id, waiter)) = self
            .line
            .iter()
            .enumerate()
            .find(|(_, (_, waiter))| waiter.bytes > limit || waiter.deadline <= now)?;
        let error = if waiter.bytes > limit {
            self.ledger.refusal(&waiter.purpose, waiter.bytes, ahead)
        } else {
            ReserveError::GaveUp {
                purpose: waiter.purpose.clone(),
                needed: waiter.bytes,
                available: self.ledger.available(),
                limit,
                waited: now.saturating_sub(waiter.since),
                ahead,
            }
        };
        Some((id, Err(error)))
    }

    /// Strikes a lease out; see [`Ledger::release`]. Those who wait are served by the next [`Desk::serve`].
    pub fn release(&mut self, id: LeaseId) -> Bytes {
        self.ledger.release(id)
    }

    /// Lowers a lease; see [`Ledger::shrink`]. Those who wait are served by the next [`Desk::serve`].
    pub fn shrink(&mut self, id: LeaseId, to: Bytes) -> Bytes {
        self.ledger.shrink(id, to)
    }

    /// Changes the limit; what is leased stays leased. Those who wait for more than that are turned away by the next
    /// [`Desk::serve`].
    pub fn set_limit(&mut self, limit: Bytes) {
        self.ledger.set_limit(limit);
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Those who wait.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// What must come free before the next in line fits; zero if nobody waits.
    pub fn shortfall(&self) -> Bytes {
        let first = self.line.first();
        let needed = first.map_or(Bytes::ZERO, |(_, waiter)| waiter.bytes);
        needed.saturating_sub(self.ledger.available())
    }

    fn in_turn(&self, purpose: &str, bytes: Bytes) -> Result<(), ReserveError> {
        if self.line.is_empty() && !self.scarce {
            return Ok(());
        }
        Err(self.refusal(purpose, bytes, self.line.len()))
    }

    fn refusal(&self, purpose: &str, needed: Bytes, waiting: usize) -> ReserveError {
        let mut refusal = self.ledger.refusal(purpose, needed, waiting);
        if let ReserveError::Refused { available, .. } = &mut refusal
            && self.scarce
        {
            *available = Bytes::ZERO;
        }
        refusal
    }
}

#[cfg(test)]
mod tests;
