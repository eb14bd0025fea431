//! The section `chat`: the bounds of conversations, under the names agent workers give them.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Size, Span};

/// What a conversation is run with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Chat {
    /// Standing instructions put before the history. At most 16 000 characters; none by default. Kept out of the history
    /// of changes, because they may be private.
    #[garde(length(chars, max = 16_000))]
    #[schemars(extend("x-secret" = true))]
    pub system: Option<String>,
    /// What to do with a conversation that does not fit the model's window: `drop_oldest` (the default), compact or
    /// refuse.
    #[garde(skip)]
    pub context: Overflow,
    /// Turns of one conversation that may wait behind the running one. 0 to 1000; 8 by default.
    #[garde(range(min = 0, max = 1000))]
    pub waiting_turns: u32,
    /// The longest text of one turn, in characters. 1 to 10 000 000; 100 000 by default.
    #[garde(range(min = 1, max = 10_000_000))]
    pub text_chars: u32,
    /// The longest history of one conversation, in characters. 1 to 100 000 000; 400 000 by default.
    #[garde(range(min = 1, max = 100_000_000))]
    pub history_chars: u32,
    /// A conversation's worker without a turn for this long ends; its history is kept. 1s to 30d; 10m by default.
    #[garde(range(min = 1000, max = 2_592_000_000_u64))]
    pub idle: Span,
    /// How long a graceful stop waits for accepted turns. 0 to 10m; 5s by default.
    #[garde(range(min = 0, max = 600_000))]
    pub drain: Span,
    /// Crashes of workers within a minute after which their supervisor gives up. 1 to 1000; 10 by default.
    #[garde(range(min = 1, max = 1000))]
    pub crashes_per_minute: u32,
    /// Conversations with a live worker. 1 to 1 000 000; 1024 by default.
    #[garde(range(min = 1, max = 1_000_000))]
    pub live_conversations: u32,
    /// Idle conversations whose history is kept in memory. 1 to 1 000 000; 256 by default.
    #[garde(range(min = 1, max = 1_000_000))]
    pub kept_conversations: u32,
    /// The most memory their text may take, all together. 64KiB to 1TiB; 64MiB by default.
    #[garde(range(min = 65_536, max = 1_099_511_627_776_u64))]
    pub kept_bytes: Size,
    /// A conversation that was idle for this long is forgotten. 1m to 365d; 1d by default.
    #[garde(range(min = 60_000, max = 31_536_000_000_u64))]
    pub kept_for: Span,
}

/// What to do with a conversation that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Overflow {
    /// Leave out the oldest messages until it fits.
    #[default]
    DropOldest,
    /// The same, and put a short note of what was asked in them in their place.
    Compact,
    /// Refuse it.
    Refuse,
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            system: None,
            context: Overflow::DropOldest,
            waiting_turns: 8,
            text_chars: 100_000,
            history_chars: 400_000,
            idle: Span::from_secs(600),
            drain: Span::from_secs(5),
            crashes_per_minute: 10,
            live_conversations: 1024,
            kept_conversations: 256,
            kept_bytes: Size::from_bytes(64 << 20),
            kept_for: Span::from_secs(86_400),
        }
    }
}
