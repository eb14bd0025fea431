//! What a model may call, and how it says so.

use std::sync::Arc;

use crate::ToolCallId;

/// A tool as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ToolSpec {
    /// What the model calls it: 1 to 64 of letters, digits, `_` and `-` (the OpenAI API's range).
    pub name: String,
    /// What it does, in the words the model reads.
    pub description: String,
    /// The JSON Schema of its arguments, an object.
    pub parameters: Arc<str>,
}

/// One call of a tool by the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ToolCall {
    /// What its result answers to.
    pub id: ToolCallId,
    /// Which tool.
    pub name: String,
    /// Its arguments, a JSON object as text.
    pub arguments: String,
}

/// Whether the model calls tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ToolChoice {
    /// As it sees fit.
    #[default]
    Auto,
    /// It answers in words.
    None,
    /// It calls at least one.
    Required,
    /// It calls this one.
    Named(String),
}

/// The tools of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tools {
    /// Which there are; no two of one name.
    pub specs: Arc<[ToolSpec]>,
    /// Whether they are called.
    pub choice: ToolChoice,
    /// Whether one answer calls at most one of them, once.
    pub one_call: bool,
}

impl Tools {
    /// Whether the model can call any.
    pub fn is_usable(&self) -> bool {
        !self.specs.is_empty() && self.choice != ToolChoice::None
    }
}
