//! The section `recall`: what is remembered over conversations, and how it is found again.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Span;

/// How memories and documents are found. Which agents do so at all is theirs to say (`agents.NAME.memory`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Recall {
    /// Whether any agent may recall or remember. Yes by default.
    #[garde(skip)]
    pub enabled: bool,
    /// The model that tells what texts mean. Without it, it is searched by words alone. 1 to 4096 bytes;
    /// all-minilm-l6-v2 by default.
    #[garde(length(min = 1, max = 4096))]
    pub model: String,
    /// How many memories and passages a turn is given. 1 to 50; 5 by default.
    #[garde(range(min = 1, max = 50))]
    pub hits: u32,
    /// How many tokens of the window they may take together. 1 to 100 000; 1000 by default.
    #[garde(range(min = 1, max = 100_000))]
    pub max_tokens: u32,
    /// How long a turn waits for them before it goes on without. 1ms to 1m; 5s by default.
    #[garde(range(min = 1, max = 60_000))]
    pub deadline: Span,
    /// How fast a memory fades that is not recalled: `exp(-this)` of its freshness is left after a day. 0 to 10; 0.1 by
    /// default.
    #[garde(range(min = 0.0, max = 10.0))]
    pub decay_per_day: f64,
}

impl Default for Recall {
    fn default() -> Self {
        Self {
            enabled: true,
            model: "all-minilm-l6-v2".to_owned(),
            hits: 5,
            max_tokens: 1000,
            deadline: Span::from_secs(5),
            decay_per_day: 0.1,
        }
    }
}
