//! The body of `POST /v1/chat/completions`.

use domain::{Message, ModelName, Role, Sampling};
use serde_json::Value;

use crate::error::ApiError;
use crate::request::Fields;
use crate::request::sampling::sampling;

/// The roles a message may have.
const ROLES: &str = "system, developer, user or assistant";

/// The fields of a chat request that are understood.
pub(crate) const FIELDS: &[&str] = &[
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "stream",
    "stream_options",
    "n",
];

/// A chat request that can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// Who answers.
    pub model: ModelName,
    /// What was said.
    pub messages: Vec<Message>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Whether the answer comes piece by piece.
    pub stream: bool,
    /// Whether a streamed answer ends with what it cost.
    pub include_usage: bool,
}

/// What applies where the request says nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Who answers.
    pub model: ModelName,
    /// How tokens are chosen; its seed is this request's own.
    pub sampling: Sampling,
}

/// Reads a chat request.
///
/// # Errors
/// 400, naming the field as `param`.
pub fn chat_request(body: &[u8], defaults: Defaults) -> Result<ChatRequest, ApiError> {
    let fields = Fields::of_body(body)?;
    fields.refuse_unknown(FIELDS)?;
    if fields.whole("n")?.is_some_and(|n| n != 1) {
        return Err(fields.not_supported("n", "one answer at a time: leave it out or send 1"));
    }
    let stream = fields.boolean("stream")?.unwrap_or(false);
    Ok(ChatRequest {
        model: model(&fields)?.unwrap_or(defaults.model),
        messages: messages(&fields)?,
        sampling: sampling(&fields, defaults.sampling)?,
        stream,
        include_usage: include_usage(&fields, stream)?,
    })
}

pub(crate) fn model(fields: &Fields) -> Result<Option<ModelName>, ApiError> {
    match fields.text("model")? {
        Some("") => Err(fields.expected("model", "the name of a model, see GET /v1/models")),
        name => Ok(name.map(ModelName::new)),
    }
}

pub(crate) fn include_usage(fields: &Fields, stream: bool) -> Result<bool, ApiError> {
    let Some(options) = fields.object("stream_options")? else {
        return Ok(false);
    };
    if !stream {
        return Err(fields.expected("stream_options", "only together with \"stream\": true"));
    }
    options.refuse_unknown(&["include_usage"])?;
    Ok(options.boolean("include_usage")?.unwrap_or(false))
}

fn messages(fields: &Fields) -> Result<Vec<Message>, ApiError> {
    let Some(Value::Array(list)) = fields.get("messages") else {
        return Err(fields.expected("messages", "an array of messages"));
    };
    if list.is_empty() {
        return Err(fields.expected("messages", "at least one message"));
    }
    let one = |(at, value): (usize, &Value)| message(&format!("messages[{at}]"), value);
    list.iter().enumerate().map(one).collect()
}

fn message(path: &str, value: &Value) -> Result<Message, ApiError> {
    let fields = Fields::within(path, value)?;
    fields.refuse_unknown(&["role", "content"])?;
    let role = match fields.text("role")? {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        None => return Err(fields.expected("role", ROLES)),
        // What a tool said belongs to a call, and calls are not supported yet.
        Some(_) => return Err(fields.refused("role", ROLES)),
    };
    Ok(Message::new(role, content(&fields)?))
}

/// A text, or an array of text parts, which are put together.
fn content(fields: &Fields) -> Result<String, ApiError> {
    match fields.get("content") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let one = |(at, part): (usize, &Value)| {
                part_text(&format!("{}[{at}]", fields.path("content")), part)
            };
            parts.iter().enumerate().map(one).collect()
        }
        _ => Err(fields.expected("content", "a text or an array of text parts")),
    }
}

fn part_text(path: &str, value: &Value) -> Result<String, ApiError> {
    let part = Fields::within(path, value)?;
    if part.text("type")? != Some("text") {
        return Err(part.not_supported("type", "only parts of type \"text\""));
    }
    part.refuse_unknown(&["type", "text"])?;
    let text = part.text("text")?;
    text.map(str::to_owned)
        .ok_or_else(|| part.expected("text", "a text"))
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
