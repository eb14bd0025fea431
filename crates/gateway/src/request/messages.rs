//! The conversation of a chat: messages by their roles, and that every call of a tool is followed by its result, as the
//! API and the chat templates of models have it.

use std::collections::BTreeSet;

use domain::{Message, Role, ToolCall, ToolCallId};
use serde_json::Value;

use crate::error::ApiError;
use crate::request::Fields;
use crate::request::tools::{NAMES, is_name};

/// The roles a message may have.
const ROLES: &str = "system, developer, user, assistant or tool";

/// Fields of an answer of ours that clients send back; here they say nothing.
const OF_ANSWERS: [&str; 5] = [
    "refusal",
    "annotations",
    "audio",
    "function_call",
    "reasoning_content",
];

/// The messages of a request.
///
/// # Errors
/// 400, naming the message and its field.
pub(crate) fn messages(fields: &Fields) -> Result<Vec<Message>, ApiError> {
    let Some(Value::Array(list)) = fields.get("messages") else {
        return Err(fields.expected("messages", "an array of messages"));
    };
    if list.is_empty() {
        return Err(fields.expected("messages", "at least one message"));
    }
    let mut calls = Open::default();
    let mut messages = Vec::with_capacity(list.len());
    for (at, value) in list.iter().enumerate() {
        let fields = Fields::within(&format!("messages[{at}]"), value)?;
        let message = message(&fields)?;
        calls.hear(&message, &fields)?;
        messages.push(message);
    }
    calls.must_be_answered()?;
    Ok(messages)
}

fn message(fields: &Fields) -> Result<Message, ApiError> {
    match fields.text("role")? {
        Some("system" | "developer") => spoken(fields, Role::System),
        Some("user") => spoken(fields, Role::User),
        Some("assistant") => assistant(fields),
        Some("tool") => result(fields),
        None => Err(fields.expected("role", ROLES)),
        Some(_) => Err(fields.refused("role", ROLES)),
    }
}

fn spoken(fields: &Fields, role: Role) -> Result<Message, ApiError> {
    fields.refuse_unknown(&["role", "content"])?;
    Ok(Message::new(role, content(fields)?))
}

fn assistant(fields: &Fields) -> Result<Message, ApiError> {
    // What a client has parsed of the content it sends as well.
    let known = [
        &["role", "content", "tool_calls", "parsed"][..],
        &OF_ANSWERS,
    ]
    .concat();
    fields.refuse_unknown(&known)?;
    for field in OF_ANSWERS {
        if !is_nothing(fields.get(field)) {
            return Err(fields.not_supported(field, "leave it out"));
        }
    }
    let calls = tool_calls(fields)?;
    if calls.is_empty() {
        return Ok(Message::assistant(content(fields)?));
    }
    let said = match fields.get("content") {
        None => String::new(),
        Some(_) => content(fields)?,
    };
    Ok(Message::calling(said, calls))
}

fn result(fields: &Fields) -> Result<Message, ApiError> {
    fields.refuse_unknown(&["role", "content", "tool_call_id"])?;
    let id = fields.text("tool_call_id")?;
    let id = id.ok_or_else(|| fields.expected("tool_call_id", "the id of a call"))?;
    Ok(Message::tool(ToolCallId::new(id), content(fields)?))
}

fn is_nothing(value: Option<&Value>) -> bool {
    match value {
        None => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    }
}

fn tool_calls(fields: &Fields) -> Result<Vec<ToolCall>, ApiError> {
    let list = match fields.get("tool_calls") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(fields.expected("tool_calls", "an array of calls")),
    };
    let one = |(at, value): (usize, &Value)| {
        tool_call(&Fields::within(
            &format!("{}[{at}]", fields.path("tool_calls")),
            value,
        )?)
    };
    list.iter().enumerate().map(one).collect()
}

/// What clients add to calls that they have put together from a stream, or parsed, is taken: it says the same again.
fn tool_call(fields: &Fields) -> Result<ToolCall, ApiError> {
    fields.refuse_unknown(&["id", "type", "function", "index"])?;
    fields.whole("index")?;
    if fields.text("type")?.is_some_and(|kind| kind != "function") {
        return Err(fields.not_supported("type", "only calls of type \"function\""));
    }
    let id = fields.text("id")?.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| fields.expected("id", "a text that is not empty"))?;
    let function = fields.object("function")?;
    let function = function
        .ok_or_else(|| fields.expected("function", "an object with a name and arguments"))?;
    function.refuse_unknown(&["name", "arguments", "parsed_arguments"])?;
    let name = function.text("name")?;
    let name = name.ok_or_else(|| function.expected("name", NAMES))?;
    if !is_name(name) {
        return Err(function.refused("name", NAMES));
    }
    let arguments = function.text("arguments")?.unwrap_or_default();
    let arguments = if arguments.is_empty() {
        "{}"
    } else {
        arguments
    };
    if !matches!(serde_json::from_str(arguments), Ok(Value::Object(_))) {
        return Err(function.expected("arguments", "the text of a JSON object"));
    }
    Ok(ToolCall {
        id: ToolCallId::new(id),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    })
}

/// The calls that wait for their results.
#[derive(Debug, Default)]
struct Open {
    /// Where the calls were made.
    path: String,
    ids: BTreeSet<ToolCallId>,
}

impl Open {
    fn hear(&mut self, message: &Message, fields: &Fields) -> Result<(), ApiError> {
        if let Some(id) = &message.answers {
            let allowed = "the id of a call in the assistant's message before it, each once";
            if !self.ids.remove(id) {
                return Err(fields.refused("tool_call_id", allowed));
            }
            return Ok(());
        }
        self.must_be_answered()?;
        self.path = fields.path("tool_calls");
        for (at, call) in message.tool_calls.iter().enumerate() {
            if !self.ids.insert(call.id.clone()) {
                let field = format!("tool_calls[{at}].id");
                return Err(fields.expected(&field, "another one than that of the calls before"));
            }
        }
        Ok(())
    }

    fn must_be_answered(&self) -> Result<(), ApiError> {
        let Some(id) = self.ids.first() else {
            return Ok(());
        };
        let id: String = id.as_str().chars().take(80).collect();
        let message = format!(
            "{} has a call without a result: {id}; it must be followed by a message of role tool with that tool_call_id",
            self.path
        );
        Err(ApiError::invalid(&self.path, message))
    }
}

/// A text, or an array of text parts, which are put together.
fn content(fields: &Fields) -> Result<String, ApiError> {
    match fields.get("content") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let one = |(at, part): (usize, &Value)| {
                part_text(&format!("{}[{at}]", fields.path("content")), part)
            };
            parts.iter().enumerate().map(one).collect()
        }
        _ => Err(fields.expected("content", "a text or an array of text parts")),
    }
}

fn part_text(path: &str, value: &Value) -> Result<String, ApiError> {
    let part = Fields::within(path, value)?;
    if part.text("type")? != Some("text") {
        return Err(part.not_supported("type", "only parts of type \"text\""));
    }
    part.refuse_unknown(&["type", "text"])?;
    let text = part.text("text")?;
    text.map(str::to_owned)
        .ok_or_else(|| part.expected("text", "a text"))
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
