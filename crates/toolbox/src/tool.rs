//! One tool: what the model is told of it, and how it is called. Object-safe, because a toolbox holds tools of any origin.

use std::sync::Arc;
use std::time::Duration;

use domain::{ToolCallId, ToolSpec};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::tool_error::ToolError;

/// What a call is while it runs.
pub type ToolFuture<'a> = BoxFuture<'a, Result<ToolOutput, ToolError>>;

/// Something a model may call.
///
/// It is called through [`Toolbox::call`](crate::Toolbox::call), which checks the arguments against the schema's top level,
/// bounds time and size, and turns a panic into an error. Its future may be dropped at any await: that is how a call is
/// cancelled and how it runs out of time.
pub trait Tool: Send + Sync {
    /// What the model sees. Always the same, for as long as the tool lives.
    fn spec(&self) -> &ToolSpec;

    /// Does it. `arguments` is a JSON object.
    fn call(&self, arguments: Value, context: ToolContext) -> ToolFuture<'_>;

    /// How long one call may take, if that is not the toolbox's own limit; never more than
    /// [`MAX_TIMEOUT`](crate::MAX_TIMEOUT).
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Whether it changes nothing: such a call needs nobody's approval.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Whether a call that is made twice is as good as one: such a call may be repeated after a crash.
    fn is_idempotent(&self) -> bool {
        self.is_read_only()
    }
}

/// What a tool hears beside its arguments.
#[derive(Clone, Debug)]
pub struct ToolContext {
    /// Which call this is.
    pub call: ToolCallId,
    /// Cancelled when nobody waits for the result any more; for work that the tool leaves elsewhere.
    pub cancelled: CancellationToken,
    /// When the result comes too late.
    pub deadline: Instant,
    /// How long it may take in all.
    pub timeout: Duration,
}

/// What a tool found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolOutput {
    /// What the model reads.
    pub text: String,
    /// How many bytes of it were left out because it was too long; the text ends with a note of that.
    pub left_out: usize,
}

impl ToolOutput {
    /// All of it.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            left_out: 0,
        }
    }

    /// Whether something was left out.
    pub fn is_truncated(&self) -> bool {
        self.left_out > 0
    }
}

impl From<String> for ToolOutput {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for ToolOutput {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<Value> for ToolOutput {
    /// The JSON as text.
    fn from(value: Value) -> Self {
        Self::new(value.to_string())
    }
}

/// Where tools come from that are not always the same, for example other programs.
pub trait ToolSource: Send + Sync {
    /// Those of now. Called once for each turn: never waits.
    fn tools(&self) -> Vec<Arc<dyn Tool>>;
}
