//! What a turn is run with: chosen anew for each turn, so that a change takes effect on the very next one.

use std::time::Duration;

use domain::generation::ContextPolicy;
use domain::{Bytes, KeepAlive, ModelName, Sampling};

/// The choices of one turn.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnSettings {
    /// Which model answers.
    pub model: ModelName,
    /// Standing instructions put before the history; not part of it.
    pub system: Option<String>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What to do when history and text do not fit the model's window.
    pub context: ContextPolicy,
    /// How long the model stays in memory after this turn; `None` for the host's own time.
    pub keep_alive: Option<KeepAlive>,
}

impl TurnSettings {
    /// `model` with default sampling, no instructions, and the oldest messages left out when they do not fit.
    pub fn new(model: ModelName) -> Self {
        Self {
            model,
            system: None,
            sampling: Sampling::default(),
            context: ContextPolicy::DropOldest,
            keep_alive: None,
        }
    }
}

/// The bounds of agent workers. Each says why it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Turns of one conversation that may wait behind the running one: a person types ahead a little, a program that
    /// types ahead more is told so. 8 by default.
    pub waiting_turns: usize,
    /// The longest text of one turn, in characters: beyond any window of the models run here. 100 000 by default.
    pub text_chars: usize,
    /// The longest history of one conversation, in characters: what is older is forgotten first. 400 000 by default.
    pub history_chars: usize,
    /// A worker without a turn for this long ends itself; its history is kept. 10 minutes by default.
    pub idle: Duration,
    /// How long a graceful stop waits for accepted turns. 5 seconds by default.
    pub drain: Duration,
    /// Crashes of workers within a minute, all conversations together, after which their supervisor gives up: so many
    /// are a bug, not bad luck. 10 by default.
    pub crashes_per_minute: u32,
    /// Conversations with a live worker, so that a loop over fresh ids cannot take all memory. 1024 by default.
    pub live_conversations: usize,
    /// Idle conversations whose history is kept in memory; the one that was idle for longest is forgotten first. 256 by
    /// default.
    pub kept_conversations: usize,
    /// The text of all idle conversations together, as above. 64 MiB by default: 256 long ones.
    pub kept_bytes: Bytes,
    /// A conversation that was idle for this long is forgotten. A day by default; [`Duration::MAX`] for ever.
    pub kept_for: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            waiting_turns: 8,
            text_chars: 100_000,
            history_chars: 400_000,
            idle: Duration::from_mins(10),
            drain: Duration::from_secs(5),
            crashes_per_minute: 10,
            live_conversations: 1024,
            kept_conversations: 256,
            kept_bytes: Bytes::mib(64),
            kept_for: Duration::from_hours(24),
        }
    }
}
