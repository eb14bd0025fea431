//! What an answer is held to: the form its asker wants, or the calls of the tools it may use. Decided before anything is
//! computed, so that a form nobody can keep to is a refusal by field.
//!
//! Called on the blocking pool: a grammar is compiled. Nothing here waits.

use domain::{Constraint, FieldError, GenerationError, Tools};
use engine::{TextCodec, ToolSyntax, tools};

/// The form of one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) constraint: Option<Constraint>,
    /// How calls are said, if there may be any.
    pub(crate) calls: Option<ToolSyntax>,
}

/// The form of an answer; `tools` were checked when the request came.
///
/// # Errors
/// `Invalid`, naming `response_format` or `tools`, if this model cannot be held to it.
pub(crate) fn form(
    wanted: Option<&Constraint>,
    tools: &Tools,
    text: &dyn TextCodec,
) -> Result<Form, GenerationError> {
    let calls = tools.is_usable().then(|| text.tool_syntax());
    let (field, allowed, constraint) = match calls {
        Some(syntax) => (
            "tools",
            "parameters whose JSON Schema is supported (docs/structured_output.md)",
            Some(tools::constraint(tools, syntax)?),
        ),
        None => (
            "response_format",
            "a form that is supported (docs/structured_output.md)",
            wanted.cloned(),
        ),
    };
    if let Some(constraint) = &constraint {
        text.check(constraint)
            .map_err(|error| FieldError::new(field, error, allowed))?;
    }
    Ok(Form { constraint, calls })
}
