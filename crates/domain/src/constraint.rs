//! What an answer has to look like, token by token.

use std::sync::Arc;

/// The form of an answer. The model cannot say anything else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Constraint {
    /// Any JSON object.
    JsonObject,
    /// JSON that this JSON Schema accepts.
    JsonSchema(Arc<str>),
    /// Text of this grammar, in the dialect of Lark that `llguidance` reads.
    Lark(Arc<str>),
}
