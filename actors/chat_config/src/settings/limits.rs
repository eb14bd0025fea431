//! The section `limits`: the bounds of the HTTP edge, under the names the gateway gives them.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Size, Span};

/// The bounds of the HTTP edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections; further ones are told to come back, and a quarter at most may be silent ones of one address. 1 to 100 000; 256 by default.
    #[garde(range(min = 1, max = 100_000))]
    pub connections: u32,
    /// Answers at once; further ones are refused. 1 to 10 000; 64 by default.
    #[garde(range(min = 1, max = 10_000))]
    pub answers: u32,
    /// The largest head of a request. 8KiB to 1MiB; 64KiB by default.
    #[garde(range(min = 8192, max = 1_048_576))]
    pub head_bytes: Size,
    /// The largest request body. 1KiB to 1GiB; 1MiB by default.
    #[garde(range(min = 1024, max = 1_073_741_824))]
    pub body_bytes: Size,
    /// Sessions in real time, those included that wait for their client to come back. 1 to 1 000 000; 20 000 by default.
    #[garde(range(min = 1, max = 1_000_000))]
    pub sessions: u32,
    /// The same of one person. 1 to 100 000; 64 by default.
    #[garde(range(min = 1, max = 100_000))]
    pub sessions_of_one: u32,
    /// The largest frame of a session's client. 1KiB to 1MiB; 256KiB by default.
    #[garde(range(min = 1024, max = 1_048_576))]
    pub frame_bytes: Size,
    /// Frames a second of a session's client, on average; three times as many at once. 1 to 10 000; 20 by default.
    #[garde(range(min = 1, max = 10_000))]
    pub frames_per_second: u32,
    /// How long a request's head may take. 100ms to 1h; 30s by default.
    #[garde(range(min = 100, max = 3_600_000))]
    pub head_time: Span,
    /// How long its body may take. 100ms to 1h; 30s by default.
    #[garde(range(min = 100, max = 3_600_000))]
    pub body_time: Span,
    /// How long a probe waits for the model host. 10ms to 1m; 2s by default.
    #[garde(range(min = 10, max = 60_000))]
    pub probe_time: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            answers: 64,
            head_bytes: Size::from_bytes(64 << 10),
            body_bytes: Size::from_bytes(1 << 20),
            sessions: 20_000,
            sessions_of_one: 64,
            frame_bytes: Size::from_bytes(256 << 10),
            frames_per_second: 20,
            head_time: Span::from_secs(30),
            body_time: Span::from_secs(30),
            probe_time: Span::from_secs(2),
        }
    }
}
