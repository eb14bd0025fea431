//! JSON-RPC 2.0, one object per line: requests are read, answers and notifications written.
//!
//! Narrower than the standard in three points: no batches, an id is a whole number or a text, and a request without an id is
//! refused, because whoever asks for something has to hear what became of it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest id that is a text, in bytes: it is echoed.
const ID: usize = 200;

/// What an answer refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// A whole number.
    Number(i64),
    /// A text of at most 200 bytes.
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What a client asks for, before anybody looked whether there is such a method.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What the answer will refer to.
    pub id: Id,
    /// Which method.
    pub method: String,
    /// Its parameters by name; null if there are none.
    pub params: Value,
}

/// Why something was not done, with a number that does not change. The text may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The line is not JSON.
    Parse,
    /// It is JSON, but no request.
    Request,
    /// There is no such method.
    Method,
    /// The parameters are not what the method takes.
    Params,
    /// It should not have happened.
    Internal,
    /// The line is longer than it may be; it was skipped.
    TooLong,
    /// The level of this connection is too low.
    Level,
    /// What was named is not there.
    NotFound,
    /// It is there, but this cannot be done with it now.
    Refused,
    /// The part that would know or do it does not answer.
    Unavailable,
    /// As much is under way as may be.
    Busy,
    /// Another protocol.
    Protocol,
    /// The peer is another user.
    Stranger,
}

impl Code {
    /// All of them, in the order of their numbers' groups.
    pub const ALL: [Self; 13] = [
        Self::Parse,
        Self::Request,
        Self::Method,
        Self::Params,
        Self::Internal,
        Self::TooLong,
        Self::Level,
        Self::NotFound,
        Self::Refused,
        Self::Unavailable,
        Self::Busy,
        Self::Protocol,
        Self::Stranger,
    ];

    /// The number on the wire; those of the standard, and ours from -32001 down.
    pub const fn number(self) -> i32 {
        match self {
            Self::Parse => -32700,
            Self::Request => -32600,
            Self::Method => -32601,
            Self::Params => -32602,
            Self::Internal => -32603,
            Self::TooLong => -32001,
            Self::Level => -32002,
            Self::NotFound => -32003,
            Self::Refused => -32004,
            Self::Unavailable => -32005,
            Self::Busy => -32006,
            Self::Protocol => -32007,
            Self::Stranger => -32008,
        }
    }

    /// The word on the wire, in `data.kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "parse_error",
            Self::Request => "invalid_request",
            Self::Method => "no_such_method",
            Self::Params => "invalid_params",
            Self::Internal => "internal",
            Self::TooLong => "line_too_long",
            Self::Level => "level_too_low",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Protocol => "other_protocol",
            Self::Stranger => "stranger",
        }
    }

    /// What it means, for the page.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Parse => "the line is not JSON, or not UTF-8",
            Self::Request => "it is JSON, but no request: no id, a batch, an id that is in use",
            Self::Method => "there is no such method",
            Self::Params => {
                "the parameters are not what the method takes; the text names the field"
            }
            Self::Internal => "it should not have happened; the server's log says more",
            Self::TooLong => "the line is longer than 1 MiB; it was skipped",
            Self::Level => "this connection may not do that",
            Self::NotFound => "what was named is not there",
            Self::Refused => "it is there, but this cannot be done with it now",
            Self::Unavailable => "the actor that would know or do it does not answer",
            Self::Busy => "as many connections, requests or subscriptions as may be",
            Self::Protocol => "the client speaks another protocol; the server hangs up",
            Self::Stranger => "the peer is another user; the server hangs up",
        }
    }
}

/// An error as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// The number of a [`Code`].
    pub code: i32,
    /// What happened and what to do, for a person.
    pub message: String,
    /// The word of the code.
    pub data: ErrorData,
}

/// The part of an error for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorData {
    /// The word of the code; it does not change.
    pub kind: String,
}

impl RpcError {
    /// With what to say.
    pub fn new(code: Code, message: impl std::fmt::Display) -> Self {
        Self {
            code: code.number(),
            message: message.to_string(),
            data: ErrorData {
                kind: code.as_str().to_owned(),
            },
        }
    }

    /// Which code it is, if it is one of ours.
    pub fn kind(&self) -> Option<Code> {
        Code::ALL
            .into_iter()
            .find(|code| code.number() == self.code)
    }
}

/// Reads a request from a line.
///
/// # Errors
/// `Parse` or `Request`, with the id as far as one could be read.
pub fn read(line: &str) -> Result<Request, (Option<Id>, RpcError)> {
    let wrong = |id: Option<Id>, what: String| (id, RpcError::new(Code::Request, what));
    let value: Value = serde_json::from_str(line).map_err(|error| {
        let text = format!("not JSON: {error}; write one object per line");
        (None, RpcError::new(Code::Parse, text))
    })?;
    let Value::Object(mut members) = value else {
        let what = if value.is_array() {
            "a batch is not accepted: send one request per line"
        } else {
            "a request is an object such as {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}"
        };
        return Err(wrong(None, what.to_owned()));
    };
    let id = match members.remove("id") {
        Some(Value::Number(number)) if number.is_i64() => number.as_i64().map(Id::Number),
        Some(Value::String(text)) if text.len() <= ID => Some(Id::Text(text)),
        Some(Value::Null) | None => None,
        Some(_) => {
            let what = format!("id is a whole number, or a text of at most {ID} bytes");
            return Err(wrong(None, what));
        }
    };
    if members.remove("jsonrpc") != Some(json!("2.0")) {
        return Err(wrong(id, "jsonrpc has to be \"2.0\"".to_owned()));
    }
    let Some(Value::String(method)) = members.remove("method") else {
        return Err(wrong(id, "method is missing, or no text".to_owned()));
    };
    let params = members.remove("params").unwrap_or(Value::Null);
    if !matches!(params, Value::Object(_) | Value::Null) {
        let what = "params is an object: parameters have names".to_owned();
        return Err(wrong(id, what));
    }
    if let Some(other) = members.keys().next() {
        return Err(wrong(id, format!("{other} is no member of a request")));
    }
    let Some(id) = id else {
        let what = "id is missing: without one there is no answer, and nothing is done unheard";
        return Err(wrong(None, what.to_owned()));
    };
    Ok(Request { id, method, params })
}

