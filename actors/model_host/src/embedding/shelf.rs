//! Vectors that were made lately: a text that comes again costs nothing.
//!
//! Known by the SHA-256 of the model's name and the text, so no text is kept. Nothing here waits.

use std::time::Duration;

use cache_janitor::Bounds;
use domain::{Bytes, ModelName};
use engine::Embedded;
use sha2::{Digest, Sha256};

use crate::shelf::{Made, Plan};

/// Its name with the janitor, and what its leases are for.
pub const CACHE: &str = "embeddings";
/// Bounds: ten thousand texts of 384 dimensions, which is every memory and document of one person's week; a day, because
/// the same documents are asked about for as long.
pub(super) const PLAN: Plan = Plan {
    bounds: Bounds {
        ttl: Duration::from_hours(24),
        bytes: Bytes(18 << 20),
        entries: 10_000,
    },
    piece: Bytes(1 << 20),
};
/// What a vector takes beside its numbers: its key three times over, and its places in the tables.
const OVERHEAD: u64 = 256;

/// The cache.
pub(super) type Shelf = crate::shelf::Shelf<Key, Embedded>;

/// What a text is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(super) fn new(model: &ModelName, text: &str) -> Self {
        let mut hash = Sha256::new();
        // A name has no zero byte in it, so no two pairs run together.
        hash.update(model.as_str());
        hash.update([0]);
        hash.update(text);
        Self(hash.finalize().into())
    }
}

/// A vector that can be kept.
pub(super) fn made((key, value): (Key, Embedded)) -> Made<Key, Embedded> {
    let bytes = bytes_of(value.vector.len());
    Made { key, value, bytes }
}

/// What so many vectors take.
pub(super) fn bytes_of_all(vectors: usize, dimensions: u32) -> Bytes {
    bytes_of(dimensions as usize).saturating_mul(vectors as u64)
}

fn bytes_of(dimensions: usize) -> Bytes {
    Bytes(OVERHEAD + (dimensions * size_of::<f32>()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_part_of_what_a_text_is_known_by() {
        let key = |model: &str, text: &str| Key::new(&ModelName::new(model), text);
        assert_eq!(key("m", "a"), key("m", "a"));
        assert_ne!(key("m", "a"), key("n", "a"));
        assert_ne!(key("m", "a"), key("m", "b"));
        assert_ne!(key("m", "ab"), key("ma", "b"));
    }
}
