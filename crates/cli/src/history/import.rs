//! A file of exported conversations, read and checked as a whole before anything is stored: what is wrong is told by its
//! field. Pure.

use std::collections::BTreeSet;

use domain::{ConversationId, Message, Role, ToolCall, ToolCallId};
use paraphym_candle::conversation_store::limits::{MESSAGE, NAME, REQUEST};
use paraphym_candle::conversation_store::messages::{Imported, PAGE};
use serde_json::{Map, Value};

use super::export::{KIND, VERSION};

/// What is wrong, with its field.
pub(super) type Wrong = String;

/// A conversation that may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) id: ConversationId,
    pub(super) messages: Vec<Imported>,
}

/// The conversations of a file.
///
/// # Errors
/// The first thing that is wrong: its field, its value, and what would be accepted.
pub(super) fn read(text: &str) -> Result<Vec<Read>, Wrong> {
    let tree: Value = serde_json::from_str(text).map_err(|error| {
        format!(
            "the file is no JSON ({error}): use what `paraphym history export --format json` writes"
        )
    })?;
    let file = object("the file", &tree)?;
    let kind = file.get("kind");
    if kind.and_then(Value::as_str) != Some(KIND) {
        return Err(refused(
            "kind",
            kind,
            &format!("\"{KIND}\", as `paraphym history export --format json` writes"),
        ));
    }
    let version = file.get("version");
    if version.and_then(Value::as_u64) != Some(VERSION) {
        return Err(refused(
            "version",
            version,
            &format!("{VERSION}, or a newer Paraphym"),
        ));
    }
    only("", file, &["kind", "version", "conversations"])?;
    let conversations = array("conversations", file.get("conversations"))?;
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for (n, one) in conversations.iter().enumerate() {
        let field = format!("conversations[{n}]");
        let read = conversation(&field, one)?;
        if !seen.insert(read.id.as_str().to_owned()) {
            let id = one.get("id");
            return Err(refused(
                &format!("{field}.id"),
                id,
                "a name that no other one has",
            ));
        }
        all.push(read);
    }
    Ok(all)
}

fn conversation(field: &str, value: &Value) -> Result<Read, Wrong> {
    let fields = object(field, value)?;
    only(field, fields, &["id", "messages"])?;
    let id = name(&format!("{field}.id"), fields.get("id"))?;
    let name = format!("{field}.messages");
    let messages = array(&name, fields.get("messages"))?;
    if messages.len() > PAGE {
        return Err(format!(
            "{name} has {} messages: use at most {PAGE}",
            messages.len()
        ));
    }
    let messages = messages.iter().enumerate();
    let messages = messages.map(|(n, one)| message(&format!("{name}[{n}]"), one));
    let messages: Vec<Imported> = messages.collect::<Result<_, _>>()?;
    let bytes: usize = messages.iter().map(|one| weight(&one.message)).sum();
    if bytes > REQUEST {
        return Err(format!(
            "{name} has {bytes} bytes of text: use at most {REQUEST}"
        ));
    }
    Ok(Read {
        id: ConversationId::new(id),
        messages,
    })
}

/// What a message weighs in the store.
fn weight(message: &Message) -> usize {
    let calls = message.tool_calls.iter();
    let calls: usize = calls
        .map(|call| call.id.as_str().len() + call.name.len() + call.arguments.len())
        .sum();
    message.content.len() + calls
}

/// A name, as the store takes it.
fn name<'a>(field: &str, value: Option<&'a Value>) -> Result<&'a str, Wrong> {
    let name = text(field, value)?;
    if (1..=NAME).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    Err(refused(
        field,
        value,
        &format!("1 to {NAME} bytes without control characters"),
    ))
}

