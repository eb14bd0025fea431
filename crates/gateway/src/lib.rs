//! The HTTP edge: the OpenAI API (chats, completions, embeddings, models), cancelling by name, a description of itself,
//! health, readiness and metrics; connections in real time and the page that speaks over them; on the one runtime, under a
//! supervisor.
//!
//! ```text
//!  TcpListener ─> connection (hyper) ─> guard ─> api ─> request (JSON -> domain) ─> model_host
//!                                                        answer (events -> bytes) <───┘
//!                                              └─> ws (101) ─> connection*
//! ```
//!
//! Invariants: a closed connection drops its stream, and compute stops within one step; nothing is read without a limit
//! in bytes and in time; a probe is not activity; off loopback nothing is served without a token, and where none is needed nothing to a foreign page;
//! no name leads to the disk but those that are listed.

pub mod answer;
mod api;
pub mod config;
mod document;
pub mod error;
mod guard;
mod http;
mod ids;
mod meters;
mod page;
pub mod readiness;
pub mod request;
mod routes;
mod server;
mod serving;
mod ws;

pub use config::{Check, GatewayConfig, GatewayDeps, GatewayError, Limits};
pub use guard::access::{Access, Auth, Tokens};
pub use guard::seating::{Occupancy, OpenConnection};
pub use guard::seats::Kind;
pub use guard::underway::NamedAnswer;
pub use server::{Gateway, child};
pub use serving::Serving;
