//! Whatever bytes anybody says on a WebSocket, in whatever frames.
#![no_main]

#[path = "../properties.rs"]
mod properties;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::frames_are_understood_or_refused(bytes));
