//! The section `agents`: roles by name, each with what it says differently from the other sections.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forms::tool_patterns;
use super::{Approval, Settings};
use crate::units::Span;

/// The agent that answers where none is named. It need not be set.
pub const DEFAULT_AGENT: &str = "default";

/// A role. What is not set here is as the sections `chat` and `model` have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// Standing instructions, in the place of `chat.system`. At most 16 000 characters; those of `chat.system` by
    /// default. Kept out of the history of changes, because they may be private.
    #[garde(length(chars, max = 16_000))]
    #[schemars(extend("x-secret" = true))]
    pub system: Option<String>,
    /// The model that answers, as in `model.name`. 1 to 4096 bytes; that of `model.name` by default.
    #[garde(inner(length(min = 1, max = 4096)))]
    pub model: Option<String>,
    /// As `model.temperature`. 0 to 2; that one by default.
    #[garde(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// As `model.top_k`. 0 to 1 000 000; that one by default.
    #[garde(range(min = 0, max = 1_000_000))]
    pub top_k: Option<u32>,
    /// As `model.top_p`. 0.001 to 1; that one by default.
    #[garde(range(min = 0.001, max = 1.0))]
    pub top_p: Option<f64>,
    /// As `model.min_p`. 0 to 1; that one by default.
    #[garde(range(min = 0.0, max = 1.0))]
    pub min_p: Option<f64>,
    /// As `model.repetition_penalty`. 0.5 to 2; that one by default.
    #[garde(range(min = 0.5, max = 2.0))]
    pub repetition_penalty: Option<f64>,
    /// As `model.repetition_window`. 0 to 4096; that one by default.
    #[garde(range(min = 0, max = 4096))]
    pub repetition_window: Option<u32>,
    /// As `model.seed`. 0 to 2^63 - 1; that one by default.
    #[garde(range(min = 0, max = 9_223_372_036_854_775_807_u64))]
    pub seed: Option<u64>,
    /// As `model.max_tokens`, of each call of the model. 1 to 1 048 576; that one by default.
    #[garde(range(min = 1, max = 1_048_576))]
    pub max_tokens: Option<u32>,
    /// As `model.stop`. At most 16 of 1 to 1000 bytes; those by default.
    #[garde(inner(length(max = 16)), inner(inner(length(min = 1, max = 1000))))]
    #[schemars(extend("x-allowed" = "a list of texts, at most 16, each of 1 to 1000 bytes"))]
    pub stop: Option<Vec<String>>,
    /// Which tools it may call: their names, `SERVER__*` for all of an MCP server, `*` for all. At most 256 of 1 to 128
    /// bytes; none by default.
    #[garde(custom(tool_patterns))]
    #[schemars(extend("x-allowed" = "a list of at most 256 names of tools; a * may stand at the end of one"))]
    pub tools: Vec<String>,
    /// Whether it calls them: auto (as the model sees fit, the default), required (its first answer calls one: a help
    /// for small models) or none.
    #[garde(skip)]
    pub tool_choice: ToolChoice,
    /// Whether its tools run: auto, ask or deny. It tightens what the section `tools` says and never loosens it; nothing
    /// of its own by default.
    #[garde(skip)]
    pub approval: Option<Approval>,
    /// Whether it recalls what was remembered. No by default.
    #[garde(skip)]
    pub memory: bool,
    /// Whether what was asked and answered is remembered, where `memory` holds. No by default.
    #[garde(skip)]
    pub remember: bool,
    /// Files it answers from, as paths or patterns such as `~/notes/*.md`. At most 256 of 1 to 4096 bytes; none by
    /// default.
    #[garde(length(max = 256), inner(length(min = 1, max = 4096)))]
    pub documents: Vec<String>,
    /// Calls of the model in one turn: each round of tools costs one. 1 to 64; 8 by default.
    #[garde(range(min = 1, max = 64))]
    pub max_turns: u32,
    /// Tokens that one turn may generate, all calls of the model together. 1 to 10 000 000; 65 536 by default.
    #[garde(range(min = 1, max = 10_000_000))]
    pub turn_tokens: u32,
    /// How long one turn may take, waiting for approvals included. 1s to 1d; 1h by default.
    #[garde(range(min = 1000, max = 86_400_000))]
    pub turn_time: Span,
    /// Calls of tools in one turn. 0 to 1000; 32 by default.
    #[garde(range(min = 0, max = 1000))]
    pub turn_tool_calls: u32,
}

/// Whether an agent calls its tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ToolChoice {
    /// As the model sees fit.
    #[default]
    Auto,
    /// The first answer of a turn calls one.
    Required,
    /// It answers in words.
    None,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            system: None,
            model: None,
            temperature: None,
            top_k: None,
            top_p: None,
            min_p: None,
            repetition_penalty: None,
            repetition_window: None,
            seed: None,
            max_tokens: None,
            stop: None,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            approval: None,
            memory: false,
            remember: false,
            documents: Vec::new(),
            max_turns: 8,
            turn_tokens: 65_536,
            turn_time: Span::from_secs(3600),
            turn_tool_calls: 32,
        }
    }
}

impl Settings {
    /// The agent of this name. [`DEFAULT_AGENT`] is always there.
    pub fn agent(&self, name: &str) -> Option<Agent> {
        let usual = (name == DEFAULT_AGENT).then(Agent::default);
        self.agents.get(name).cloned().or(usual)
    }
}
