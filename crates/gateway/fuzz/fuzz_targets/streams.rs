//! Whatever a model says, in whatever order, as a stream of events.
#![no_main]

#[path = "../properties.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod properties;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::stream_is_well_formed(bytes));
