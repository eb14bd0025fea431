//! No MCP server is reached by this build; those of the settings are not started, and that is said once.

use chat_config::settings::Settings;

use crate::start_error::StartError;
use crate::tools::Reached;

/// Nothing is held of what is not there.
pub(crate) struct Held;

/// There is nothing to choose.
#[derive(Default)]
pub(crate) struct Choice;

impl Choice {
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as where servers are reached"
    )]
    pub(crate) fn reach(self, first: &Settings) -> Result<(Reached, Held), StartError> {
        if first.tools.mcp.values().any(|server| server.enabled) {
            tracing::warn!(
                "the settings name MCP servers, which this build cannot reach: build it with the feature `mcp`"
            );
        }
        Ok((Reached::default(), Held))
    }
}
