//! The words every other crate speaks.
//!
//! Invariant: nothing here computes, waits or serialises. There is no async, no actor and no serde in this crate, so
//! that a change of wire format or of runtime never touches the vocabulary.

pub mod bytes;
pub mod chat;
pub mod field;
pub mod generation;
pub mod ids;
pub mod keep_alive;
pub mod sampling;

pub use bytes::Bytes;
pub use chat::{Message, Role};
pub use field::FieldError;
pub use generation::{
    ContextPolicy, FinishReason, GenerationError, GenerationEvent, Prompt, Usage,
};
pub use ids::{ConversationId, ModelName, RequestId};
pub use keep_alive::KeepAlive;
pub use sampling::Sampling;
