//! Who is typing: people until they stop, leave or fall silent, an agent for as long as it holds its lease.
//!
//! ```text
//!  connection ── Typed, Stopped, Left ──> typing ── TypingSet (watch) ──> whoever looks
//!  agent's turn ── Lend ──> typing ── TypingLease (RAII) ──> the turn
//! ```
//!
//! Viewers hear whole sets, and only when one differs from what they know: to miss one loses nothing. A restart forgets
//! keystrokes, which are said again within seconds, and keeps leases and viewers.
//!
//! Invariants: nothing polls, nobody is shown as typing at or after their deadline, and no order is lost between a start
//! and a stop: both go through one mailbox.

mod actor;
mod board;
pub mod messages;
mod meters;
pub mod typists;

pub use actor::{CHILD_ID, Typing, TypingSeed, child};
pub use board::{TypingLease, TypingSet};
pub use messages::{
    Left, Lend, SetExpiry, Status, Stopped, Tally, Typed, TypingError, TypingStatus, Watch,
};
pub use typists::EXPIRY;
