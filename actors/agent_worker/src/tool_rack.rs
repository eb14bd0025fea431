//! Where the tools of a turn come from: those that are always there, and those that other programs offer now.

use std::fmt;
use std::sync::Arc;

use domain::{ToolCall, ToolOutcome};
use toolbox::{Limits, Tool, ToolError, ToolOutput, ToolSource, Toolbox};

use crate::settings::TurnSettings;
use crate::work::Assessed;

/// All tools there are.
#[derive(Clone, Default)]
pub struct ToolRack {
    built_in: Toolbox,
    sources: Vec<Arc<dyn ToolSource>>,
}

impl fmt::Debug for ToolRack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolRack").field(&self.built_in).finish()
    }
}

impl ToolRack {
    /// These tools, and at each turn those that the sources offer then. Who comes first keeps its name.
    pub fn new(built_in: Toolbox, sources: Vec<Arc<dyn ToolSource>>) -> Self {
        Self { built_in, sources }
    }

    /// What one turn may call, within its limits; `own` are tools of this turn alone.
    pub(crate) fn of(&self, settings: &TurnSettings, own: Vec<Arc<dyn Tool>>) -> Toolbox {
        let filter = settings.tools.filter();
        let offered = self.sources.iter().flat_map(|source| source.tools());
        let merged = self.built_in.merged(own.into_iter().chain(offered));
        for error in merged.skipped {
            tracing::debug!(%error, "a tool is left out");
        }
        let limits = Limits {
            timeout: settings.limits.tool_time,
            max_output_bytes: settings.limits.result_bytes,
            ..merged.toolbox.limits()
        };
        merged.toolbox.only(&filter).with_limits(limits)
    }
}

/// What a toolbox says of a call before anything runs.
pub(crate) fn assess(toolbox: &Toolbox, call: &ToolCall) -> Assessed {
    let tool = toolbox.get(&call.name);
    Assessed {
        refused: toolbox.check(call).err().map(|error| error.to_string()),
        read_only: tool.is_some_and(|tool| tool.is_read_only()),
        idempotent: tool.is_some_and(|tool| tool.is_idempotent()),
        call: call.clone(),
    }
}

/// How a call ended, as the turn tells it.
pub(crate) fn outcome(ended: Result<ToolOutput, ToolError>) -> ToolOutcome {
    match ended {
        Ok(output) => {
            let cut = output.is_truncated();
            let text = output.text;
            ToolOutcome::Ok { text, cut }
        }
        Err(error @ ToolError::Denied { .. }) => ToolOutcome::Denied(error.to_string()),
        Err(error @ ToolError::Interrupted { .. }) => ToolOutcome::Unknown(error.to_string()),
        Err(error) => ToolOutcome::Failed(error.to_string()),
    }
}
