//! The answers of `/v1/completions`, whole and streamed, byte by byte as the official clients read them. Nothing here waits.
//!
//! As in a chat, a failure on the way is one `{"error":…}` and nothing after it.

use domain::{FinishReason, GenerationEvent, Usage};
use serde::Serialize;

use crate::answer::chunks::Price;
use crate::answer::likelihoods::{Gathered, Likelihoods};
use crate::answer::whole::Heading;
use crate::answer::{DONE, Written, data};
use crate::error::ApiError;

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Price::is_not_asked_for")]
    usage: Price,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: u32,
    logprobs: Option<Likelihoods>,
    finish_reason: Option<&'static str>,
}

/// One answer on its way to the wire.
#[derive(Clone, Debug)]
pub struct TextAnswer {
    heading: Heading,
    include_usage: bool,
    /// Gathers how likely tokens were, if that was asked for.
    gathered: Option<Gathered>,
    text: String,
}

impl TextAnswer {
    /// `logprobs`: whether the request asked how likely tokens are; `include_usage` is for streams.
    pub fn new(heading: Heading, logprobs: bool, include_usage: bool) -> Self {
        Self {
            heading,
            include_usage,
            gathered: logprobs.then(Gathered::default),
            text: String::new(),
        }
    }

    /// Takes what is part of a whole answer.
    pub fn take(&mut self, event: &GenerationEvent) {
        match event {
            GenerationEvent::Text(text) => self.text.push_str(text),
            GenerationEvent::Logprobs(tokens) => self.gather(tokens),
            _ => {}
        }
    }

    /// The whole answer.
    pub fn whole(&mut self, reason: FinishReason, usage: Usage) -> String {
        let choice = Choice {
            text: &self.text,
            index: 0,
            logprobs: self.gathered.as_mut().map(Gathered::all),
            finish_reason: Some(reason.as_str()),
        };
        json(&self.heading, &[choice], Price::Known(usage.into()))
    }

    fn gather(&mut self, tokens: &[domain::TokenLogprob]) {
        if let Some(gathered) = &mut self.gathered {
            gathered.add(tokens);
        }
    }

    fn piece(&mut self, text: &str, finish_reason: Option<&'static str>) -> String {
        let choice = Choice {
            text,
            index: 0,
            logprobs: self.gathered.as_mut().and_then(Gathered::take),
            finish_reason,
        };
        let price = if self.include_usage {
            Price::NotYet
        } else {
            Price::NotAskedFor
        };
        data(&json(&self.heading, &[choice], price))
    }

    fn finish(&mut self, reason: FinishReason, usage: Usage) -> String {
        let mut out = self.piece("", Some(reason.as_str()));
        if self.include_usage {
            out.push_str(&data(&json(&self.heading, &[], Price::Known(usage.into()))));
        }
        out.push_str(DONE);
        out
    }
}