fn message(field: &str, value: &Value) -> Result<Imported, Wrong> {
    let fields = object(field, value)?;
    only(
        field,
        fields,
        &["role", "content", "tool_calls", "tool_call_id", "said_ms"],
    )?;
    let at = |key: &str| format!("{field}.{key}");
    let role = fields.get("role");
    let role: Role = text(&at("role"), role)?
        .parse()
        .map_err(|_| refused(&at("role"), role, "one of system, user, assistant, tool"))?;
    let said = fields.get("said_ms");
    let said_ms = said.and_then(Value::as_i64).ok_or_else(|| {
        refused(
            &at("said_ms"),
            said,
            "milliseconds since 1970, a whole number",
        )
    })?;
    let calls = fields
        .get("tool_calls")
        .map_or(Ok(&[][..]), |calls| array(&at("tool_calls"), Some(calls)))?;
    if !calls.is_empty() && role != Role::Assistant {
        return Err(format!(
            "{} is not accepted: only an assistant calls tools",
            at("tool_calls")
        ));
    }
    let calls = calls.iter().enumerate();
    let calls = calls.map(|(n, one)| tool_call(&format!("{}[{n}]", at("tool_calls")), one));
    let answers = fields
        .get("tool_call_id")
        .map(|id| name(&at("tool_call_id"), Some(id)));
    let answers = answers.transpose()?.map(ToolCallId::new);
    if answers.is_some() != (role == Role::Tool) {
        return Err(format!(
            "{} is not accepted: a tool's message has one, and no other",
            at("tool_call_id")
        ));
    }
    let message = Message {
        content: text(&at("content"), fields.get("content"))?.to_owned(),
        tool_calls: calls.collect::<Result<_, _>>()?,
        answers,
        ..Message::new(role, "")
    };
    if weight(&message) > MESSAGE {
        return Err(format!("{field} has more than {MESSAGE} bytes of text"));
    }
    Ok(Imported { message, said_ms })
}

fn tool_call(field: &str, value: &Value) -> Result<ToolCall, Wrong> {
    let fields = object(field, value)?;
    only(field, fields, &["id", "name", "arguments"])?;
    let get = |key: &str| text(&format!("{field}.{key}"), fields.get(key)).map(str::to_owned);
    Ok(ToolCall {
        id: ToolCallId::new(name(&format!("{field}.id"), fields.get("id"))?),
        name: get("name")?,
        arguments: get("arguments")?,
    })
}

fn object<'a>(field: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Wrong> {
    let found = value.as_object();
    found.ok_or_else(|| refused(field, Some(value), "an object"))
}

fn array<'a>(field: &str, value: Option<&'a Value>) -> Result<&'a [Value], Wrong> {
    let found = value.and_then(Value::as_array);
    found
        .map(Vec::as_slice)
        .ok_or_else(|| refused(field, value, "a list"))
}

fn text<'a>(field: &str, value: Option<&'a Value>) -> Result<&'a str, Wrong> {
    let found = value.and_then(Value::as_str);
    found.ok_or_else(|| refused(field, value, "text"))
}

/// Nothing of a file is passed over in silence.
fn only(field: &str, fields: &Map<String, Value>, known: &[&str]) -> Result<(), Wrong> {
    let strange = fields.keys().find(|key| !known.contains(&key.as_str()));
    let gap = if field.is_empty() { "" } else { "." };
    strange.map_or(Ok(()), |key| {
        let key: String = key.chars().take(80).collect();
        Err(format!(
            "{field}{gap}{key} is not known: there are {}",
            known.join(", ")
        ))
    })
}

fn refused(field: &str, value: Option<&Value>, allowed: &str) -> Wrong {
    match value {
        None => format!("{field} is missing: use {allowed}"),
        Some(value) => {
            let shown: String = value.to_string().chars().take(80).collect();
            format!("{field} = {shown} is not accepted: use {allowed}")
        }
    }
}

