//! What must hold for whatever anybody sends, and for whatever a model says: the properties behind the fuzz targets, which
//! the ordinary tests hold, too (`../tests/fuzz_properties.rs`), over the committed seeds and over chance.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    unreachable_pub,
    reason = "properties: what does not hold ends the run"
)]

use std::fmt::Debug;

use domain::{
    FinishReason, GenerationError, GenerationEvent, ModelName, Sampling, TokenLogprob, ToolCall,
    ToolCallId, Usage,
};
use gateway::answer::Written;
use gateway::answer::chunks::Chunks;
use gateway::answer::text::TextAnswer;
use gateway::answer::whole::Heading;
use gateway::error::ApiError;
use gateway::request::completion::completion_request;
use gateway::request::embedding::embedding_request;
use gateway::request::{Defaults, chat_request};
use serde_json::Value;

/// The longest body that is looked at, in bytes: the gateway reads none above its limit either.
pub const LONGEST: usize = 1 << 20;

/// A body is read or refused, the same every time, and a refusal says what to do.
pub fn body_is_read_or_refused(body: &[u8]) {
    let body = body.get(..LONGEST).unwrap_or(body);
    holds(chat_request(body, defaults()), || {
        chat_request(body, defaults())
    });
    holds(completion_request(body, defaults()), || {
        completion_request(body, defaults())
    });
    holds(embedding_request(body), || embedding_request(body));
}

fn holds<T: PartialEq + Debug>(
    read: Result<T, ApiError>,
    again: impl FnOnce() -> Result<T, ApiError>,
) {
    // NaN is not JSON, so that whatever was read equals itself.
    assert_eq!(read, again(), "the same body is read the same");
    if let Err(refused) = read {
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(
            !refused.message.is_empty() && refused.message.len() < 1000,
            "{refused:?}"
        );
        let about_json = refused.message.starts_with("the body ");
        assert!(about_json || refused.param.is_some(), "{refused:?}");
        let envelope: Value = serde_json::from_str(&refused.json()).expect("it is JSON");
        assert_eq!(envelope["error"]["message"], refused.message);
        assert_eq!(envelope["error"]["type"], "invalid_request_error");
    }
}

fn defaults() -> Defaults {
    Defaults {
        model: ModelName::new("default"),
        sampling: Sampling::greedy(),
    }
}

/// Any bytes as events of an answer: a byte says what, the next how long, and the rest is text.
pub fn events(mut bytes: &[u8]) -> Vec<GenerationEvent> {
    let mut events = Vec::new();
    while let Some((&kind, rest)) = bytes.split_first() {
        bytes = rest;
        let (event, left) = event(kind, rest);
        bytes = left.unwrap_or(bytes);
        let ended = event.is_terminal();
        events.push(event);
        if ended {
            break;
        }
    }
    events
}

fn event(kind: u8, rest: &[u8]) -> (GenerationEvent, Option<&[u8]>) {
    let usage = Usage {
        prompt_tokens: u32::from(kind),
        cached_tokens: 0,
        completion_tokens: u32::MAX,
    };
    let said = |rest: &[u8]| {
        let (&length, rest) = rest.split_first()?;
        let (text, rest) = rest.split_at_checked(usize::from(length))?;
        Some((String::from_utf8_lossy(text).into_owned(), rest.len()))
    };
    let text = said(rest).filter(|(text, _)| !text.is_empty());
    let left = text
        .as_ref()
        .and_then(|(_, left)| rest.get(rest.len() - left..));
    let text = text.map_or_else(|| "\n\ndata: [DONE]\n\n".to_owned(), |(text, _)| text);
    match kind {
        0 => (GenerationEvent::Queued { position: 1 }, None),
        1 => (GenerationEvent::Loading { fraction: 0.5 }, None),
        2 => (GenerationEvent::Prefill { done: 1, total: 2 }, None),
        3..=5 => {
            let reasons = [
                FinishReason::Stop,
                FinishReason::Length,
                FinishReason::ToolCalls,
            ];
            let reason = reasons[usize::from(kind - 3)];
            (GenerationEvent::Finished { reason, usage }, None)
        }
        6 => (GenerationEvent::Failed(GenerationError::Cancelled), None),
        7 => {
            let failed = GenerationError::EngineCrashed {
                crashes: 3,
                reason: text,
            };
            (GenerationEvent::Failed(failed), left)
        }
        8 => {
            let call = ToolCall {
                id: ToolCallId::new(&text),
                name: "f".into(),
                arguments: text,
            };
            (GenerationEvent::ToolCall(call), left)
        }
        9 => {
            let token = TokenLogprob {
                bytes: text.into_bytes(),
                logprob: f32::NEG_INFINITY,
                likeliest: Vec::new(),
            };
            (GenerationEvent::Logprobs(vec![token]), left)
        }
        _ => (GenerationEvent::Text(text), left),
    }
}

