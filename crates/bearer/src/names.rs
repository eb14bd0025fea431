//! Names that nobody can guess, for what may be taken up again by whoever knows its name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::hex;
use crate::secret::{NoChance, Secret};

/// Makes names of 64 hexadecimal digits: hashes of a number under a key of 256 random bits, so that no name tells another
/// and none comes twice. Cloning gives another hold on the same.
#[derive(Clone)]
pub struct Names {
    key: Arc<Secret>,
    made: Arc<AtomicU64>,
}

impl Names {
    /// With a key of the system's generator.
    ///
    /// # Errors
    /// The system has none to give; no other source would do.
    pub fn fresh() -> Result<Self, NoChance> {
        Ok(Self {
            key: Arc::new(Secret::fresh()?),
            made: Arc::default(),
        })
    }

    /// The next one.
    pub fn next(&self) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut hash = Sha256::new();
        hash.update(self.key.reveal());
        hash.update(number.to_le_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        hex::print(&hash)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_comes_twice_nor_from_another_key() {
        let (one, other) = (Names::fresh().unwrap(), Names::fresh().unwrap());
        let mut names = BTreeSet::new();
        for _ in 0..1000 {
            for from in [&one, &other.clone()] {
                let name = from.next();
                assert_eq!(name.len(), 64);
                assert!(names.insert(name));
            }
        }
    }
}
