//! The section `behaviour`: how a conversation is led.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a conversation is led.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// How readily the assistant brings up something itself; up to 0.2 and from 0.8 on it is told. 0 to 1; 0.5 by default.
    #[garde(range(min = 0.0, max = 1.0))]
    pub proactivity: f64,
    /// How often it asks back; up to 0.2 and from 0.8 on it is told. 0 to 1; 0.3 by default.
    #[garde(range(min = 0.0, max = 1.0))]
    pub question_frequency: f64,
    /// How a conversation flows: natural (the default), structured, adaptive or guided.
    #[garde(skip)]
    pub flow: Flow,
    /// How it follows up: contextual (the default), consistent, adaptive or minimal.
    #[garde(skip)]
    pub follow_up: FollowUp,
}

/// How a conversation flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Flow {
    /// As talk goes.
    #[default]
    Natural,
    /// Point by point.
    Structured,
    /// As the user does.
    Adaptive,
    /// Led by the assistant.
    Guided,
}

/// How the assistant follows up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum FollowUp {
    /// Where the context asks for it.
    #[default]
    Contextual,
    /// Always.
    Consistent,
    /// As the user does.
    Adaptive,
    /// Hardly.
    Minimal,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            proactivity: 0.5,
            question_frequency: 0.3,
            flow: Flow::default(),
            follow_up: FollowUp::default(),
        }
    }
}
