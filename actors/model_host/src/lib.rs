//! Who is resident and who may run; engines travel to the blocking pool, one step at a time.
//!
//! ```text
//!  client::generate ── Generate ──> model_host ──> Book of the model (queue, live sequences, leases; outlives crashes)
//!        ▲                                              │
//!        │ GenerationStream                             ▼            one step
//!        └────────── Outlet <── live <── Lane ── engine travels ──> blocking pool
//!                                         ▲                              │
//!                                         └──────── comes home ──────────┘
//! ```
//!
//! Invariants: every accepted request hears exactly one terminal event, whoever crashes; dropping its stream stops
//! compute within one step; a slow reader delays nobody and loses nothing; nothing is in memory without a lease.

// So that these tests may share the stage of the outer ones.
#[cfg(test)]
extern crate self as paraphym_model_host;

mod actor;
pub mod answer;
mod book;
mod breaker;
pub mod client;
mod config;
#[cfg(test)]
mod crash_tests;
pub mod embedding;
mod fitting;
mod form;
mod kv;
mod lane;
mod live;
mod lookup;
pub mod messages;
pub mod meters;
mod odds;
mod outbox;
mod outlet;
mod pins;
mod prefixes;
pub mod reader;
mod roster;
mod rules;
mod schedule;
mod shelf;
pub mod stream;
mod tokenised;
mod underway;

pub use actor::{
    CHILD_ID, HostSeed, LANE_SUPERVISOR_ID, ModelHost, ModelHostDeps, ResolveModel, children,
};
pub use answer::Answer;
pub use breaker::BreakerState;
pub use client::{Request, embed, generate, warm};
pub use config::{HostConfig, ModelLimits};
pub use embedding::{EmbedRequest, Embeddings};
pub use messages::{
    Cancel, Footprint, Generate, HostStatus, Inspect, ModelState, ModelStatus, Pin, PinError,
    RequestStatus, SetLimits, Status, Totals, Unload, UnloadError, Unpin, Warm,
};
pub use reader::Canceller;
pub use stream::GenerationStream;
