//! The HTTP edge: OpenAI chat completions, health, readiness and metrics, on the one runtime, under a supervisor.
//!
//! ```text
//!  TcpListener ─> connection (hyper) ─> router ─> wire (JSON -> domain) ─> model_host::generate
//!                                                   sse / reply (events -> bytes) <─┘
//! ```
//!
//! Invariants: a closed connection drops its stream, and compute stops within one step; nothing is read without a limit
//! in bytes and in time; a probe is not activity; off loopback nothing is served without a token, and on it nothing to a foreign page;
//! no name leads to the disk but those that are listed.

mod chat;
pub mod config;
pub mod error;
mod hangup;
mod http;
mod ids;
mod meters;
mod origin;
mod patience;
mod probes;
pub mod readiness;
pub mod reply;
mod server;
pub mod sse;
pub mod wire;

pub use config::{GatewayConfig, GatewayDeps, GatewayError, Limits};
pub use server::{Gateway, child};
