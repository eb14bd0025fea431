//! The first words of both sides: the server says who it is, the client may say what it understands and how little it
//! wants to be allowed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::level::Level;

/// Says what the client understands, and gives up rights it does not need. May be left out; if it is said, it is the
/// first request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The protocol that the client speaks. Another than the server's is refused.
    pub protocol: u32,
    /// What the client wants to be allowed, at most what it was granted: it can only give up. Not said: what was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The client's name for the audit log, 1 to 60 characters without control characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// Who answers. It is the first line of every connection, as a notification `hello`, and the answer to the request `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Greeting {
    /// The protocol that the server speaks.
    pub protocol: u32,
    /// The server's version.
    pub version: String,
    /// The server's process.
    pub pid: u32,
    /// When the server's control began, in milliseconds since 1970.
    pub started_ms: i64,
    /// What this connection may do.
    pub level: Level,
}
