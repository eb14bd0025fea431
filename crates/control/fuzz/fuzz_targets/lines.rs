//! Whatever bytes anybody says on the control socket, in whatever pieces.
#![no_main]

#[path = "../properties.rs"]
mod properties;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| properties::a_session_answers_every_line_once(bytes));
