//! Whatever bytes anybody posts as a chat request.
#![no_main]

#[path = "../properties.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod properties;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| properties::body_is_read_or_refused(body));
