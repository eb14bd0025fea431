//! Hashes for tables that are filled from a file by nobody's choice but its author's: quick, and seeded by chance, so that no file
//! is made of texts that meet.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A hash that takes a multiplication for 16 bytes (`foldhash`'s way); who does not know its two numbers cannot find texts that
/// meet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed([u64; 2]);

impl Keyed {
    pub(crate) fn new() -> Self {
        let chance = RandomState::new();
        Self([0u8, 1].map(|which| chance.hash_one(which)))
    }

    #[inline]
    pub(crate) fn of_text(&self, text: &[u8]) -> u64 {
        let Self([first, second]) = *self;
        let mut hash = first;
        let (chunks, rest) = text.as_chunks::<16>();
        for chunk in chunks {
            let chunk = u128::from_le_bytes(*chunk);
            hash = folded(chunk as u64 ^ hash, (chunk >> 64) as u64 ^ second);
        }
        // What overlaps is read twice.
        let [low, high] = match (rest.first_chunk::<8>(), rest.first_chunk::<4>()) {
            (Some(low), _) => {
                let high = rest.last_chunk().copied().unwrap_or_default();
                [u64::from_le_bytes(*low), u64::from_le_bytes(high)]
            }
            (None, Some(low)) => {
                let high = rest.last_chunk().copied().unwrap_or_default();
                [low, &high].map(|four| u64::from(u32::from_le_bytes(*four)))
            }
            (None, None) => {
                let bytes = [rest.first(), rest.get(rest.len() / 2), rest.last()];
                let [low, middle, high] = bytes.map(|byte| byte.copied().map_or(0, u64::from));
                [low | middle << 8 | high << 16, 0]
            }
        };
        // The length tells apart what would be alike: last, where no byte can undo it.
        let hash = folded(low ^ hash, high ^ second);
        folded(hash ^ text.len() as u64, second)
    }
}

impl BuildHasher for Keyed {
    type Hasher = OfNumber;

    fn build_hasher(&self) -> OfNumber {
        let Self([first, second]) = *self;
        OfNumber {
            hash: first,
            second,
        }
    }
}

/// The hash of a whole number.
pub(crate) struct OfNumber {
    hash: u64,
    second: u64,
}

impl Hasher for OfNumber {
    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.hash = folded(number ^ self.hash, self.second);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

const fn folded(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}
