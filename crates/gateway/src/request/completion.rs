//! The body of `POST /v1/completions`: text that is gone on with, as it is.

use domain::{ModelName, Sampling};
use serde_json::Value;

use crate::error::ApiError;
use crate::request::common::{include_usage, model};
use crate::request::sampling::{no_bias, only_one, sampling};
use crate::request::{Defaults, Fields};

/// What the API gives where a request says nothing: clients that want more say so.
const MAX_TOKENS: u32 = 16;

/// The most of the likeliest tokens that may be asked for at each place, as the API has it.
const MOST_LIKELIEST: i128 = 5;

/// The fields of a request that are understood.
pub(crate) const FIELDS: &[&str] = &[
    "model",
    "prompt",
    "max_tokens",
    "temperature",
    "top_p",
    "n",
    "stream",
    "stream_options",
    "logprobs",
    "echo",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "best_of",
    "logit_bias",
    "seed",
    "user",
];

/// A completion that can be made.
#[derive(Clone, Debug, PartialEq)]
pub struct CompletionRequest {
    /// Who goes on.
    pub model: ModelName,
    /// What is gone on with; never empty.
    pub prompt: String,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Whether the answer comes piece by piece.
    pub stream: bool,
    /// Whether a streamed answer ends with what it cost.
    pub include_usage: bool,
}

/// Reads a request for a completion.
///
/// # Errors
/// 400, naming the field as `param`.
pub fn completion_request(body: &[u8], defaults: Defaults) -> Result<CompletionRequest, ApiError> {
    let fields = Fields::of_body(body)?;
    fields.refuse_unknown(FIELDS)?;
    only_one(&fields, "n")?;
    only_one(&fields, "best_of")?;
    if fields.boolean("echo")? == Some(true) {
        return Err(
            fields.not_supported("echo", "leave it out, and put the prompt in front yourself")
        );
    }
    no_bias(&fields)?;
    // Who asks changes nothing of the answer, and is not kept.
    fields.text("user")?;
    let stream = fields.boolean("stream")?.unwrap_or(false);
    let usual = Sampling {
        max_tokens: MAX_TOKENS,
        ..defaults.sampling
    };
    Ok(CompletionRequest {
        model: model(&fields)?.unwrap_or(defaults.model),
        prompt: prompt(&fields)?,
        sampling: Sampling {
            logprobs: logprobs(&fields)?,
            ..sampling(&fields, usual)?
        },
        stream,
        include_usage: include_usage(&fields, stream)?,
    })
}

/// A text, or an array of one.
fn prompt(fields: &Fields) -> Result<String, ApiError> {
    let text = match fields.get("prompt") {
        Some(Value::String(text)) => text,
        Some(Value::Array(texts)) => match texts.as_slice() {
            [Value::String(text)] => text,
            [Value::Number(_) | Value::Array(_), ..] => {
                return Err(fields.not_supported("prompt", "send texts, not tokens"));
            }
            [_, _, ..] => {
                return Err(fields.not_supported("prompt", "one text in each request"));
            }
            _ => return Err(fields.expected("prompt", "a text, or an array of one text")),
        },
        _ => return Err(fields.expected("prompt", "a text, or an array of one text")),
    };
    if text.is_empty() {
        return Err(fields.expected("prompt", "a text that is not empty"));
    }
    Ok(text.clone())
}

