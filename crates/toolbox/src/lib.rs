//! What a tool is, and those that are built in.
//!
//! ```text
//!  model ── ToolCall ──> Toolbox::call ── arguments checked, time and size bounded, panics caught ──> dyn Tool
//!                            └──────────── ToolOutput or ToolError: both are text that the model reads
//! ```
//!
//! Invariants: nothing here keeps a conversation, speaks with a model or starts a task; and no tool, however bad, ends
//! more than its own call.

mod calculate;
mod calendar;
mod current_time;
mod cut;
mod expression;
mod fields;
mod filter;
mod functions;
mod limits;
mod number;
mod schema;
mod tool;
mod tool_error;
mod toolbox;

pub use calculate::Calculate;
pub use current_time::CurrentTime;
pub use expression::{MAX_DEPTH, MAX_LENGTH, evaluate};
pub use fields::Fields;
pub use filter::{MAX_PATTERNS, PatternError, ToolFilter};
pub use limits::{Limits, MAX_TIMEOUT};
pub use tool::{Tool, ToolContext, ToolFuture, ToolOutput, ToolSource};
pub use tool_error::ToolError;
pub use toolbox::{MAX_NAME, MAX_TOOLS, Merged, Toolbox, ToolboxError, is_tool_name};
