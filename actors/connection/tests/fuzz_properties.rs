//! The property of the fuzz target (`../fuzz`) as ordinary tests: over the committed seeds, over seeds that chance has
//! changed, and over chance alone. What a fuzzer ever finds becomes a seed, and stays found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

extern crate paraphym_connection as connection;

#[path = "../fuzz/properties.rs"]
mod properties;
#[path = "../../../crates/gateway/tests/support/seeds.rs"]
mod seeds;

use proptest::prelude::*;

fn seeds() -> Vec<Vec<u8>> {
    seeds::of(env!("CARGO_MANIFEST_DIR"), "frames")
}

#[test]
fn every_seed_keeps_the_property() {
    let seeds = seeds();
    assert!(seeds.len() >= 6, "{}", seeds.len());
    for seed in seeds {
        properties::frames_are_understood_or_refused(&seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_frames_are_understood_or_refused(bytes in seeds::changed(seeds())) {
        properties::frames_are_understood_or_refused(&bytes);
    }

    #[test]
    fn any_bytes_are_understood_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        properties::frames_are_understood_or_refused(&bytes);
    }
}
