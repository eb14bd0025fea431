//! How a refusal looks on the wire: the OpenAI envelope `{"error":{"message","type","param","code"}}` and the status an
//! official client retries or does not retry. Nothing here knows HTTP but the number.

use std::time::Duration;

use domain::{FieldError, GenerationError};
use serde::Serialize;

use crate::guard::seats::NoSeat;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do.
    pub message: String,
    /// The field that is wrong, as the client wrote it.
    pub param: Option<String>,
    /// A word for programs.
    pub code: Option<&'static str>,
    /// When it is worth trying again, in seconds.
    pub retry_after_s: Option<u64>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: Option<&'static str>,
}

impl ApiError {
    fn new(status: u16, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            param: None,
            code,
            retry_after_s: None,
        }
    }

    /// 400: `param` is not as it must be.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::new(400, None, message)
        }
    }

    /// 400: the request as a whole is not as it must be.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, None, message)
    }

    /// 401: there is no token, or none that is valid. Which it is stays unsaid.
    pub fn unauthorized() -> Self {
        let message = "a valid token is needed, as `Authorization: Bearer sk-paraphym-…`: `paraphym token new` makes one \
                       where this server runs";
        Self::new(401, Some("invalid_api_key"), message)
    }

    /// 429: one asks more often than they may.
    pub fn too_often(per_minute: u32, wait: Duration) -> Self {
        let seconds = u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX);
        let message = format!(
            "{per_minute} requests a minute are allowed, and as many were made: try again in {seconds} s"
        );
        Self::over_a_limit(message, seconds.max(1))
    }

    /// 429: one has as many answers at once as they may.
    pub fn too_many_answers(most: u32) -> Self {
        let message = format!(
            "{most} answers at once are allowed, and as many are being made: try again when one has ended"
        );
        Self::over_a_limit(message, 1)
    }

    fn over_a_limit(message: String, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..Self::new(429, Some("rate_limit_exceeded"), message)
        }
    }

    /// 503: the server ends, and takes nothing new.
    pub fn draining() -> Self {
        Self {
            retry_after_s: Some(1),
            ..Self::new(
                503,
                Some("draining"),
                "the server is ending and takes nothing new: ask again when it has been started, or another one",
            )
        }
    }

    /// 403: the request names, or comes from, another place than this machine.
    pub fn foreign(header: &'static str, allowed: &str) -> Self {
        let message = format!(
            "the {header} header must name this machine: use {allowed}, 127.0.0.1 or [::1], with any port; a proxy in \
             front must set it"
        );
        Self::new(403, Some("foreign_origin"), message)
    }

    /// 404: a model that is not one of those served.
    pub fn no_such_model(model: &str) -> Self {
        let model: String = model.chars().take(80).collect();
        let message = format!(
            "model {model} is not served here: use one that GET /v1/models lists, or fetch it with `paraphym model \
             pull`; it is listed a few seconds later"
        );
        Self {
            param: Some("model".into()),
            ..Self::new(404, Some("model_not_found"), message)
        }
    }

    /// 404: no model that embeds is here, and none was named.
    pub fn no_embedder() -> Self {
        let message = "no embedding model is here: fetch one with `paraphym model pull`, `paraphym model list` names them; \
                       it is listed a few seconds later";
        Self {
            param: Some("model".into()),
            ..Self::new(404, Some("model_not_found"), message)
        }
    }

    /// 400: a model that embeds was asked for an answer.
    pub fn only_embeds(model: &str) -> Self {
        Self::wrong_kind(
            model,
            "embeds texts and answers nothing: ask it at POST /v1/embeddings",
        )
    }

    /// 400: a model that answers was asked for vectors.
    pub fn only_answers(model: &str) -> Self {
        Self::wrong_kind(
            model,
            "answers and embeds nothing: leave the field out or name an embedding model",
        )
    }

    fn wrong_kind(model: &str, what: &str) -> Self {
        let model: String = model.chars().take(80).collect();
        Self {
            param: Some("model".into()),
            ..Self::new(
                400,
                Some("wrong_kind_of_model"),
                format!("model {model} {what}"),
            )
        }
    }

    /// The same, about `to` where it is about `from`: paths call one thing by different names.
    #[must_use]
    pub fn about(mut self, from: &str, to: &str) -> Self {
        if self.param.as_deref() == Some(from) {
            self.param = Some(to.to_owned());
        }
        self
    }

    /// 404: nothing answers at this path.
    pub fn no_such_path(path: &str) -> Self {
        let path: String = path.chars().take(80).collect();
        let message = format!("{path} is not served here: GET /openapi.json tells what is");
        Self::new(404, Some("unknown_url"), message)
    }

    /// 404: nothing that is called so, and is the caller's, is under way.
    pub fn no_such_request(id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        let message = format!(
            "no request {id} is under way: name it as x-request-id or the answer's id does; it may have ended by itself"
        );
        Self::new(404, Some("request_not_found"), message)
    }

    /// 405: the path is served for other methods.
    pub fn method_not_allowed(method: &str) -> Self {
        Self::new(
            405,
            Some("method_not_allowed"),
            format!("{method} is not allowed here"),
        )
    }

    /// 408: the request did not arrive in time.
    pub fn too_slow(seconds: u64) -> Self {
        let message = format!("the body did not arrive within {seconds} s: send it in one go");
        Self::new(408, Some("request_timeout"), message)
    }

    /// 413: the body is over the limit.
    pub fn too_large(limit_bytes: usize) -> Self {
        let message = format!("the body has more than {limit_bytes} bytes: send less at once");
        Self::new(413, Some("request_too_large"), message)
    }

    /// 415: the body does not say that it is JSON.
    pub fn not_json() -> Self {
        let message = "the content-type header must be application/json: set it";
        Self::new(415, Some("unsupported_media_type"), message)
    }

    /// 426: this path is for connections in real time.
    pub fn upgrade_required(why: &str) -> Self {
        let message = format!(
            "this path speaks WebSocket, and the request is no upgrade to it: {why}; use a WebSocket client, version 13"
        );
        Self::new(426, Some("upgrade_required"), message)
    }

    /// 403: a page of another place.
    pub fn foreign_page() -> Self {
        let message = "the Origin header must name the place that the Host header does: open the page of this server, or \
                       name the other one in server.cors_origins";
        Self::new(403, Some("foreign_origin"), message)
    }

    /// 503: more requests at once than are let in.
    pub fn too_many(limit: usize) -> Self {
        let message = format!(
            "{limit} requests are being answered, which is the limit: try again in a second"
        );
        Self {
            retry_after_s: Some(1),
            ..Self::new(503, Some("too_many_requests_at_once"), message)
        }
    }

    /// 503: no seat for another connection.
    pub(crate) fn no_seat(why: NoSeat) -> Self {
        let (code, message) = match why {
            NoSeat::Full(limit) => (
                "too_many_connections",
                format!("{limit} connections are open, which is the limit: try again in a second"),
            ),
            NoSeat::Silent(most) => (
                "too_many_silent_connections",
                format!(
                    "{most} connections from your address are open on which nothing was asked, which is the limit: use \
                     those, or try again in a second"
                ),
            ),
        };
        Self {
            retry_after_s: Some(1),
            ..Self::new(503, Some(code), message)
        }
    }

    /// The OpenAI word for this status.
    pub fn kind(&self) -> &'static str {
        match self.status {
            // The kind of limit, as the official API has it.
            429 if self.code == Some("rate_limit_exceeded") => "requests",
            404 => "not_found_error",
            429 => "rate_limit_error",
            400..=498 => "invalid_request_error",
            _ => "api_error",
        }
    }

    /// The envelope, without a line break.
    pub fn json(&self) -> String {
        let envelope = Envelope {
            error: Body {
                message: &self.message,
                r#type: self.kind(),
                param: self.param.as_deref(),
                code: self.code,
            },
        };
        serde_json::to_string(&envelope)
            .unwrap_or_else(|_| r#"{"error":{"message":"internal"}}"#.into())
    }
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        Self::invalid(error.field, error.to_string())
    }
}

