//! What a tool is, and those that are built in.
//!
//! ```text
//!  model ── ToolCall ──> Toolbox::call ── arguments checked, time and size bounded, panics caught ──> dyn Tool
//!                            └──────────── ToolOutput or ToolError: both are text that the model reads
//! ```
//!
//! A tool of one's own:
//!
//! ```
//! # extern crate paraphym_toolbox as toolbox;
//! use std::sync::Arc;
//!
//! use domain::ToolSpec;
//! use serde_json::Value;
//! use toolbox::{Fields, Tool, ToolContext, ToolFuture, ToolOutput};
//!
//! struct Greet(ToolSpec);
//!
//! impl Greet {
//!     fn new() -> Self {
//!         Self(ToolSpec {
//!             name: "greet".to_owned(),
//!             description: "Greets somebody by name.".to_owned(),
//!             parameters: Arc::from(
//!                 r#"{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}"#,
//!             ),
//!         })
//!     }
//! }
//!
//! impl Tool for Greet {
//!     fn spec(&self) -> &ToolSpec {
//!         &self.0
//!     }
//!
//!     fn call(&self, arguments: Value, _: ToolContext) -> ToolFuture<'_> {
//!         Box::pin(async move {
//!             let name = Fields::of(&self.0.name, &arguments).text("name")?;
//!             Ok(ToolOutput::new(format!("Hello, {name}!")))
//!         })
//!     }
//!
//!     fn is_read_only(&self) -> bool {
//!         true
//!     }
//! }
//!
//! # use domain::{ToolCall, ToolCallId};
//! # use toolbox::Toolbox;
//! # use tokio_util::sync::CancellationToken;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let toolbox = Toolbox::new([Arc::new(Greet::new()) as Arc<dyn Tool>])?;
//! let call = ToolCall {
//!     id: ToolCallId::new("call-1"),
//!     name: "greet".to_owned(),
//!     arguments: r#"{"name": "Ada"}"#.to_owned(),
//! };
//! let said = toolbox.call(&call, &CancellationToken::new()).await?;
//! assert_eq!(said.text, "Hello, Ada!");
//! # Ok(())
//! # }
//! ```
//!
//! The same in one closure, its schema made from a type: [`function`].
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
mod function;
mod functions;
mod limits;
mod number;
mod schema;
mod tool;
mod tool_error;
mod toolbox;

/// What makes a schema of a type: the version that [`function`] takes.
pub use schemars;

pub use calculate::Calculate;
pub use current_time::CurrentTime;
pub use expression::{MAX_DEPTH, MAX_LENGTH, evaluate};
pub use fields::Fields;
pub use filter::{MAX_PATTERNS, PatternError, ToolFilter};
pub use function::{FunctionTool, function};
pub use limits::{Limits, MAX_TIMEOUT};
pub use tool::{Tool, ToolContext, ToolFuture, ToolOutput, ToolSource};
pub use tool_error::ToolError;
pub use toolbox::{MAX_NAME, MAX_TOOLS, Merged, Toolbox, ToolboxError, is_tool_name};
