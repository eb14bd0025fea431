//! Why a call of a tool gave nothing. The text is what the model reads, so each one says what to do now.

use std::time::Duration;

/// A call without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// No tool has this name.
    #[error("there is no tool `{name}`: {}", name_known(known))]
    UnknownTool {
        /// As it was called (cut to 80 characters).
        name: String,
        /// Which there are.
        known: Vec<String>,
    },
    /// The arguments are not what the tool takes.
    #[error("`{tool}` was not called: `{field}` {problem}. Call it again with {allowed}")]
    BadArguments {
        /// The tool.
        tool: String,
        /// Which argument; `arguments` stands for all of them.
        field: String,
        /// What is wrong with it, for example `is missing`.
        problem: String,
        /// What would be accepted.
        allowed: String,
    },
    /// The arguments are too long.
    #[error(
        "`{tool}` was not called: its arguments have {bytes} bytes, and {limit} are allowed. Call it with less"
    )]
    TooLarge {
        /// The tool.
        tool: String,
        /// How long they are.
        bytes: usize,
        /// How long they may be.
        limit: usize,
    },
    /// It did not answer in time.
    #[error(
        "`{tool}` did not answer within {after:?}. It may have taken effect all the same: look before you call it again"
    )]
    TimedOut {
        /// The tool.
        tool: String,
        /// How long it had.
        after: Duration,
    },
    /// Who asked does not want it any more.
    #[error("the call of `{tool}` was cancelled. Do not call it again unless you are asked to")]
    Cancelled {
        /// The tool.
        tool: String,
    },
    /// It tried, and says why it could not.
    #[error("`{tool}` failed: {why}")]
    Failed {
        /// The tool.
        tool: String,
        /// In its own words, with the way out if it knows one.
        why: String,
    },
    /// It was called, and whoever carries it out was lost before the answer.
    #[error(
        "`{tool}` broke off: {why}. Whether it took effect is unknown: look before you call it again"
    )]
    Interrupted {
        /// The tool.
        tool: String,
        /// What was lost.
        why: String,
    },
    /// It was not called: whoever carries it out is not there.
    #[error("`{tool}` was not called: {why}. Go on without it, or try it again later")]
    Unavailable {
        /// The tool.
        tool: String,
        /// Who is not there.
        why: String,
    },
    /// It was not called: it is not allowed.
    #[error("`{tool}` was not called: {why}. Go on without it")]
    Denied {
        /// The tool.
        tool: String,
        /// By whom or what.
        why: String,
    },
}

fn name_known(known: &[String]) -> String {
    if known.is_empty() {
        return "there are no tools at all. Answer in words".to_owned();
    }
    format!("call one of {}", known.join(", "))
}

impl ToolError {
    /// Which kind of error, in one word that never changes: for logs, metrics and clients.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownTool { .. } => "unknown_tool",
            Self::BadArguments { .. } => "bad_arguments",
            Self::TooLarge { .. } => "too_large",
            Self::TimedOut { .. } => "timed_out",
            Self::Cancelled { .. } => "cancelled",
            Self::Failed { .. } => "failed",
            Self::Interrupted { .. } => "interrupted",
            Self::Unavailable { .. } => "unavailable",
            Self::Denied { .. } => "denied",
        }
    }

    /// Whether the tool certainly did nothing: it was not called at all.
    pub fn is_before_the_call(&self) -> bool {
        matches!(
            self,
            Self::UnknownTool { .. }
                | Self::BadArguments { .. }
                | Self::TooLarge { .. }
                | Self::Unavailable { .. }
                | Self::Denied { .. }
        )
    }

    /// Refuses an argument. `problem` follows the field's name (`is missing`); `allowed` follows "call it again with".
    pub fn bad_argument(
        tool: &str,
        field: &str,
        problem: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self::BadArguments {
            tool: tool.to_owned(),
            field: field.chars().take(80).collect(),
            problem: problem.into(),
            allowed: allowed.into(),
        }
    }

    /// It tried and could not.
    pub fn failed(tool: &str, why: impl Into<String>) -> Self {
        Self::Failed {
            tool: tool.to_owned(),
            why: why.into(),
        }
    }
}
