//! Control of a running host: JSON-RPC 2.0 on a Unix socket, the server as a supervised child, and a typed client.
//!
//! ```text
//!  paraphym ctl ─> client ─ lines ─> server (child `control`) ─> session (what may be asked) ─> desk (who is asked) ─> actors
//!                         <─ lines ─                          <─ answers, events
//! ```
//!
//! Invariants: nothing here reaches into anybody's state, every method is a message with a deadline; only the same user or
//! root is heard; whatever a client sends or does not read, nobody else notices; nothing is changed that is not written down.

pub mod client;
pub mod codec;
mod config;
mod connection;
mod convert;
mod desk;
pub mod edge;
mod loud;
mod past;
pub mod place;
pub mod protocol;
mod seats;
mod server;
pub mod session;

pub use client::{Client, ClientError, News};
pub use config::{ControlConfig, ControlDeps, Limits};
pub use protocol::level::Level;
pub use protocol::rpc::{Code, RpcError};
pub use server::{CHILD_ID, child};
