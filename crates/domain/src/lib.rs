//! The words every other crate speaks.
//!
//! Invariant: nothing here computes, waits or serialises. There is no async, no actor and no serde in this crate, so
//! that a change of wire format or of runtime never touches the vocabulary.

pub mod approval;
pub mod bytes;
pub mod chat;
pub mod constraint;
pub mod field;
pub mod generation;
pub mod ids;
pub mod keep_alive;
pub mod logprob;
pub mod sampling;
pub mod tool;
pub mod turn;
pub mod unfinished;

pub use approval::Approval;
pub use bytes::Bytes;
pub use chat::{Message, Role};
pub use constraint::Constraint;
pub use field::FieldError;
pub use generation::{
    ContextPolicy, FinishReason, GenerationError, GenerationEvent, Prompt, Usage,
};
pub use ids::{ConnectionId, ConversationId, ModelName, RequestId, ToolCallId, UserId};
pub use keep_alive::KeepAlive;
pub use logprob::{Likely, TokenLogprob};
pub use sampling::Sampling;
pub use tool::{ToolCall, ToolChoice, ToolSpec, Tools};
pub use turn::{Budget, Citation, ToolOutcome, TurnError, TurnEvent};
pub use unfinished::Unfinished;
