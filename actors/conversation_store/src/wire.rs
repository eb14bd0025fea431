//! How messages and steps are written as JSON in the file. `domain` knows no serde, and a word of it that is renamed must
//! not change what lies in files: these names are the file's.

use domain::{FinishReason, Message, Role, ToolCall, ToolCallId, Usage};
use serde::{Deserialize, Serialize};

use crate::messages::StepRecord;

/// Not what we wrote.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(String);

impl From<Unreadable> for rusqlite::Error {
    fn from(unreadable: Unreadable) -> Self {
        let text = rusqlite::types::Type::Text;
        Self::FromSqlConversionFailure(0, text, Box::new(unreadable))
    }
}

#[derive(Serialize, Deserialize)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

#[derive(Serialize, Deserialize)]
struct Said {
    role: String,
    content: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answers: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    ModelCalled {
        number: u32,
        #[serde(default, skip_serializing_if = "is_none")]
        steered: u32,
        text: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call>,
        prompt_tokens: u32,
        cached_tokens: u32,
        completion_tokens: u32,
        reason: String,
    },
    ToolStarted {
        call: String,
        idempotent: bool,
    },
    ToolEnded {
        call: String,
        outcome: String,
    },
    Approved {
        call: String,
        granted: bool,
    },
    Steered {
        number: u32,
        text: String,
    },
}

/// Serde asks by reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

fn calls_out(calls: &[ToolCall]) -> Vec<Call> {
    let one = |call: &ToolCall| Call {
        id: call.id.to_string(),
        name: call.name.clone(),
        arguments: call.arguments.clone(),
    };
    calls.iter().map(one).collect()
}

fn calls_in(calls: Vec<Call>) -> Vec<ToolCall> {
    let one = |call: Call| ToolCall {
        id: ToolCallId::new(call.id),
        name: call.name,
        arguments: call.arguments,
    };
    calls.into_iter().map(one).collect()
}

fn text<T: Serialize>(value: &T) -> Result<String, Unreadable> {
    serde_json::to_string(value).map_err(|error| Unreadable(error.to_string()))
}

fn value<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))
}

pub(crate) fn role(name: &str) -> Result<Role, Unreadable> {
    name.parse()
        .map_err(|error: domain::FieldError| Unreadable(error.to_string()))
}

pub(crate) fn message_out(message: &Message) -> Result<String, Unreadable> {
    text(&Said {
        role: message.role.to_string(),
        content: message.content.clone(),
        tool_calls: calls_out(&message.tool_calls),
        answers: message.answers.as_ref().map(ToString::to_string),
    })
}

pub(crate) fn message_in(text: &str) -> Result<Message, Unreadable> {
    let said: Said = value(text)?;
    Ok(Message {
        role: role(&said.role)?,
        content: said.content,
        tool_calls: calls_in(said.tool_calls),
        answers: said.answers.map(ToolCallId::new),
    })
}

fn reason_in(word: &str) -> Result<FinishReason, Unreadable> {
    let all = [
        FinishReason::Stop,
        FinishReason::Length,
        FinishReason::ToolCalls,
    ];
    let found = all.into_iter().find(|reason| reason.as_str() == word);
    found.ok_or_else(|| Unreadable(format!("{word} is no reason to end")))
}

/// A step's kind, which of its kind it is, and its body.
pub(crate) fn step_out(step: &StepRecord) -> Result<(&'static str, String, String), Unreadable> {
    let (kind, which, body) = match step {
        StepRecord::ModelCalled {
            number,
            steered,
            text,
            tool_calls,
            usage,
            reason,
        } => {
            let body = Body::ModelCalled {
                number: *number,
                steered: *steered,
                text: text.clone(),
                tool_calls: calls_out(tool_calls),
                prompt_tokens: usage.prompt_tokens,
                cached_tokens: usage.cached_tokens,
                completion_tokens: usage.completion_tokens,
                reason: reason.as_str().to_owned(),
            };
            ("model_called", number.to_string(), body)
        }
        StepRecord::ToolStarted {
            call_id,
            idempotent,
        } => {
            let (call, idempotent) = (call_id.to_string(), *idempotent);
            let body = Body::ToolStarted { call, idempotent };
            ("tool_started", call_id.to_string(), body)
        }
        StepRecord::ToolEnded {
            call_id,
            outcome_json,
        } => {
            let (call, outcome) = (call_id.to_string(), outcome_json.clone());
            let body = Body::ToolEnded { call, outcome };
            ("tool_ended", call_id.to_string(), body)
        }
        StepRecord::Approved { call_id, granted } => {
            let (call, granted) = (call_id.to_string(), *granted);
            let body = Body::Approved { call, granted };
            ("approved", call_id.to_string(), body)
        }
        StepRecord::Steered { number, text } => {
            let (number, text) = (*number, text.clone());
            let body = Body::Steered { number, text };
            ("steered", number.to_string(), body)
        }
    };
    Ok((kind, which, text(&body)?))
}

pub(crate) fn step_in(text: &str) -> Result<StepRecord, Unreadable> {
    Ok(match value(text)? {
        Body::ModelCalled {
            number,
            steered,
            text,
            tool_calls,
            prompt_tokens,
            cached_tokens,
            completion_tokens,
            reason,
        } => StepRecord::ModelCalled {
            number,
            steered,
            text,
            tool_calls: calls_in(tool_calls),
            usage: Usage {
                prompt_tokens,
                cached_tokens,
                completion_tokens,
            },
            reason: reason_in(&reason)?,
        },
        Body::ToolStarted { call, idempotent } => StepRecord::ToolStarted {
            call_id: ToolCallId::new(call),
            idempotent,
        },
        Body::ToolEnded { call, outcome } => StepRecord::ToolEnded {
            call_id: ToolCallId::new(call),
            outcome_json: outcome,
        },
        Body::Approved { call, granted } => StepRecord::Approved {
            call_id: ToolCallId::new(call),
            granted,
        },
        Body::Steered { number, text } => StepRecord::Steered { number, text },
    })
}
