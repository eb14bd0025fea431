//! A streamed answer, byte by byte as the official clients read it: the role in the first delta only, the reason of the
//! end in its own chunk, the cost in one with no choices, then `[DONE]`. Nothing here waits.
//!
//! A failure on the way is one `{"error":…}` and nothing after it, above all no `[DONE]`: half an answer must not look
//! like a whole one.

use domain::{FinishReason, GenerationEvent, ToolCall, Usage};
use serde::Serialize;

use crate::answer::logprobs::Logprobs;
use crate::answer::whole::{Cost, Heading};
use crate::answer::{DONE, Written, data};
use crate::error::ApiError;

/// Turns the events of one answer into the text of its stream.
#[derive(Clone, Debug)]
pub struct Chunks {
    heading: Heading,
    include_usage: bool,
    opened: bool,
    /// What is known of tokens whose text has not come yet.
    logprobs: Logprobs,
    calls: usize,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Price::is_not_asked_for")]
    usage: Price,
}

/// Absent unless asked for; then null in all chunks but the last.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Price {
    NotAskedFor,
    NotYet,
    Known(Cost),
}

impl Price {
    pub(crate) fn is_not_asked_for(&self) -> bool {
        matches!(self, Self::NotAskedFor)
    }
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta<'a>; 1]>,
}

/// Null where an answer begins with a call.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Null,
}

/// A piece of a call; clients put the pieces of one index together.
#[derive(Serialize)]
struct CallDelta<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: FunctionDelta<'a>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl Written for Chunks {
    fn event(&mut self, event: &GenerationEvent) -> String {
        match event {
            GenerationEvent::Queued { .. }
            | GenerationEvent::Loading { .. }
            | GenerationEvent::Prefill { .. } => String::new(),
            GenerationEvent::Logprobs(tokens) => {
                self.logprobs.add(tokens);
                String::new()
            }
            GenerationEvent::Text(text) => {
                let mut out = self.open(Content::Text(""));
                let delta = Delta {
                    content: Some(Content::Text(text)),
                    ..Delta::default()
                };
                out.push_str(&self.delta(delta, None));
                out
            }
            GenerationEvent::ToolCall(call) => self.call(call),
            GenerationEvent::Finished { reason, usage } => self.finish(*reason, *usage),
            GenerationEvent::Failed(error) => data(&ApiError::from(error).json()),
        }
    }
}

impl Chunks {
    /// The stream of one answer.
    pub fn new(heading: Heading, include_usage: bool) -> Self {
        Self {
            heading,
            include_usage,
            opened: false,
            logprobs: Logprobs::default(),
            calls: 0,
        }
    }

    /// Its name first, then its arguments, as clients expect a call that is being written.
    fn call(&mut self, call: &ToolCall) -> String {
        let mut out = self.open(Content::Null);
        let index = self.calls;
        self.calls += 1;
        let begun = CallDelta {
            index,
            id: Some(call.id.as_str()),
            r#type: Some("function"),
            function: FunctionDelta {
                name: Some(&call.name),
                arguments: "",
            },
        };
        let rest = CallDelta {
            index,
            id: None,
            r#type: None,
            function: FunctionDelta {
                name: None,
                arguments: &call.arguments,
            },
        };
        for piece in [begun, rest] {
            let delta = Delta {
                tool_calls: Some([piece]),
                ..Delta::default()
            };
            out.push_str(&self.delta(delta, None));
        }
        out
    }

    fn finish(&mut self, reason: FinishReason, usage: Usage) -> String {
        let mut out = self.open(Content::Text(""));
        out.push_str(&self.delta(Delta::default(), Some(reason.as_str())));
        if self.include_usage {
            out.push_str(&self.chunk(&[], Price::Known(usage.into())));
        }
        out.push_str(DONE);
        out
    }

    fn open(&mut self, content: Content<'_>) -> String {
        if std::mem::replace(&mut self.opened, true) {
            return String::new();
        }
        let delta = Delta {
            role: Some("assistant"),
            content: Some(content),
            ..Delta::default()
        };
        self.choice(delta, None, None)
    }

    /// A piece of the answer, with what is known of its tokens.
    fn delta(&mut self, delta: Delta<'_>, finish_reason: Option<&'static str>) -> String {
        let logprobs = self.logprobs.take();
        self.choice(delta, logprobs, finish_reason)
    }

    fn choice(
        &self,
        delta: Delta<'_>,
        logprobs: Option<Logprobs>,
        finish_reason: Option<&'static str>,
    ) -> String {
        let choice = Choice {
            index: 0,
            delta,
            logprobs,
            finish_reason,
        };
        let price = if self.include_usage {
            Price::NotYet
        } else {
            Price::NotAskedFor
        };
        self.chunk(&[choice], price)
    }

