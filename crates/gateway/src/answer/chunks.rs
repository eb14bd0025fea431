//! A streamed answer, byte by byte as the official clients read it: the role in the first delta only, the reason of the
//! end in its own chunk, the cost in one with no choices, then `[DONE]`. Nothing here waits.
//!
//! A failure on the way is one `{"error":…}` and nothing after it, above all no `[DONE]`: half an answer must not look
//! like a whole one.

use domain::{FinishReason, GenerationEvent, Usage};
use serde::Serialize;

use crate::answer::whole::{Cost, Heading};
use crate::answer::{DONE, Written, data};
use crate::error::ApiError;

/// Turns the events of one answer into the text of its stream.
#[derive(Clone, Debug)]
pub struct Chunks {
    heading: Heading,
    include_usage: bool,
    opened: bool,
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
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

impl Written for Chunks {
    fn event(&mut self, event: &GenerationEvent) -> String {
        match event {
            GenerationEvent::Queued { .. }
            | GenerationEvent::Loading { .. }
            | GenerationEvent::Prefill { .. }
            // No request over HTTP brings tools yet, or asks how likely its tokens were.
            | GenerationEvent::Logprobs(_)
            | GenerationEvent::ToolCall(_) => String::new(),
            GenerationEvent::Text(text) => {
                let mut out = self.open();
                out.push_str(&self.delta(None, Some(text), None));
                out
            }
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
        }
    }

    fn finish(&mut self, reason: FinishReason, usage: Usage) -> String {
        let mut out = self.open();
        out.push_str(&self.delta(None, None, Some(reason.as_str())));
        if self.include_usage {
            out.push_str(&self.chunk(&[], Price::Known(usage.into())));
        }
        out.push_str(DONE);
        out
    }

    fn open(&mut self) -> String {
        if std::mem::replace(&mut self.opened, true) {
            return String::new();
        }
        self.delta(Some("assistant"), Some(""), None)
    }

    fn delta(
        &self,
        role: Option<&'static str>,
        content: Option<&str>,
        finish_reason: Option<&'static str>,
    ) -> String {
        let choice = Choice {
            index: 0,
            delta: Delta { role, content },
            logprobs: None,
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
