//! The open connections of the server for requests, and how one is closed. Sizes are in bytes, times in milliseconds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Connections that are listed: a few hundred bytes each, far from what a line takes.
pub const LISTED: usize = 1000;

/// Asks for the open connections of the server for requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connections {}

/// The open connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionsAnswer {
    /// Connections that may be open.
    pub limit: usize,
    /// Connections that are; more than the limit, once that was lowered.
    pub open: usize,
    /// Connections that were sent away since the process began, because there was no room.
    pub refused: u64,
    /// The oldest first, at most 1000.
    pub connections: Vec<Connection>,
    /// Those that are not listed.
    pub unlisted: usize,
}

/// One open connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Connection {
    /// Its number; no other of this process has it.
    pub id: u64,
    /// What it is for: `http` or `websocket`. There may be more kinds later.
    pub kind: String,
    /// Who is at the other end: the address of the client, or of the proxy before it.
    pub peer: String,
    /// For how long it has been open.
    pub open_ms: u64,
    /// Whether it has not sent a whole request yet.
    pub silent: bool,
    /// Requests so far.
    pub requests: u64,
    /// Bytes that were read from it.
    pub read_bytes: u64,
    /// Bytes that were handed to the kernel for it.
    pub written_bytes: u64,
    /// What the answers under way on it call themselves: `cancel` takes it.
    pub answers: Vec<String>,
}

/// Closes a connection at once; its answers end as when a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kick {
    /// Its number, as `connections` says it.
    pub id: u64,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}
