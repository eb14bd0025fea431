//! Everything that can be set, one struct a section, so that a setting has one name, one range and one default.
//!
//! A section has no other way in than `check`: nothing here is used before it was validated.

mod agents;
mod behaviour;
mod chat;
mod forms;
mod limits;
mod memory;
mod model;
mod personality;
mod realtime;
mod recall;
mod server;
mod telemetry;
mod tools;
mod ui;

pub use agents::{Agent, DEFAULT_AGENT, ToolChoice};
pub use behaviour::{Behaviour, Flow, FollowUp};
pub use chat::{Chat, Overflow};
pub use limits::Limits;
pub use memory::Memory;
pub use model::{Device, Model, Precision};
pub use personality::{Expertise, Personality, Tone, Verbosity};
pub use realtime::Realtime;
pub use recall::Recall;
pub use server::{Auth, Server};
pub use telemetry::{LogFormat, Telemetry};
pub use tools::{Approval, McpServer, Tools};
pub use ui::{Animations, Colours, Density, Layout, Theme, Ui};

use std::collections::BTreeMap;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All settings of Paraphym.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What a conversation is run with.
    #[garde(dive)]
    pub chat: Chat,
    /// How answers sound.
    #[garde(dive)]
    pub personality: Personality,
    /// How a conversation is led.
    #[garde(dive)]
    pub behaviour: Behaviour,
    /// How the page looks.
    #[garde(dive)]
    pub ui: Ui,
    /// Which model answers, how tokens are chosen, and how models are kept.
    #[garde(dive)]
    pub model: Model,
    /// How much memory is used.
    #[garde(dive)]
    pub memory: Memory,
    /// The bounds of the HTTP edge.
    #[garde(dive)]
    pub limits: Limits,
    /// Who may ask over HTTP.
    #[garde(dive)]
    pub server: Server,
    /// Where to listen, and the rhythm of streams.
    #[garde(dive)]
    pub realtime: Realtime,
    /// What is logged.
    #[garde(dive)]
    pub telemetry: Telemetry,
    /// Roles by name; the one named `default` answers where none is asked for. At most 64.
    #[garde(length(max = 64), dive)]
    pub agents: BTreeMap<String, Agent>,
    /// What agents may do, and where their tools come from.
    #[garde(dive)]
    pub tools: Tools,
    /// What is remembered over conversations, and how it is found again.
    #[garde(dive)]
    pub recall: Recall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        let report = Settings::default().validate();
        assert!(report.is_ok(), "{report:?}");
    }
}