    fn chunk(&self, choices: &[Choice<'_>], usage: Price) -> String {
        let chunk = Chunk {
            id: &self.heading.id,
            object: "chat.completion.chunk",
            created: self.heading.created,
            model: self.heading.model.as_str(),
            choices,
            usage,
        };
        // Texts and numbers only: writing them as JSON cannot fail.
        data(&serde_json::to_string(&chunk).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use domain::{GenerationError, ModelName};

    use super::*;

    fn stream(events: &[GenerationEvent], include_usage: bool) -> Vec<String> {
        let heading = Heading {
            id: "c".into(),
            created: 5,
            model: ModelName::new("m"),
        };
        let mut chunks = Chunks::new(heading, include_usage);
        let all: String = events.iter().map(|event| chunks.event(event)).collect();
        assert!(all.is_empty() || all.ends_with("\n\n"));
        all.split_terminator("\n\n").map(str::to_owned).collect()
    }

    fn text(text: &str) -> GenerationEvent {
        GenerationEvent::Text(text.into())
    }

    fn finished() -> GenerationEvent {
        let usage = Usage {
            prompt_tokens: 2,
            cached_tokens: 1,
            completion_tokens: 3,
        };
        GenerationEvent::Finished {
            reason: FinishReason::Stop,
            usage,
        }
    }

    #[test]
    fn an_answer_is_exact() {
        let head = r#"data: {"id":"c","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta""#;
        assert_eq!(
            stream(
                &[
                    GenerationEvent::Queued { position: 1 },
                    text("Hi\n"),
                    text("☃"),
                    finished()
                ],
                false
            ),
            [
                format!(
                    r#"{head}:{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}]}}"#
                ),
                format!(r#"{head}:{{"content":"Hi\n"}},"logprobs":null,"finish_reason":null}}]}}"#),
                format!(r#"{head}:{{"content":"☃"}},"logprobs":null,"finish_reason":null}}]}}"#),
                format!(r#"{head}:{{}},"logprobs":null,"finish_reason":"stop"}}]}}"#),
                "data: [DONE]".to_owned(),
            ]
        );
    }

    #[test]
    fn the_cost_is_its_own_chunk_without_choices() {
        let chunks = stream(&[text("a"), finished()], true);
        let head = r#"data: {"id":"c","object":"chat.completion.chunk","created":5,"model":"m","choices":["#;
        assert_eq!(
            chunks[3],
            format!(
                r#"{head}],"usage":{{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5,"prompt_tokens_details":{{"cached_tokens":1}}}}}}"#
            )
        );
        assert!(
            chunks[..3]
                .iter()
                .all(|chunk| chunk.ends_with(r#"],"usage":null}"#))
        );
        assert_eq!(chunks.len(), 5);
    }

    #[test]
    fn calls_come_as_pieces_that_clients_put_together() {
        let call = |id: &str| {
            GenerationEvent::ToolCall(ToolCall {
                id: domain::ToolCallId::new(id),
                name: "f".into(),
                arguments: r#"{"x":1}"#.into(),
            })
        };
        let ended = GenerationEvent::Finished {
            reason: FinishReason::ToolCalls,
            usage: Usage::default(),
        };
        let chunks = stream(&[call("a"), call("b"), ended], false);
        let deltas: Vec<serde_json::Value> = chunks
            .iter()
            .filter_map(|chunk| serde_json::from_str(&chunk["data: ".len()..]).ok())
            .map(|chunk: serde_json::Value| chunk["choices"][0].clone())
            .collect();
        let piece = |index: u32, id: &str| {
            [
                serde_json::json!({"tool_calls": [{"index": index, "id": id, "type": "function",
                    "function": {"name": "f", "arguments": ""}}]}),
                serde_json::json!({"tool_calls": [{"index": index,
                    "function": {"arguments": r#"{"x":1}"#}}]}),
            ]
        };
        let mut expected = vec![serde_json::json!({"role": "assistant", "content": null})];
        expected.extend(piece(0, "a"));
        expected.extend(piece(1, "b"));
        expected.push(serde_json::json!({}));
        let said: Vec<_> = deltas
            .iter()
            .map(|choice| choice["delta"].clone())
            .collect();
        assert_eq!(said, expected);
        assert_eq!(deltas[5]["finish_reason"], "tool_calls");
    }

    #[test]
    fn likelihoods_come_with_the_text_they_belong_to() {
        let token = |letter: &str| domain::TokenLogprob {
            bytes: letter.into(),
            logprob: -1.0,
            likeliest: Vec::new(),
        };
        let known = |letters: &[&str]| {
            GenerationEvent::Logprobs(letters.iter().map(|letter| token(letter)).collect())
        };
        let events = [
            known(&["a", "b"]),
            known(&["c"]),
            text("abc"),
            text("d"),
            known(&["e"]),
            finished(),
        ];
        let chunks = stream(&events, false);
        let seen: Vec<String> = chunks
            .iter()
            .filter_map(|chunk| serde_json::from_str(&chunk["data: ".len()..]).ok())
            .map(|chunk: serde_json::Value| {
                let tokens = chunk["choices"][0]["logprobs"]["content"]
                    .as_array()
                    .cloned();
                let tokens = tokens.unwrap_or_default();
                tokens
                    .iter()
                    .filter_map(|token| token["token"].as_str().map(str::to_owned))
                    .collect()
            })
            .collect();
        assert_eq!(seen, ["", "abc", "", "e"]);
    }

    #[test]
    fn an_empty_answer_still_has_a_role_and_an_end() {
        let chunks = stream(&[finished()], false);
        assert_eq!(chunks.len(), 3);
        assert!(chunks[0].contains(r#""role":"assistant""#));
        assert_eq!(chunks.concat().matches("role").count(), 1);
    }

    #[test]
    fn a_failure_on_the_way_is_the_last_word() {
        let failed = GenerationEvent::Failed(GenerationError::Cancelled);
        let chunks = stream(&[text("a"), failed.clone()], true);
        assert_eq!(
            chunks[2..],
            [
                r#"data: {"error":{"message":"cancelled","type":"api_error","param":null,"code":"cancelled"}}"#
            ]
        );
        assert_eq!(stream(&[failed], false).len(), 1);
    }
}
