//! Tools of other programs: one supervised child for each server that speaks the Model Context Protocol.
//!
//! ```text
//!  mcp_supervisor ── mcp_client-NAME (actor) ── connection (its task) ── process group, or HTTP
//!                          │ writes                    │ rmcp
//!                        board <── reads ── ServerTool ┘ calls, in its caller's task
//!                          └────── reads ── McpServers ── tools of now ──> Toolbox
//! ```
//!
//! Invariants: a server that hangs, dies, floods or speaks nonsense is a tool's error and never more; a call is sent at most
//! once; and when a connection is over, however that came about, nothing of its process group runs.

#[cfg(test)]
extern crate self as paraphym_mcp_client;

mod actor;
mod answer;
mod board;
mod client;
mod config;
mod course;
#[cfg(test)]
mod crash_tests;
mod event_size;
mod group;
mod http;
mod messages;
mod meters;
mod offer;
mod server_tool;
mod session;
mod stdio;
mod throttle;
mod tolerance;

pub use actor::{McpServer, Seed};
pub use board::ServerState;
pub use client::{ChangeError, McpServers, SUPERVISOR_ID, ServerStatus, children};
pub use config::{MAX_SERVER_NAME, MAX_SERVERS, ServerConfig, ServersError, Transport};
pub use messages::Reconnect;
