//! The section `realtime`: where to listen, and the rhythm of streams, under the names the gateway gives them.

use std::net::{Ipv4Addr, SocketAddr};

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Span;

/// Where to listen, and the rhythm of streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Realtime {
    /// The address to listen on; port 0 takes a free one. Off loopback somebody must have a token; 127.0.0.1:7007 by
    /// default.
    #[garde(skip)]
    #[schemars(with = "String", extend("x-allowed" = "an address with a port, such as 127.0.0.1:7007"))]
    pub bind: SocketAddr,
    /// A client that takes less than 32 KiB of its answer while bytes wait for so long is hung up on. 100ms to 1h; 1m by
    /// default.
    #[garde(range(min = 100, max = 3_600_000))]
    pub write_time: Span,
    /// After so long without a byte a stream sends a comment. 100ms to 1h; 15s by default.
    #[garde(range(min = 100, max = 3_600_000))]
    pub ping: Span,
    /// How long a graceful stop waits for running answers. 1s to 10m; 3s by default.
    #[garde(range(min = 1000, max = 600_000))]
    pub drain: Span,
    /// How long a client may take to say who it is. 1s to 1m; 10s by default.
    #[garde(range(min = 1000, max = 60_000))]
    pub identify: Span,
    /// How long a session waits for its client to come back. 1s to 10m; 2m by default.
    #[garde(range(min = 1000, max = 600_000))]
    pub resume: Span,
    /// Who has typed nothing for so long is not shown as typing. 1s to 2m; 10s by default.
    #[garde(range(min = 1000, max = 120_000))]
    pub typing: Span,
    /// So long before the end of the drain, answers that still run are ended with an error. 0 to 900ms; 500ms by default.
    #[garde(range(min = 0, max = 900))]
    pub last_word: Span,
}

impl Default for Realtime {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 7007)),
            write_time: Span::from_secs(60),
            ping: Span::from_secs(15),
            drain: Span::from_secs(3),
            identify: Span::from_secs(10),
            resume: Span::from_secs(120),
            typing: Span::from_secs(10),
            last_word: Span::from_millis(500),
        }
    }
}