/// A line as it is written: members in this order, those that are absent left out.
#[derive(Serialize)]
struct Written<'a, P> {
    jsonrpc: &'static str,
    /// Null where it is not known whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<P>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RpcError>,
}

impl<P: Serialize> Written<'_, P> {
    const EMPTY: Self = Written {
        jsonrpc: "2.0",
        id: None,
        method: None,
        params: None,
        result: None,
        error: None,
    };

    fn line(&self) -> String {
        // Our own types are always written; an empty line would be skipped.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn written(id: &Id) -> Value {
    match id {
        Id::Number(number) => Value::from(*number),
        Id::Text(text) => Value::from(text.as_str()),
    }
}

/// A request as a line, without its end.
pub fn request(id: &Id, method: &str, params: &impl Serialize) -> String {
    Written {
        id: Some(written(id)),
        method: Some(method),
        params: Some(params),
        ..Written::EMPTY
    }
    .line()
}

/// An answer as a line, without its end.
pub fn answer(id: Option<&Id>, result: Result<Value, RpcError>) -> String {
    let (result, error) = match result {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(error)),
    };
    Written::<()> {
        id: Some(id.map_or(Value::Null, written)),
        result,
        error,
        ..Written::EMPTY
    }
    .line()
}

/// A notification as a line, without its end.
pub fn notification(method: &str, params: &impl Serialize) -> String {
    Written {
        method: Some(method),
        params: Some(params),
        ..Written::EMPTY
    }
    .line()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read() {
        for (line, id, params) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#,
                Id::Number(1),
                Value::Null,
            ),
            (
                r#"{"method":"m","params":{"a":[1]},"id":"x","jsonrpc":"2.0"}"#,
                Id::Text("x".to_owned()),
                json!({"a": [1]}),
            ),
        ] {
            let method = "m".to_owned();
            assert_eq!(read(line), Ok(Request { id, method, params }));
        }
    }

    #[test]
    fn what_is_none_is_refused_with_a_code_and_the_id_where_there_is_one() {
        let long = format!(
            r#"{{"jsonrpc":"2.0","id":"{}","method":"m"}}"#,
            "x".repeat(201)
        );
        let deep = "[".repeat(100_000);
        for (line, code, id, part) in [
            ("", Code::Parse, None, "not JSON"),
            ("{", Code::Parse, None, "not JSON"),
            (deep.as_str(), Code::Parse, None, "not JSON"),
            ("7", Code::Request, None, "object"),
            ("[]", Code::Request, None, "batch"),
            ("{}", Code::Request, None, "jsonrpc"),
            (
                r#"{"jsonrpc":"1.0","id":3,"method":"m"}"#,
                Code::Request,
                Some(Id::Number(3)),
                "jsonrpc",
            ),
            (
                r#"{"jsonrpc":"2.0","id":3}"#,
                Code::Request,
                Some(Id::Number(3)),
                "method",
            ),
            (
                r#"{"jsonrpc":"2.0","id":3,"method":"m","params":[1]}"#,
                Code::Request,
                Some(Id::Number(3)),
                "params",
            ),
            (
                r#"{"jsonrpc":"2.0","id":3,"method":"m","parms":{}}"#,
                Code::Request,
                Some(Id::Number(3)),
                "parms",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"m"}"#,
                Code::Request,
                None,
                "id is missing",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#,
                Code::Request,
                None,
                "whole number",
            ),
            (long.as_str(), Code::Request, None, "200 bytes"),
        ] {
            let (found, error) = read(line).unwrap_err();
            assert_eq!((found, error.kind()), (id, Some(code)), "{error}");
            assert!(error.message.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn each_code_has_a_number_and_a_word_of_its_own() {
        for one in Code::ALL {
            for other in Code::ALL.into_iter().filter(|other| *other != one) {
                assert_ne!(one.number(), other.number());
                assert_ne!(one.as_str(), other.as_str());
            }
        }
    }

    #[test]
    fn lines_are_what_the_standard_says() {
        let id = Id::Number(1);
        assert_eq!(
            answer(Some(&id), Ok(json!({"a": 1}))),
            r#"{"jsonrpc":"2.0","id":1,"result":{"a":1}}"#
        );
        assert_eq!(
            answer(None, Err(RpcError::new(Code::Parse, "x"))),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x","data":{"kind":"parse_error"}}}"#
        );
        assert_eq!(
            notification("event", &json!({})),
            r#"{"jsonrpc":"2.0","method":"event","params":{}}"#
        );
    }
}
