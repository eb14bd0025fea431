//! The section `telemetry`: what is logged, and how it looks.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// What is logged on standard error, such as info or supervision=debug,warn. 1 to 1000 bytes; the built-in choice by
    /// default.
    #[garde(inner(length(min = 1, max = 1000), custom(filter)))]
    #[schemars(extend("x-allowed" = "a log filter of 1 to 1000 bytes, such as info or supervision=debug,warn"))]
    pub log: Option<String>,
    /// How a log line looks: text, one short line for people (the default), or json, an object a line.
    #[garde(skip)]
    pub log_format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "garde passes references")]
fn filter(text: &str, (): &()) -> garde::Result {
    telemetry::check_filter(text).map_err(garde::Error::new)
}
