//! The properties of the fuzz targets (`../fuzz`) as ordinary tests: over the committed seeds, over seeds that chance has
//! changed, and over the bodies that are made to take long. What a fuzzer ever finds becomes a seed, and stays found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[path = "../fuzz/properties.rs"]
mod properties;
#[path = "support/seeds.rs"]
mod seeds;

use std::time::Duration;

use proptest::prelude::*;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    seeds::of(env!("CARGO_MANIFEST_DIR"), target)
}

fn changed(target: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    seeds::changed(seeds(target))
}

#[test]
fn every_seed_keeps_the_properties() {
    for body in seeds("bodies") {
        properties::body_is_read_or_refused(&body);
    }
    for stream in seeds("streams") {
        assert!(!properties::events(&stream).is_empty());
        properties::stream_is_well_formed(&stream);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bodies_are_read_or_refused(body in changed("bodies")) {
        properties::body_is_read_or_refused(&body);
    }

    #[test]
    fn any_bytes_are_refused_or_read(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        properties::body_is_read_or_refused(&body);
    }

    #[test]
    fn changed_streams_are_well_formed(bytes in changed("streams")) {
        properties::stream_is_well_formed(&bytes);
    }

    #[test]
    fn any_stream_is_well_formed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        properties::stream_is_well_formed(&bytes);
    }
}

/// What this thread has computed: waiting for a processor that others use is no fault of a body's.
fn on_a_processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = stat.split(' ').next().unwrap();
    Duration::from_nanos(nanos.parse().unwrap())
}

#[test]
fn nobody_can_send_a_body_that_takes_long_to_read() {
    let long = properties::LONGEST;
    let filled = |head: &str, piece: &str, tail: &str| {
        let times = (long - head.len() - tail.len()) / piece.len();
        format!("{head}{}{tail}", piece.repeat(times))
    };
    let user = r#"{"role":"user","content":"hi"},"#;
    let last = r#"{"role":"user","content":"hi"}]}"#;
    let parts = r#"{"messages":[{"role":"user","content":["#;
    for body in [
        filled("", "[", ""),
        filled("{\"messages\":", "[", ""),
        filled("", "{\"a\":", ""),
        filled("{\"temperature\":", "9", "}"),
        filled("{\"temperature\":1e", "9", "}"),
        filled("{\"temperature\":0.", "0", "1}"),
        filled("{\"model\":\"", "\\u2028", "\"}"),
        filled("{\"messages\":[", user, last),
        filled(
            parts,
            r#"{"type":"text","text":"a"},"#,
            r#"{"type":"text","text":""}]}]}"#,
        ),
        filled("{", "\"x\":1,", "\"y\":2}"),
        filled("{\"stop\":[", "\"\",", "\"\"]}"),
        filled("{\"messages\":[", "[],", "[]]}"),
        filled("", " ", "{}"),
        filled(
            "{\"messages\":[{\"role\":\"user\",\"content\":\"",
            "\\ud83d\\ude00",
            "\"}]}",
        ),
    ] {
        // A third of a second at most was measured, read twice and unoptimised; a square would take hours.
        let begun = on_a_processor();
        properties::body_is_read_or_refused(body.as_bytes());
        let taken = on_a_processor().saturating_sub(begun);
        assert!(
            taken < Duration::from_secs(2),
            "{taken:?}: {} …",
            &body[..40]
        );
    }
}
