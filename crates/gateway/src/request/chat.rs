//! The body of `POST /v1/chat/completions`.

use domain::{Message, ModelName, Sampling, Tools};
use serde_json::Value;

use crate::error::ApiError;
use crate::request::Fields;
use crate::request::common::{include_usage, model};
use crate::request::messages::messages;
use crate::request::response_format::response_format;
use crate::request::sampling::{no_bias, only_one, sampling};
use crate::request::tools::tools;

/// The most of the likeliest tokens that may be asked for at each place, as the API has it.
const MOST_LIKELIEST: u32 = 20;

/// Who asks, in the client's words: they say nothing about the answer, and are not kept.
const LABELS: [&str; 3] = ["user", "safety_identifier", "prompt_cache_key"];

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
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "store",
    "service_tier",
    "modalities",
];

/// A chat request that can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// Who answers.
    pub model: ModelName,
    /// What was said.
    pub messages: Vec<Message>,
    /// How tokens are chosen, and what the answer has to look like.
    pub sampling: Sampling,
    /// What the model may call.
    pub tools: Tools,
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
    only_one(&fields, "n")?;
    no_bias(&fields)?;
    changes_nothing(&fields)?;
    let stream = fields.boolean("stream")?.unwrap_or(false);
    Ok(ChatRequest {
        model: model(&fields)?.unwrap_or(defaults.model),
        messages: messages(&fields)?,
        sampling: Sampling {
            logprobs: logprobs(&fields)?,
            constraint: response_format(&fields)?,
            ..sampling(&fields, defaults.sampling)?
        },
        tools: tools(&fields)?,
        stream,
        include_usage: include_usage(&fields, stream)?,
    })
}

/// Whether each token comes with how likely it was, and with how many others.
fn logprobs(fields: &Fields) -> Result<Option<u32>, ApiError> {
    let wanted = fields.boolean("logprobs")?.unwrap_or(false);
    let likeliest = fields.whole("top_logprobs")?;
    if !wanted {
        return match likeliest {
            None | Some(0) => Ok(None),
            Some(_) => {
                Err(fields.expected("top_logprobs", "only together with \"logprobs\": true"))
            }
        };
    }
    let refused = || fields.refused("top_logprobs", "0 to 20 tokens");
    let likeliest = u32::try_from(likeliest.unwrap_or(0)).ok();
    let likeliest = likeliest
        .filter(|n| *n <= MOST_LIKELIEST)
        .ok_or_else(refused)?;
    Ok(Some(likeliest))
}

/// What names the caller, or asks for what is done anyway, changes nothing of the answer. Anything else is refused.
fn changes_nothing(fields: &Fields) -> Result<(), ApiError> {
    for label in LABELS {
        fields.text(label)?;
    }
    if fields.boolean("store")? == Some(true) {
        return Err(fields.not_supported("store", "answers are not stored: leave it out"));
    }
    if let Some(tier) = fields.text("service_tier")?
        && !["auto", "default"].contains(&tier)
    {
        return Err(fields.refused("service_tier", "\"auto\" or \"default\""));
    }
    match fields.get("modalities") {
        None => Ok(()),
        Some(Value::Array(list)) if list.iter().all(|one| one == "text") => Ok(()),
        Some(_) => Err(fields.not_supported("modalities", "only [\"text\"]")),
    }
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
