//! The section `telemetry`: what is logged.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// What is logged on standard error, such as info or supervision=debug,warn. 1 to 1000 bytes; the built-in choice by
    /// default.
    #[garde(inner(length(min = 1, max = 1000)))]
    pub log: Option<String>,
}