fn logprobs(fields: &Fields) -> Result<Option<u32>, ApiError> {
    let Some(likeliest) = fields.whole("logprobs")? else {
        return Ok(None);
    };
    let within = (0..=MOST_LIKELIEST).contains(&likeliest);
    let likeliest = u32::try_from(likeliest).ok().filter(|_| within);
    let refused = || fields.refused("logprobs", "a whole number from 0 to 5");
    likeliest.map(Some).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Defaults {
        Defaults {
            model: ModelName::new("default"),
            sampling: Sampling {
                seed: 77,
                ..Sampling::default()
            },
        }
    }

    fn with(fields: &str) -> Result<CompletionRequest, ApiError> {
        let body = format!(r#"{{"prompt":"Once"{fields}}}"#);
        completion_request(body.as_bytes(), defaults())
    }

    #[test]
    fn the_least_request_takes_the_defaults() {
        let expected = CompletionRequest {
            model: ModelName::new("default"),
            prompt: "Once".into(),
            sampling: Sampling {
                max_tokens: 16,
                seed: 77,
                ..Sampling::default()
            },
            stream: false,
            include_usage: false,
        };
        assert_eq!(with(""), Ok(expected.clone()));
        let harmless = r#","suffix":null,"n":1,"best_of":1,"echo":false,"logit_bias":{},"user":"u","logprobs":null"#;
        assert_eq!(with(harmless), Ok(expected));
    }

    #[test]
    fn every_field_is_heard() {
        let request = with(
            r#","model":"m","temperature":0,"top_p":0.5,"max_tokens":7,"stop":["a","b"],"seed":9,"logprobs":5,
               "presence_penalty":-2,"frequency_penalty":1.5,"stream":true,"stream_options":{"include_usage":true}"#,
        );
        let expected = CompletionRequest {
            model: ModelName::new("m"),
            prompt: "Once".into(),
            sampling: Sampling {
                temperature: 0.0,
                top_p: 0.5,
                max_tokens: 7,
                stop: vec!["a".into(), "b".into()],
                seed: 9,
                logprobs: Some(5),
                presence_penalty: -2.0,
                frequency_penalty: 1.5,
                ..Sampling::default()
            },
            stream: true,
            include_usage: true,
        };
        assert_eq!(request, Ok(expected));
        assert_eq!(with(r#","logprobs":0"#).unwrap().sampling.logprobs, Some(0));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (fields, param) in [
            (r#","suffix":"x""#, "suffix"),
            (r#","messages":[]"#, "messages"),
            (r#","max_completion_tokens":5"#, "max_completion_tokens"),
            (r#","max_tokens":0"#, "max_tokens"),
            (r#","n":2"#, "n"),
            (r#","n":0"#, "n"),
            (r#","best_of":2"#, "best_of"),
            (r#","best_of":"1""#, "best_of"),
            (r#","echo":true"#, "echo"),
            (r#","echo":1"#, "echo"),
            (r#","logit_bias":{"50256":-100}"#, "logit_bias"),
            (r#","logit_bias":[]"#, "logit_bias"),
            (r#","logprobs":6"#, "logprobs"),
            (r#","logprobs":-1"#, "logprobs"),
            (r#","logprobs":true"#, "logprobs"),
            (r#","logprobs":1.5"#, "logprobs"),
            (r#","presence_penalty":2.5"#, "presence_penalty"),
            (r#","frequency_penalty":"x""#, "frequency_penalty"),
            (r#","user":7"#, "user"),
            (r#","model":"""#, "model"),
            (r#","stream":"yes""#, "stream"),
            (r#","stream_options":{}"#, "stream_options"),
        ] {
            let error = with(fields).expect_err(fields);
            assert_eq!(error.param.as_deref(), Some(param), "{fields}");
            assert_eq!(error.status, 400, "{fields}");
        }
    }

    #[test]
    fn a_prompt_is_one_text() {
        let of = |prompt: &str| {
            let body = format!(r#"{{"prompt":{prompt}}}"#);
            completion_request(body.as_bytes(), defaults()).map(|request| request.prompt)
        };
        assert_eq!(of(r#""a b""#), Ok("a b".into()));
        assert_eq!(of(r#"["a b"]"#), Ok("a b".into()));
        for (prompt, says) in [
            (r#"["a","b"]"#, "one text in each request"),
            ("[1,2]", "texts, not tokens"),
            ("[[1,2]]", "texts, not tokens"),
            ("[]", "an array of one text"),
            ("[{}]", "an array of one text"),
            (r#""""#, "not empty"),
            (r#"[""]"#, "not empty"),
            ("null", "a text"),
            ("7", "a text"),
        ] {
            let error = of(prompt).expect_err(prompt);
            assert_eq!(error.param.as_deref(), Some("prompt"), "{prompt}");
            assert!(error.message.contains(says), "{prompt}: {}", error.message);
        }
    }
}
