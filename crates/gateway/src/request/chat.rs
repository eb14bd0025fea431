//! The body of `POST /v1/chat/completions`.

use domain::{FieldError, Message, ModelName, Role, Sampling};
use serde_json::Value;

use crate::error::ApiError;
use crate::request::Fields;

/// The longest stop text, in bytes: it is searched for at every token.
const STOP_BYTES: usize = 1024;

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

pub(crate) fn sampling(fields: &Fields, defaults: Sampling) -> Result<Sampling, ApiError> {
    let max_tokens = match (
        fields.whole("max_tokens")?,
        fields.whole("max_completion_tokens")?,
    ) {
        (Some(old), Some(new)) if old != new => {
            return Err(fields.expected(
                "max_tokens",
                "the same as max_completion_tokens, or leave it out",
            ));
        }
        // What fits no u32 is out of range as 0 is, and reported as it was written.
        (old, new) => new.or(old).map(|n| u32::try_from(n).unwrap_or(0)),
    };
    let sampling = Sampling {
        temperature: fields
            .number("temperature")?
            .unwrap_or(defaults.temperature),
        top_p: fields.number("top_p")?.unwrap_or(defaults.top_p),
        presence_penalty: fields
            .number("presence_penalty")?
            .unwrap_or(defaults.presence_penalty),
        frequency_penalty: fields
            .number("frequency_penalty")?
            .unwrap_or(defaults.frequency_penalty),
        max_tokens: max_tokens.unwrap_or(defaults.max_tokens),
        seed: seed(fields)?.unwrap_or(defaults.seed),
        stop: stop(fields)?.unwrap_or(defaults.stop),
        ..defaults
    };
    sampling
        .validate()
        .map_err(|error| as_written(error, fields))?;
    Ok(sampling)
}

fn seed(fields: &Fields) -> Result<Option<u64>, ApiError> {
    let Some(seed) = fields.whole("seed")? else {
        return Ok(None);
    };
    let seed = u64::try_from(seed);
    let refused = |_| fields.refused("seed", "a whole number from 0 to 18446744073709551615");
    seed.map(Some).map_err(refused)
}

/// A field and its number are named as the client wrote them.
fn as_written(error: FieldError, fields: &Fields) -> ApiError {
    let new = "max_completion_tokens";
    let field = if error.field == "max_tokens" && fields.get(new).is_some() {
        new
    } else {
        error.field
    };
    if fields.get(field).is_some_and(Value::is_number) {
        return fields.refused(field, error.allowed);
    }
    error.into()
}

fn stop(fields: &Fields) -> Result<Option<Vec<String>>, ApiError> {
    let expected = || fields.expected("stop", "a text or an array of at most 16 texts");
    let stop = match fields.get("stop") {
        None => return Ok(None),
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => {
            let texts = many.iter().map(|text| text.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(expected)?
        }
        Some(_) => return Err(expected()),
    };
    if stop.iter().any(|text| text.len() > STOP_BYTES) {
        return Err(fields.expected("stop", "texts of at most 1024 bytes"));
    }
    Ok(Some(stop))
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
