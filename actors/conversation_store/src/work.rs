//! What one request does to the file: a function of the request and the open file, without an actor.
//!
//! Nothing here waits for anyone but the disk. A request may be carried out twice, when its first transaction came to
//! nothing with those of others.

use crate::archive::{Archive, Failure};
use crate::error::StoreError;

/// A request. Its answer is told after the transaction it was carried out in is on the disk.
pub trait Work: Send + 'static {
    /// What it is answered with.
    type Answer: Send + 'static;
    /// Whether it changes the file.
    const WRITES: bool;

    /// Refuses what is out of range, before it waits.
    ///
    /// # Errors
    /// `Invalid` names the field.
    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The bytes it carries, about; what waits is bounded by them.
    fn bytes(&self) -> usize {
        0
    }

    /// Does it, within a transaction that is open.
    ///
    /// # Errors
    /// Whatever it did before is undone.
    fn carry_out(&self, archive: &Archive) -> Result<Self::Answer, Failure>;
}
