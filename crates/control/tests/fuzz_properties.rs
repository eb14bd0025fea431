//! The property of the fuzz target (`../fuzz`) as ordinary tests: over the committed seeds, over seeds that chance has
//! changed, and over chance alone. What a fuzzer ever finds becomes a seed, and stays found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../fuzz/properties.rs"]
mod properties;
#[path = "../../gateway/tests/support/seeds.rs"]
mod seeds;

use control::protocol::table::METHODS;
use proptest::prelude::*;

fn seeds() -> Vec<Vec<u8>> {
    seeds::of(env!("CARGO_MANIFEST_DIR"), "lines")
}

/// Each method's example, as a line, after the byte that decides the pieces.
fn examples() -> Vec<u8> {
    let mut bytes = vec![0x10];
    for (id, method) in METHODS.iter().enumerate() {
        let (name, params) = (method.name, method.example);
        let line = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{name}\",\"params\":{params}}}\n"
        );
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes
}

#[test]
fn every_seed_and_every_example_keeps_the_property() {
    for seed in seeds().into_iter().chain([examples()]) {
        properties::a_session_answers_every_line_once(&seed);
    }
}

/// The examples are among what chance changes.
fn changed() -> impl Strategy<Value = Vec<u8>> {
    let mut all = seeds();
    all.push(examples());
    seeds::changed(all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_lines_are_answered_once(bytes in changed()) {
        properties::a_session_answers_every_line_once(&bytes);
    }

    #[test]
    fn any_bytes_are_answered_line_by_line(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        properties::a_session_answers_every_line_once(&bytes);
    }
}
