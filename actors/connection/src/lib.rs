//! One client that is connected in real time.
//!
//! Invariants: a slow reader grows nothing beyond its bound and slows nobody; what is numbered is sent again in order or
//! not at all, never with a gap; a frame that is wrong costs its sender an error and nobody else anything.

pub mod handshake;
pub mod liveness;
pub mod outbox;
pub mod pace;
pub mod replay;
pub mod session;
pub mod wire;

use std::time::Duration;

use wire::{FrameError, ServerFrame};

/// Whole milliseconds.
fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a client hears of a frame that was not understood.
fn not_understood(error: &FrameError) -> ServerFrame {
    ServerFrame::Error {
        code: error.code().to_owned(),
        message: error.to_string(),
        field: error.field(),
        about: error.about().map(str::to_owned),
        nonce: None,
        retry_after_ms: None,
    }
}
