//! The JSON of answers: field names and order as the official API sends them. Nothing here waits.

use domain::{FinishReason, GenerationEvent, ModelName, ToolCall, Usage};
use serde::Serialize;

use crate::answer::logprobs::Logprobs;

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
    logprobs: Option<&'a Logprobs>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    /// Null where nothing but calls was said.
    content: Option<&'a str>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> Call<'a> {
    fn of(call: &'a ToolCall) -> Self {
        Self {
            id: call.id.as_str(),
            r#type: "function",
            function: Function {
                name: &call.name,
                arguments: &call.arguments,
            },
        }
    }
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

/// A whole answer, put together from its events.
#[derive(Clone, Debug)]
pub struct Whole {
    heading: Heading,
    text: String,
    calls: Vec<ToolCall>,
    /// `None` unless it was asked how likely tokens are.
    logprobs: Option<Logprobs>,
}

impl Whole {
    /// An answer of which nothing was said yet; `logprobs`: whether it was asked how likely tokens are.
    pub fn new(heading: Heading, logprobs: bool) -> Self {
        Self {
            heading,
            text: String::new(),
            calls: Vec::new(),
            logprobs: logprobs.then(Logprobs::default),
        }
    }

    /// Takes what is part of it.
    pub fn take(&mut self, event: GenerationEvent) {
        match event {
            GenerationEvent::Text(text) => self.text.push_str(&text),
            GenerationEvent::ToolCall(call) => self.calls.push(call),
            GenerationEvent::Logprobs(tokens) => {
                if let Some(logprobs) = &mut self.logprobs {
                    logprobs.add(&tokens);
                }
            }
            _ => {}
        }
    }

    /// Its JSON.
    pub fn json(&self, reason: FinishReason, usage: Usage) -> String {
        let nothing_said = self.text.is_empty() && !self.calls.is_empty();
        let completion = Completion {
            id: &self.heading.id,
            object: "chat.completion",
            created: self.heading.created,
            model: self.heading.model.as_str(),
            choices: [Choice {
                index: 0,
                message: Said {
                    role: "assistant",
                    content: (!nothing_said).then_some(self.text.as_str()),
                    refusal: None,
                    tool_calls: self.calls.iter().map(Call::of).collect(),
                },
                logprobs: self.logprobs.as_ref(),
                finish_reason: reason.as_str(),
            }],
            usage: usage.into(),
        };
        // Texts and numbers only: writing them as JSON cannot fail.
        serde_json::to_string(&completion).unwrap_or_default()
    }
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
        let mut whole = Whole::new(heading, false);
        whole.take(GenerationEvent::Text("a \"b\"\n☃".to_owned()));
        assert_eq!(
            whole.json(FinishReason::Length, usage),
            r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a \"b\"\n☃","refusal":null},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2}}}"#
        );
    }

    #[test]
    fn calls_and_likelihoods_are_part_of_it() {
        let heading = Heading {
            id: "c".into(),
            created: 5,
            model: ModelName::new("m"),
        };
        let call = ToolCall {
            id: domain::ToolCallId::new("a"),
            name: "f".into(),
            arguments: r#"{"x":1}"#.into(),
        };
        let mut whole = Whole::new(heading.clone(), false);
        whole.take(GenerationEvent::ToolCall(call.clone()));
        let json = whole.json(FinishReason::ToolCalls, Usage::default());
        assert!(
            json.contains(
                r#""message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},"logprobs":null,"finish_reason":"tool_calls""#
            ),
            "{json}"
        );
        let mut whole = Whole::new(heading, true);
        whole.take(GenerationEvent::Text("so".into()));
        whole.take(GenerationEvent::ToolCall(call));
        let json = whole.json(FinishReason::ToolCalls, Usage::default());
        assert!(
            json.contains(r#""content":"so""#)
                && json.contains(r#""logprobs":{"content":[],"refusal":null}"#),
            "{json}"
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
