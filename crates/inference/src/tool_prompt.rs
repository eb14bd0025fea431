//! How tools, their calls and their results are written into a conversation.
//!
//! A template that knows tools gets them as values, in the shape that `apply_chat_template` of Hugging Face transformers
//! gives them. For one that does not, they become words: the tools and how to call them in a system message, in the shape
//! that `SmolLM2` was trained with (a list of calls between two tags), and results as a message of the user's.

use std::io;

use domain::{Message, Role, ToolCall, ToolSpec};
use engine::ToolSyntax;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use serde_json::{Value, json};

/// JSON as Python writes it, which is what models read in training: a space behind commas and colons, and nothing escaped
/// that need not be. `indent` spaces for each level, if there is an indent.
///
/// # Errors
/// What `to` refuses, or keys that are no texts.
pub fn write_json(
    to: &mut dyn io::Write,
    value: &impl Serialize,
    indent: Option<usize>,
) -> serde_json::Result<()> {
    let Some(width) = indent else {
        return value.serialize(&mut Serializer::with_formatter(to, Spaced));
    };
    // No template indents by more.
    let blanks = " ".repeat(width.min(16));
    let formatter = PrettyFormatter::with_indent(blanks.as_bytes());
    value.serialize(&mut Serializer::with_formatter(to, formatter))
}

fn to_json(value: &[Value]) -> String {
    let mut bytes = Vec::new();
    // Memory refuses nothing, and JSON's own keys are texts.
    drop(write_json(&mut bytes, &value, None));
    String::from_utf8(bytes).unwrap_or_default()
}

/// `, ` and `: `.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }
}

/// A tool as templates know it.
pub fn spec(spec: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": spec.name,
            "description": spec.description,
            "parameters": engine::tools::parameters(spec).unwrap_or_else(|_| json!({})),
        },
    })
}

/// A message as templates that know tools expect it.
pub fn message(message: &Message) -> Value {
    let mut value = json!({ "role": message.role.as_str(), "content": message.content });
    let Some(fields) = value.as_object_mut() else {
        return value;
    };
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            json!({
                "id": call.id.as_str(),
                "type": "function",
                "function": { "name": call.name, "arguments": arguments(call) },
            })
        });
        fields.insert("tool_calls".to_owned(), calls.collect());
    }
    if let Some(id) = &message.answers {
        fields.insert("tool_call_id".to_owned(), Value::from(id.as_str()));
    }
    value
}

/// What a conversation of [`message`]s becomes for a template that knows only roles and texts. `tools` are what the model
/// may call, each as [`spec`] makes it.
pub fn in_words(messages: Vec<Value>, tools: &[Value]) -> Vec<Value> {
    let mut plain: Vec<Plain> = Vec::with_capacity(messages.len() + 1);
    let mut results = false;
    for message in messages {
        let content = text_of(&message, "content");
        let role = text_of(&message, "role");
        let is_result = role == Role::Tool.as_str();
        match plain.last_mut() {
            Some(before) if is_result && results => {
                before.content += &["\n", &response(content)].concat();
            }
            _ if is_result => plain.push(Plain::new(Role::User.as_str(), response(content))),
            _ => plain.push(Plain::new(
                role,
                with_calls(content, message.get("tool_calls")),
            )),
        }
        results = is_result;
    }
    if !tools.is_empty() {
        let words = instructions(tools);
        let system = Role::System.as_str();
        match plain.first_mut().filter(|first| first.role == system) {
            Some(first) => first.content = [&words, "\n\n", &first.content].concat(),
            None => plain.insert(0, Plain::new(system, words)),
        }
    }
    plain
        .into_iter()
        .map(|plain| json!({ "role": plain.role, "content": plain.content }))
        .collect()
}

/// The same conversation for a template that refuses system messages: what each says stands before what the user says next.
pub fn without_system(messages: Vec<Value>) -> Vec<Value> {
    let mut said = Vec::new();
    let mut rest = Vec::with_capacity(messages.len());
    for mut message in messages {
        let role = text_of(&message, "role");
        if role == Role::System.as_str() {
            said.push(text_of(&message, "content").to_owned());
            continue;
        }
        if role == Role::User.as_str() && !said.is_empty() {
            said.push(text_of(&message, "content").to_owned());
            let all = std::mem::take(&mut said).join("\n\n");
            if let Some(content) = message.get_mut("content") {
                *content = Value::from(all);
            }
        }
        rest.push(message);
    }
    if said.is_empty() {
        return rest;
    }
    let user = Role::User.as_str();
    // Nothing follows: it is the user's last word, and no second one.
    if let Some(last) = rest.pop_if(|last| text_of(last, "role") == user) {
        said.insert(0, text_of(&last, "content").to_owned());
    }
    rest.push(json!({ "role": user, "content": said.join("\n\n") }));
    rest
}

struct Plain {
    role: String,
    content: String,
}

impl Plain {
    fn new(role: &str, content: String) -> Self {
        let role = role.to_owned();
        Self { role, content }
    }
}

fn text_of<'v>(message: &'v Value, field: &str) -> &'v str {
    message
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn response(content: &str) -> String {
    format!("<tool_response>\n{content}\n</tool_response>")
}

fn instructions(tools: &[Value]) -> String {
    let list = to_json(tools);
    let (open, close) = (ToolSyntax::OPEN, ToolSyntax::CLOSE);
    format!(
        "You may call tools to answer the question. Each has a name and takes arguments that follow its JSON Schema.\n\
         <tools>{list}</tools>\n\n\
         To call tools, answer with a list of calls and nothing else:\n\
         {open}[{{\"name\": \"name of the tool\", \"arguments\": {{\"argument\": \"value\"}}}}]{close}\n\
         Their results come in the next message. If no tool helps, answer in words."
    )
}

fn with_calls(content: &str, calls: Option<&Value>) -> String {
    let Some(calls) = calls.and_then(Value::as_array) else {
        return content.to_owned();
    };
    let functions = calls.iter().filter_map(|call| call.get("function"));
    let list = to_json(&functions.cloned().collect::<Vec<_>>());
    let between = if content.is_empty() { "" } else { "\n" };
    let (open, close) = (ToolSyntax::OPEN, ToolSyntax::CLOSE);
    format!("{content}{between}{open}{list}{close}")
}

/// As an object; as text if they are none.
fn arguments(call: &ToolCall) -> Value {
    let parsed = serde_json::from_str(&call.arguments);
    parsed.unwrap_or_else(|_| Value::from(call.arguments.as_str()))
}

#[cfg(test)]
#[path = "tool_prompt_tests.rs"]
mod tests;
