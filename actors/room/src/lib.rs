//! One conversation that several look at.
//!
//! Invariants: every viewer sees the same, each at its own pace; an answer goes on whoever looks, and ends once.

pub mod room;

pub use room::{Activity, Asked, Ending, LiveTurn, Member, Question, Room, RoomError, RoomEvent};
