//! One client that is connected in real time.
//!
//! ```text
//!  transport ── first words ──> Connections ── starts, or hands over to ──> connection*
//!  transport <── frames ──> connection* (Session) ── sit, say ──> Rooms
//!                               │ Typed, Stopped, Left ──> typing
//! ```
//!
//! Invariants: a slow reader grows nothing beyond its bound and slows nobody; what is numbered is sent again in order or
//! not at all, never with a gap; a frame that is wrong costs its sender an error and nobody else anything.

mod actor;
mod acts;
pub mod client;
pub mod deps;
pub mod handshake;
pub mod liveness;
pub mod messages;
mod meters;
pub mod outbox;
mod outlet;
pub mod pace;
pub mod pass;
mod pumps;
mod register;
pub mod replay;
mod said;
pub mod session;
mod translate;
pub mod transport;
pub mod wire;

use std::time::Duration;

pub use actor::{Connection, Seed, Who};
pub use client::{Admission, Admitted, Connections, Refused, children};
pub use deps::{Deps, History, TreeFeed};
pub use messages::{Close, ConnectionStatus, Status};
pub use meters::closed;
pub use pass::{Free, Pass, TooMuch};
pub use register::{NoPlace, Seats};
pub use room::Held;
pub use said::{Part, Said};
pub use session::{Limits, State};
pub use transport::{Gone, Incoming, Outgoing, Transport};
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
        conversation: None,
        nonce: None,
        retry_after_ms: None,
    }
}

/// What a client hears of what is not accepted.
fn refused(code: &str, about: &str, message: String) -> ServerFrame {
    ServerFrame::Error {
        code: code.to_owned(),
        message,
        field: None,
        about: Some(about.to_owned()),
        conversation: None,
        nonce: None,
        retry_after_ms: None,
    }
}

/// The same, where it is about one conversation.
fn within(mut frame: ServerFrame, of: &domain::ConversationId) -> ServerFrame {
    if let ServerFrame::Error { conversation, .. } = &mut frame {
        *conversation = Some(of.to_string());
    }
    frame
}

/// What a client hears of what went wrong here.
fn failed(about: &str, message: String) -> ServerFrame {
    refused("failed", about, message)
}
