//! One conversation, one actor: it remembers what was said, runs one turn at a time and lets a few wait.
//!
//! ```text
//!  Agents::ask ──RunTurn──> AgentWorker ──Effect::Start──> turn task ──generate──> model_host
//!      ^                        │ Turns (core)                │ text, progress
//!      └──────── TurnStream <───┴── the last event ───────────┘
//! ```
//!
//! What was said lies on a shelf in memory, and nowhere else: it is gone with the process, and before that when the
//! conversation was idle for `kept_for` or there is no room for it. A live conversation is never forgotten.
//!
//! Invariants: a turn's stream ends with exactly one terminal event; dropping it stops the model within one step; a
//! full reader never stalls the worker's inbox; a crash of the worker loses at most the turn that ran.

mod actor;
pub mod agent_run;
pub mod answer;
pub mod client;
mod drive;
pub mod framing;
pub mod histories;
pub mod history;
pub mod keeper;
mod listener;
#[cfg(feature = "memory")]
pub mod long_term;
pub mod messages;
pub mod models;
pub mod outcome;
pub mod recalls;
pub mod settings;
pub mod shelf;
pub mod stream;
pub mod tool_rack;
pub mod turn;
pub mod turns;
pub mod work;

pub use actor::{AgentWorker, Seed};
pub use answer::{ToolEnd, TurnAnswer};
pub use client::{Agents, Workers, children};
pub use messages::{
    CancelTurn, ClearHistory, LoadHistory, ReadHistory, RunTurn, Steer, SteerError,
};
pub use settings::{
    Approvals, Config, MemorySettings, ToolFilter, TurnLimits, TurnSettings, Window,
};
pub use stream::TurnStream;
