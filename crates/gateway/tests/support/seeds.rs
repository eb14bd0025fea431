//! The committed seeds of a fuzz target, and what chance makes of them: for the tests that hold its properties, of this crate
//! and of others.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "helpers of tests"
)]

use std::path::Path;

use proptest::prelude::*;

/// The seeds of a target of the crate in that folder.
pub fn of(crate_folder: &str, target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(crate_folder).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// A piece of one seed put over a piece of another, or not, and a byte or two changed.
pub fn changed(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let seed = prop::sample::select(seeds);
    let cuts = prop::array::uniform4(any::<prop::sample::Index>());
    let chance = (any::<[u8; 2]>(), any::<bool>());
    (seed.clone(), seed, cuts, chance).prop_map(|(one, other, cuts, (bytes, splice))| {
        let mut all = one;
        if splice && !all.is_empty() && !other.is_empty() {
            let (at, from) = (cuts[0].index(all.len()), cuts[1].index(other.len()));
            let to = all.len().min(at + other.len() - from);
            all.splice(at..to, other[from..].iter().copied());
        }
        for (cut, byte) in cuts[2..].iter().zip(bytes) {
            if !all.is_empty() {
                let at = cut.index(all.len());
                all[at] = byte;
            }
        }
        all
    })
}
