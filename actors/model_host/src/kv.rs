//! The leases for the KV memory of one sequence, or of what was kept of one.
//!
//! A conversation that grows takes over what was kept of its last turn, and its lease with it; a lease never grows, so the
//! next one is put beside it. Each is for one page of tokens at least, so there are never more than pages.
//!
//! Invariants: bytes only fall, and only when memory has been freed; what is not a byte is no lease.

use std::sync::Arc;

use domain::Bytes;
use memory_governor::Lease;

/// Leases that are held and given back together.
#[derive(Debug, Default)]
pub(crate) struct KvLeases(Vec<Arc<Lease>>);

impl KvLeases {
    /// These and one more, if there is one.
    pub(crate) fn with(mut self, lease: Option<Lease>) -> Self {
        self.0.extend(lease.map(Arc::new));
        self
    }

    /// How much they are for.
    pub(crate) fn bytes(&self) -> Bytes {
        self.0.iter().map(|lease| lease.bytes()).sum()
    }

    /// Gives back what is beyond `bytes`, the last leases first.
    pub(crate) fn shrink_to(&mut self, bytes: Bytes) {
        let mut left = bytes;
        self.0.retain(|lease| {
            let before = lease.bytes();
            lease.shrink_to(left);
            let stays = left > Bytes::ZERO;
            left = left.saturating_sub(before);
            stays
        });
    }

    /// Each of them, for those who compute with the memory.
    pub(crate) fn leases(&self) -> impl Iterator<Item = Arc<Lease>> {
        self.0.iter().map(Arc::clone)
    }
}