/// Whatever the model says arrives as it was said, in events that any reader takes apart, and after an error nothing does.
pub fn stream_is_well_formed(bytes: &[u8]) {
    for include_usage in [false, true] {
        check_chat(&events(bytes), include_usage);
        check_completion(&events(bytes), include_usage);
    }
}

fn heading() -> Heading {
    Heading {
        id: "chatcmpl-\u{2028}\n\n".into(),
        created: u64::MAX,
        model: ModelName::new("m\r\n\r\ndata: x"),
    }
}

/// What a stream carried, as a client puts it together.
#[derive(Default)]
struct Heard {
    said: String,
    /// The arguments of each call, by its index.
    calls: Vec<String>,
    /// The bytes of all tokens that were told with how likely they were.
    told: Vec<u8>,
    failed: bool,
    done: bool,
    ends: usize,
    costs: usize,
}

impl Heard {
    fn of(raw: &str) -> Self {
        let mut heard = Self::default();
        for data in read_as_a_browser(raw) {
            assert!(
                !heard.failed && !heard.done,
                "nothing follows the end: {raw}"
            );
            if data == "[DONE]" {
                heard.done = true;
                continue;
            }
            let chunk: Value = serde_json::from_str(&data).expect("every other event is JSON");
            heard.failed = chunk.get("error").is_some();
            heard.costs += usize::from(chunk["usage"].is_object());
            heard.hear(&chunk["choices"][0]);
        }
        heard
    }

    fn hear(&mut self, choice: &Value) {
        let text = choice["delta"]["content"]
            .as_str()
            .or(choice["text"].as_str());
        self.said.push_str(text.unwrap_or_default());
        self.ends += usize::from(choice["finish_reason"].is_string());
        for call in choice["delta"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let at = call["index"].as_u64().expect("a call has its place") as usize;
            if at == self.calls.len() {
                assert!(call["id"].is_string() && call["function"]["name"] == "f");
                self.calls.push(String::new());
            }
            let arguments = call["function"]["arguments"].as_str();
            self.calls[at].push_str(arguments.expect("a piece of arguments"));
        }
        for token in choice["logprobs"]["content"]
            .as_array()
            .into_iter()
            .flatten()
        {
            assert_eq!(token["logprob"], -9999.0);
            let bytes = token["bytes"].as_array().expect("a token has bytes");
            self.told.extend(
                bytes
                    .iter()
                    .filter_map(|byte| byte.as_u64().map(|byte| byte as u8)),
            );
        }
    }

    fn ends_as(&self, events: &[GenerationEvent], include_usage: bool) {
        let texts = events.iter().filter_map(|event| match event {
            GenerationEvent::Text(text) => Some(text.as_str()),
            _ => None,
        });
        assert_eq!(
            self.said,
            texts.collect::<String>(),
            "what was said arrives"
        );
        let finished = matches!(events.last(), Some(GenerationEvent::Finished { .. }));
        let broke = matches!(events.last(), Some(GenerationEvent::Failed(_)));
        assert_eq!((self.done, self.failed), (finished, broke));
        assert_eq!(self.ends, usize::from(finished));
        assert_eq!(self.costs, usize::from(finished && include_usage));
    }
}

fn check_chat(events: &[GenerationEvent], include_usage: bool) {
    let mut chunks = Chunks::new(heading(), include_usage);
    let raw: String = events.iter().map(|event| chunks.event(event)).collect();
    let heard = Heard::of(&raw);
    heard.ends_as(events, include_usage);
    let calls = events.iter().filter_map(|event| match event {
        GenerationEvent::ToolCall(call) => Some(call.arguments.clone()),
        _ => None,
    });
    assert_eq!(
        heard.calls,
        calls.collect::<Vec<_>>(),
        "what was called arrives"
    );
    let told = events.iter().filter_map(|event| match event {
        GenerationEvent::Logprobs(tokens) => Some(tokens[0].bytes.clone()),
        _ => None,
    });
    let told: Vec<u8> = told.flatten().collect();
    // What is told of tokens whose text never comes is lost where an answer breaks off.
    assert!(told.starts_with(&heard.told));
    assert!(
        !heard.done || told.len() == heard.told.len(),
        "what was told arrives"
    );
}

fn check_completion(events: &[GenerationEvent], include_usage: bool) {
    let mut answer = TextAnswer::new(heading(), true, include_usage);
    let raw: String = events.iter().map(|event| answer.event(event)).collect();
    Heard::of(&raw).ends_as(events, include_usage);
}

/// The `data` of every event, read as the standard for event streams says: lines end with CR, LF or both, an empty line
/// ends an event, and one that the stream cuts off is none.
fn read_as_a_browser(raw: &str) -> Vec<String> {
    let (mut all, mut data) = (Vec::new(), Vec::new());
    let whole = raw.replace("\r\n", "\n").replace('\r', "\n");
    for line in whole.split_terminator('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                all.push(data.join("\n"));
                data = Vec::new();
            }
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
        } else {
            assert!(
                line.starts_with(':'),
                "neither data nor a comment: {line:?}"
            );
        }
    }
    assert!(data.is_empty(), "the last event is whole");
    all
}
