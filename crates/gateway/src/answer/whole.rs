//! The JSON of answers: field names and order as the official API sends them. Nothing here waits.

use domain::{FinishReason, ModelName, Usage};
use serde::Serialize;

/// What every piece of one answer says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// `chatcmpl-…`.
    pub id: String,
    /// When it was asked for, in seconds since 1970. The same in every piece.
    pub created: u64,
    /// Who answers.
    pub model: ModelName,
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Cost,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Said<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<()>,
}

/// What an answer cost, as the API names it.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(clippy::struct_field_names, reason = "the API's own names")]
pub struct Cost {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: Details,
}

/// What of the prompt cost less.
#[derive(Clone, Copy, Debug, Serialize)]
struct Details {
    cached_tokens: u32,
}

impl From<Usage> for Cost {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
            prompt_tokens_details: Details {
                cached_tokens: usage.cached_tokens,
            },
        }
    }
}

/// A whole answer.
///
/// # Errors
/// None in practice: every field can be written as JSON.
pub fn completion(
    heading: &Heading,
    text: &str,
    reason: FinishReason,
    usage: Usage,
) -> serde_json::Result<String> {
    serde_json::to_string(&Completion {
        id: &heading.id,
        object: "chat.completion",
        created: heading.created,
        model: heading.model.as_str(),
        choices: [Choice {
            index: 0,
            message: Said {
                role: "assistant",
                content: text,
                refusal: None,
            },
            logprobs: None,
            finish_reason: reason.as_str(),
        }],
        usage: usage.into(),
    })
}

#[derive(Serialize)]
struct Models<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl<'a> Model<'a> {
    fn of(name: &'a ModelName, created: u64) -> Self {
        Self {
            id: name.as_str(),
            object: "model",
            created,
            owned_by: "paraphym",
        }
    }
}

/// One model; `created` as in [`models`].
///
/// # Errors
/// None in practice: every field can be written as JSON.
pub fn model(name: &ModelName, created: u64) -> serde_json::Result<String> {
    serde_json::to_string(&Model::of(name, created))
}

/// The list of models; `created` is when this server started, in seconds since 1970.
///
/// # Errors
/// None in practice: every field can be written as JSON.
pub fn models(names: &[ModelName], created: u64) -> serde_json::Result<String> {
    let data = names.iter().map(|name| Model::of(name, created)).collect();
    serde_json::to_string(&Models {
        object: "list",
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_answer_is_exact() {
        let heading = Heading {
            id: "chatcmpl-1".into(),
            created: 1_700_000_000,
            model: ModelName::new("m"),
        };
        let usage = Usage {
            prompt_tokens: 3,
            cached_tokens: 2,
            completion_tokens: 4,
        };
        assert_eq!(
            completion(&heading, "a \"b\"\n☃", FinishReason::Length, usage).unwrap(),
            r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a \"b\"\n☃","refusal":null},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2}}}"#
        );
    }

    #[test]
    fn the_models_are_exact() {
        assert_eq!(models(&[], 5).unwrap(), r#"{"object":"list","data":[]}"#);
        assert_eq!(
            models(&[ModelName::new("m")], 5).unwrap(),
            r#"{"object":"list","data":[{"id":"m","object":"model","created":5,"owned_by":"paraphym"}]}"#
        );
    }
}