#[cfg(test)]
mod tests {
    use paraphym_candle::conversation_store::messages::StoredMessage;
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::export::{Format, Whole, written};
    use super::*;

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        let with = |message: Value| {
            json!({"kind": KIND, "version": 1, "conversations": [{"id": "a", "messages": [message]}]}).to_string()
        };
        let said = |role: &str| json!({"role": role, "content": "x", "said_ms": 1});
        for (file, part) in [
            ("{".to_owned(), "the file is no JSON"),
            (
                "[]".to_owned(),
                "the file = [] is not accepted: use an object",
            ),
            (
                json!({"kind": "x"}).to_string(),
                "kind = \"x\" is not accepted",
            ),
            (
                json!({"kind": KIND, "version": 2}).to_string(),
                "version = 2",
            ),
            (
                json!({"kind": KIND, "version": 1, "more": 1}).to_string(),
                "more is not known",
            ),
            (
                json!({"kind": KIND, "version": 1}).to_string(),
                "conversations is missing",
            ),
            (
                with(said("king")),
                "conversations[0].messages[0].role = \"king\"",
            ),
            (
                with(json!({"role": "user", "said_ms": 1})),
                "conversations[0].messages[0].content is missing",
            ),
            (
                with(json!({"role": "user", "content": "x", "said_ms": 1.5})),
                "messages[0].said_ms = 1.5",
            ),
            (
                with(json!({"role": "user", "content": "x", "said_ms": 1, "tool_calls": [1]})),
                "only an assistant",
            ),
            (
                with(
                    json!({"role": "assistant", "content": "x", "said_ms": 1, "tool_calls": [{"id": "c"}]}),
                ),
                "messages[0].tool_calls[0].name is missing",
            ),
            (with(said("tool")), "messages[0].tool_call_id"),
        ] {
            let wrong = read(&file).unwrap_err();
            assert!(wrong.contains(part), "{part} is not in {wrong}");
        }
        let twice = json!({"kind": KIND, "version": 1, "conversations": [{"id": "a", "messages": []}, {"id": "a", "messages": []}]});
        assert!(
            read(&twice.to_string())
                .unwrap_err()
                .starts_with("conversations[1].id = \"a\"")
        );
        let odd =
            json!({"kind": KIND, "version": 1, "conversations": [{"id": "a\nb", "messages": []}]});
        assert!(
            read(&odd.to_string())
                .unwrap_err()
                .starts_with("conversations[0].id")
        );
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let call =
            ("[a-z0-9]{1,8}", "[a-z]{1,8}", ".{0,20}").prop_map(|(id, name, arguments)| ToolCall {
                id: ToolCallId::new(id),
                name,
                arguments,
            });
        prop_oneof![
            ".{0,40}".prop_map(Message::user),
            ".{0,40}".prop_map(Message::system),
            (".{0,40}", prop::collection::vec(call, 0..3))
                .prop_map(|(text, calls)| Message::calling(text, calls)),
            ("[a-z0-9]{1,8}", ".{0,40}")
                .prop_map(|(id, text)| Message::tool(ToolCallId::new(id), text)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_exported_is_read_as_it_was(
            all in prop::collection::vec((prop::collection::vec((any_message(), any::<i64>()), 0..5), "[a-z]{1,9}"), 0..4)
        ) {
            let all: Vec<Whole> = all
                .into_iter()
                .enumerate()
                .map(|(n, (messages, id))| Whole {
                    id: format!("{id}{n}"),
                    title: String::new(),
                    messages: messages
                        .into_iter()
                        .map(|(message, said_ms)| StoredMessage { number: 1, message, turn: None, said_ms })
                        .collect(),
                })
                .collect();
            let (text, _) = written(&all, Format::Json);
            let read = read(&text).unwrap();
            prop_assert_eq!(read.len(), all.len());
            for (read, whole) in read.iter().zip(&all) {
                prop_assert_eq!(read.id.as_str(), whole.id.as_str());
                let pairs = read.messages.iter().zip(&whole.messages);
                prop_assert_eq!(read.messages.len(), whole.messages.len());
                for (one, other) in pairs {
                    prop_assert_eq!((&one.message, one.said_ms), (&other.message, other.said_ms));
                }
            }
        }
    }
}