impl From<&GenerationError> for ApiError {
    fn from(error: &GenerationError) -> Self {
        use GenerationError as G;
        let says = error.to_string();
        let later = |code, seconds, status| Self {
            retry_after_s: Some(seconds),
            ..Self::new(status, Some(code), says.clone())
        };
        let about = |param: &str, code, status| Self {
            param: Some(param.into()),
            ..Self::new(status, Some(code), says.clone())
        };
        match error {
            G::Invalid(field) => Self::invalid(field.field, says),
            G::ModelNotFound { .. } => about("model", "model_not_found", 404),
            G::LoadFailed { .. } => about("model", "model_load_failed", 500),
            G::ContextOverflow { .. } => about("messages", "context_length_exceeded", 400),
            G::Overloaded { retry_after_ms, .. } => {
                later("overloaded", retry_after_ms.div_ceil(1000).max(1), 429)
            }
            G::CircuitOpen { retry_after_ms, .. } => Self {
                param: Some("model".into()),
                ..later("circuit_open", retry_after_ms.div_ceil(1000).max(1), 503)
            },
            G::MemoryExhausted { .. } => later("memory_exhausted", 10, 503),
            G::Unavailable { .. } => later("unavailable", 1, 503),
            G::EngineStuck { .. } => later("engine_stuck", 30, 503),
            G::EngineCrashed { .. } => Self::new(500, Some("engine_crashed"), says),
            // A status of its own: clients try 408, 409, 429 and all from 500 again, and whoever cancels does not want that.
            G::Cancelled => Self::new(499, Some("cancelled"), says),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{Bytes, ModelName};

    use super::*;

    fn failures() -> Vec<GenerationError> {
        let model = || ModelName::new("m");
        let reason = || "r".to_string();
        let overloaded = |retry_after_ms| GenerationError::Overloaded {
            waiting: 3,
            retry_after_ms,
        };
        vec![
            FieldError::new("top_p", 2, "less").into(),
            GenerationError::ModelNotFound {
                model: model(),
                hint: reason(),
            },
            GenerationError::LoadFailed {
                model: model(),
                reason: reason(),
            },
            GenerationError::CircuitOpen {
                model: model(),
                reason: reason(),
                retry_after_ms: 2001,
            },
            GenerationError::ContextOverflow {
                prompt_tokens: 9,
                context_tokens: 8,
            },
            overloaded(1500),
            overloaded(0),
            GenerationError::MemoryExhausted {
                purpose: reason(),
                needed: Bytes(2),
                available: Bytes(1),
            },
            GenerationError::Unavailable {
                part: reason(),
                reason: reason(),
            },
            GenerationError::EngineCrashed {
                crashes: 3,
                reason: reason(),
            },
            GenerationError::EngineStuck {
                model: model(),
                seconds: 301,
            },
            GenerationError::Cancelled,
        ]
    }

    #[test]
    fn every_failure_has_its_status_type_and_code() {
        let described = failures().into_iter().map(|failure| {
            let error = ApiError::from(&failure);
            assert_eq!(error.message, failure.to_string());
            let (param, code) = (error.param.as_deref(), error.code);
            let (param, code) = (param.unwrap_or("-"), code.unwrap_or("-"));
            let retry = error.retry_after_s.unwrap_or(0);
            format!("{} {} {param} {code} {retry}", error.status, error.kind())
        });
        let described: Vec<String> = described.collect();
        assert_eq!(
            described,
            [
                "400 invalid_request_error top_p - 0",
                "404 not_found_error model model_not_found 0",
                "500 api_error model model_load_failed 0",
                "503 api_error model circuit_open 3",
                "400 invalid_request_error messages context_length_exceeded 0",
                "429 rate_limit_error - overloaded 2",
                "429 rate_limit_error - overloaded 1",
                "503 api_error - memory_exhausted 10",
                "503 api_error - unavailable 1",
                "500 api_error - engine_crashed 0",
                "503 api_error - engine_stuck 30",
                "499 api_error - cancelled 0",
            ]
        );
    }

    #[test]
    fn the_envelope_is_exact() {
        let error = ApiError::invalid("n", "n is \"odd\"");
        assert_eq!(
            error.json(),
            r#"{"error":{"message":"n is \"odd\"","type":"invalid_request_error","param":"n","code":null}}"#
        );
    }

    #[test]
    fn a_limit_of_ones_own_is_told_as_the_official_api_does() {
        let error = ApiError::too_often(3, Duration::from_millis(19_001));
        assert_eq!((error.status, error.retry_after_s), (429, Some(20)));
        assert_eq!(
            error.json(),
            r#"{"error":{"message":"3 requests a minute are allowed, and as many were made: try again in 20 s","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#
        );
        let error = ApiError::unauthorized();
        assert_eq!(
            (error.status, error.kind(), error.code),
            (401, "invalid_request_error", Some("invalid_api_key"))
        );
    }
}