fn json(heading: &Heading, choices: &[Choice<'_>], usage: Price) -> String {
    let completion = Completion {
        id: &heading.id,
        object: "text_completion",
        created: heading.created,
        model: heading.model.as_str(),
        choices,
        usage,
    };
    // Texts and finite numbers only: writing them as JSON cannot fail.
    serde_json::to_string(&completion).unwrap_or_default()
}

impl Written for TextAnswer {
    fn event(&mut self, event: &GenerationEvent) -> String {
        match event {
            GenerationEvent::Text(text) => self.piece(text, None),
            GenerationEvent::Logprobs(tokens) => {
                self.gather(tokens);
                String::new()
            }
            GenerationEvent::Finished { reason, usage } => self.finish(*reason, *usage),
            GenerationEvent::Failed(error) => data(&ApiError::from(error).json()),
            GenerationEvent::Queued { .. }
            | GenerationEvent::Loading { .. }
            | GenerationEvent::Prefill { .. }
            // A completion brings no tools.
            | GenerationEvent::ToolCall(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{GenerationError, ModelName, TokenLogprob};

    use super::*;

    fn answer(logprobs: bool, include_usage: bool) -> TextAnswer {
        let heading = Heading {
            id: "cmpl-1".into(),
            created: 5,
            model: ModelName::new("m"),
        };
        TextAnswer::new(heading, logprobs, include_usage)
    }

    fn events() -> Vec<GenerationEvent> {
        let token = |bytes: &[u8]| TokenLogprob {
            bytes: bytes.to_vec(),
            logprob: -0.5,
            likeliest: Vec::new(),
        };
        let usage = Usage {
            prompt_tokens: 2,
            cached_tokens: 1,
            completion_tokens: 3,
        };
        vec![
            GenerationEvent::Queued { position: 1 },
            GenerationEvent::Logprobs(vec![token(b"a")]),
            GenerationEvent::Text("a".into()),
            GenerationEvent::Logprobs(vec![token(b"\xe2\x98")]),
            GenerationEvent::Logprobs(vec![token(b"\x83")]),
            GenerationEvent::Text("☃".into()),
            GenerationEvent::Finished {
                reason: FinishReason::Length,
                usage,
            },
        ]
    }

    fn stream(mut answer: TextAnswer, events: &[GenerationEvent]) -> Vec<String> {
        let all: String = events.iter().map(|event| answer.event(event)).collect();
        all.split_terminator("\n\n").map(str::to_owned).collect()
    }

    const HEAD: &str =
        r#"{"id":"cmpl-1","object":"text_completion","created":5,"model":"m","choices":["#;
    const COST: &str = r#""usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}}"#;

    #[test]
    fn a_stream_is_exact() {
        let piece = |rest: &str| format!("data: {HEAD}{{{rest}}}]}}");
        assert_eq!(
            stream(answer(false, false), &events()),
            [
                piece(r#""text":"a","index":0,"logprobs":null,"finish_reason":null"#),
                piece(r#""text":"☃","index":0,"logprobs":null,"finish_reason":null"#),
                piece(r#""text":"","index":0,"logprobs":null,"finish_reason":"length""#),
                "data: [DONE]".to_owned(),
            ]
        );
    }

    #[test]
    fn likelihoods_come_with_their_text_and_the_cost_last() {
        let pieces = stream(answer(true, true), &events());
        assert_eq!(pieces.len(), 5);
        assert!(pieces[0].contains(
            r#""logprobs":{"tokens":["a"],"token_logprobs":[-0.5],"top_logprobs":[{"a":-0.5}],"text_offset":[0]},"#
        ), "{}", pieces[0]);
        assert!(
            pieces[1].contains(r#""text_offset":[1,1]}"#),
            "{}",
            pieces[1]
        );
        assert!(pieces[2].contains(r#""logprobs":null,"finish_reason":"length"}],"usage":null}"#));
        assert_eq!(pieces[3], format!("data: {HEAD}],{COST}}}"));
    }

    #[test]
    fn a_whole_answer_is_exact() {
        let whole = |logprobs| {
            let mut answer = answer(logprobs, false);
            for event in events() {
                answer.take(&event);
            }
            answer.whole(
                FinishReason::Stop,
                Usage {
                    prompt_tokens: 2,
                    cached_tokens: 1,
                    completion_tokens: 3,
                },
            )
        };
        let with = |logprobs: &str| {
            format!(
                r#"{HEAD}{{"text":"a☃","index":0,"logprobs":{logprobs},"finish_reason":"stop"}}],{COST}}}"#
            )
        };
        assert_eq!(whole(false), with("null"));
        assert_eq!(
            whole(true),
            with(concat!(
                r#"{"tokens":["a","bytes:\\xe2\\x98","bytes:\\x83"],"token_logprobs":[-0.5,-0.5,-0.5],"#,
                r#""top_logprobs":[{"a":-0.5},{"bytes:\\xe2\\x98":-0.5},{"bytes:\\x83":-0.5}],"text_offset":[0,1,1]}"#
            ))
        );
    }

    #[test]
    fn a_failure_on_the_way_is_the_last_word() {
        let failed = GenerationEvent::Failed(GenerationError::Cancelled);
        let pieces = stream(
            answer(false, true),
            &[GenerationEvent::Text("a".into()), failed],
        );
        assert_eq!(pieces.len(), 2);
        assert!(pieces[1].starts_with(r#"data: {"error":{"message":"cancelled""#));
    }
}
