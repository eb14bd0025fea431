//! The section `personality`: how answers sound, as words and shares that become standing instructions.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How answers sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Personality {
    /// Instructions in the user's own words. At most 16 000 characters; none by default. Kept out of the history of
    /// changes, because they may be private.
    #[garde(length(chars, max = 16_000))]
    #[schemars(extend("x-secret" = true))]
    pub custom_instructions: Option<String>,
    /// The tone: formal, casual, friendly, professional or neutral (the default).
    #[garde(skip)]
    pub tone: Tone,
    /// Whom an answer is written for: beginner, intermediate (the default), advanced or expert.
    #[garde(skip)]
    pub expertise: Expertise,
    /// How much is said: concise, balanced (the default) or detailed.
    #[garde(skip)]
    pub verbosity: Verbosity,
    /// Share of creativity; up to 0.2 and from 0.8 on it is told. 0 to 1; 0.5 by default.
    #[garde(range(min = 0.0, max = 1.0))]
    pub creativity: f64,
    /// Share of formality; up to 0.2 and from 0.8 on it is told. 0 to 1; 0.5 by default.
    #[garde(range(min = 0.0, max = 1.0))]
    pub formality: f64,
    /// Share of humour; up to 0.2 and from 0.8 on it is told. 0 to 1; 0.3 by default.
    #[garde(range(min = 0.0, max = 1.0))]
    pub humour: f64,
    /// Share of empathy; up to 0.2 and from 0.8 on it is told. 0 to 1; 0.7 by default.
    #[garde(range(min = 0.0, max = 1.0))]
    pub empathy: f64,
    /// Traits in a word or two each. At most 32 of 1 to 100 bytes; none by default.
    #[garde(length(max = 32), inner(length(min = 1, max = 100)))]
    pub traits: Vec<String>,
}

/// The tone of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Tone {
    /// As in a letter.
    Formal,
    /// As among friends.
    Casual,
    /// Warm.
    Friendly,
    /// As at work.
    Professional,
    /// Plain.
    #[default]
    Neutral,
}

/// Whom an answer is written for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Expertise {
    /// Someone new to it.
    Beginner,
    /// Someone who knows the basics.
    #[default]
    Intermediate,
    /// Someone who works with it.
    Advanced,
    /// Someone who knows it all but the answer.
    Expert,
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Verbosity {
    /// The answer alone.
    Concise,
    /// With what is needed to follow it.
    #[default]
    Balanced,
    /// With everything around it.
    Detailed,
}

impl Default for Personality {
    fn default() -> Self {
        Self {
            custom_instructions: None,
            tone: Tone::default(),
            expertise: Expertise::default(),
            verbosity: Verbosity::default(),
            creativity: 0.5,
            formality: 0.5,
            humour: 0.3,
            empathy: 0.7,
            traits: Vec::new(),
        }
    }
}
