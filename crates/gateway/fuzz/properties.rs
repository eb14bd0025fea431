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

use domain::{FinishReason, GenerationError, GenerationEvent, ModelName, Sampling, Usage};
use gateway::answer::Written;
use gateway::answer::chunks::Chunks;
use gateway::answer::whole::Heading;
use gateway::error::ApiError;
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
        _ => (GenerationEvent::Text(text), left),
    }
}

/// Whatever the model says arrives as it was said, in events that any reader takes apart, and after an error nothing does.
pub fn stream_is_well_formed(bytes: &[u8]) {
    for include_usage in [false, true] {
        check_stream(&events(bytes), include_usage);
    }
}

fn check_stream(events: &[GenerationEvent], include_usage: bool) {
    let heading = Heading {
        id: "chatcmpl-\u{2028}\n\n".into(),
        created: u64::MAX,
        model: ModelName::new("m\r\n\r\ndata: x"),
    };
    let mut chunks = Chunks::new(heading, include_usage);
    let raw: String = events.iter().map(|event| chunks.event(event)).collect();
    let data = read_as_a_browser(&raw);
    let (mut said, mut failed, mut done, mut ends, mut costs) = (String::new(), false, false, 0, 0);
    for data in &data {
        assert!(!failed && !done, "nothing follows the end: {raw}");
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data).expect("every other event is JSON");
        failed = chunk.get("error").is_some();
        let choice = &chunk["choices"][0];
        said.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        ends += usize::from(choice["finish_reason"].is_string());
        costs += usize::from(chunk["usage"].is_object());
    }
    let texts = events.iter().filter_map(|event| match event {
        GenerationEvent::Text(text) => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(said, texts.collect::<String>(), "what was said arrives");
    let finished = matches!(events.last(), Some(GenerationEvent::Finished { .. }));
    let broke = matches!(events.last(), Some(GenerationEvent::Failed(_)));
    assert_eq!((done, failed), (finished, broke), "{raw}");
    assert_eq!(ends, usize::from(finished), "{raw}");
    assert_eq!(costs, usize::from(finished && include_usage), "{raw}");
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
