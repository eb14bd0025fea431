//! How much one call may take.

use std::time::Duration;

/// How long a tool may ask for. 10 minutes: nobody waits longer for one step of an answer.
pub const MAX_TIMEOUT: Duration = Duration::from_mins(10);

/// What bounds every call through a [`Toolbox`](crate::Toolbox).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long one call may take, unless the tool says otherwise. 30 s: somebody waits for the answer of this turn.
    pub timeout: Duration,
    /// How long arguments may be, in bytes. 64 KiB: a model that says more is repeating itself.
    pub max_argument_bytes: usize,
    /// How much of a result the model reads, in bytes; the rest is left out, with a note. 16 KiB: about 4000 tokens, half
    /// of a small model's window.
    pub max_output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            max_argument_bytes: 64 << 10,
            max_output_bytes: 16 << 10,
        }
    }
}
