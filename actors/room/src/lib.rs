//! One conversation that several look at, people and an agent.
//!
//! ```text
//!  connection* ── sit ──> Rooms ── Seat: the room as it is, then each event ──> connection*
//!  connection  ── say ──> Rooms ── room_answer* (a task under room_supervisor) ──> agent_worker
//!                           ^──────────── each piece, once, for all who look ──────────┘
//! ```
//!
//! What an answer came to is read back from wherever it is written down ([`Record`]), and told behind its end.
//!
//! Invariants: every viewer sees the same, each at its own pace, and one that is slow slows nobody; an answer goes on
//! whoever goes, and ends once; a seat is left with its holder.

mod answer;
mod board;
pub mod client;
pub mod record;
pub mod room;

pub use answer::AGENT;
pub use board::{Heard, Seat};
pub use client::{Held, Rooms, Say, SayError, rooms};
pub use record::Record;
pub use room::{
    Activity, Asked, Ending, Entry, Kept, LiveTurn, Member, Question, Room, RoomError, RoomEvent,
    Speaker,
};
