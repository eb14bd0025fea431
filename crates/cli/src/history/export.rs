//! Conversations as files: JSON, which can be read in again, and Markdown, text and CSV for people and spreadsheets. Pure.

use std::time::{Duration, UNIX_EPOCH};

use clap::ValueEnum;
use domain::{Message, Role, ToolCall, ToolCallId};
use model_store::record::rfc3339;
use paraphym_candle::conversation_store::messages::StoredMessage;
use serde_json::{Map, Value, json};

/// What a file of ours says it is.
pub(super) const KIND: &str = "paraphym_history";
/// The form of the JSON; raised when an older Paraphym could not read it.
pub(super) const VERSION: u64 = 1;

/// How a conversation is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// All there is; `import` reads it
    Json,
    /// Markdown
    Md,
    /// Plain text
    Txt,
    /// A line a message, for spreadsheets
    Csv,
}

impl Format {
    /// By the end of a file's name.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let (_, end) = name.rsplit_once('.')?;
        Self::from_str(end, true).ok()
    }
}

/// A whole conversation.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) messages: Vec<StoredMessage>,
}

/// The conversations as one text, and how many cells of it were changed so that no spreadsheet runs them.
pub(super) fn written(all: &[Whole], format: Format) -> (String, usize) {
    match format {
        Format::Json => (format!("{:#}\n", json(all)), 0),
        Format::Md => (joined(all, "\n", markdown), 0),
        Format::Txt => (joined(all, "\n\n", plain), 0),
        Format::Csv => csv(all),
    }
}

fn joined(all: &[Whole], between: &str, each: fn(&Whole) -> String) -> String {
    all.iter().map(each).collect::<Vec<_>>().join(between)
}

/// The same for programs: what `import` takes.
pub(super) fn json(all: &[Whole]) -> Value {
    let conversations: Vec<Value> = all
        .iter()
        .map(|one| {
            let messages: Vec<Value> = one.messages.iter().map(message_json).collect();
            json!({"id": one.id, "messages": messages})
        })
        .collect();
    json!({"kind": KIND, "version": VERSION, "conversations": conversations})
}

/// A message with all that is kept of it.
pub(super) fn message_json(stored: &StoredMessage) -> Value {
    let message = &stored.message;
    let mut object = Map::new();
    object.insert("role".to_owned(), message.role.as_str().into());
    object.insert("content".to_owned(), message.content.clone().into());
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(
            |call| json!({"id": call.id.as_str(), "name": call.name, "arguments": call.arguments}),
        );
        object.insert("tool_calls".to_owned(), Value::Array(calls.collect()));
    }
    if let Some(call) = &message.answers {
        object.insert("tool_call_id".to_owned(), call.as_str().into());
    }
    object.insert("said_ms".to_owned(), stored.said_ms.into());
    Value::Object(object)
}

/// Who speaks.
pub(super) const fn speaker(role: Role) -> &'static str {
    match role {
        Role::User => "you",
        Role::Assistant => "model",
        Role::System => "instructions",
        Role::Tool => "tool",
    }
}

/// What was said, and which tools it calls.
fn lines(message: &Message) -> String {
    let content = message.content.trim();
    let calls: Vec<String> = message.tool_calls.iter().map(call).collect();
    let parts = [content.to_owned(), calls.join("\n")];
    let parts = parts.iter().filter(|part| !part.is_empty());
    parts.map(String::as_str).collect::<Vec<_>>().join("\n\n")
}

fn call(call: &ToolCall) -> String {
    format!("[calls {} {}]", call.name, call.arguments)
}

fn markdown(one: &Whole) -> String {
    let title = if one.title.is_empty() {
        &one.id
    } else {
        &one.title
    };
    let head = format!("# {}\n\n{}\n", title.trim(), one.id);
    let messages = one.messages.iter().map(|stored| {
        let (who, when) = (speaker(stored.message.role), moment(stored.said_ms));
        format!("\n**{who}** · {when}\n\n{}\n", lines(&stored.message))
    });
    std::iter::once(head)
        .chain(messages)
        .collect::<Vec<_>>()
        .concat()
}

/// For the eye: who said what, a blank line between.
pub(super) fn plain(one: &Whole) -> String {
    let each = one.messages.iter().map(|stored| {
        let who = speaker(stored.message.role);
        format!("{who}: {}\n", lines(&stored.message))
    });
    each.collect::<Vec<_>>().join("\n")
}

/// A moment as `2026-03-01T12:00:00Z`; what lies before 1970 is told as its beginning.
pub(crate) fn moment(ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    rfc3339(UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH))
}

/// RFC 4180, with a head.
fn csv(all: &[Whole]) -> (String, usize) {
    let mut text = "conversation,number,said,role,content,tool_calls,tool_call_id\r\n".to_owned();
    let mut changed = 0;
    for one in all {
        for stored in &one.messages {
            let message = &stored.message;
            let calls: Vec<String> = message.tool_calls.iter().map(call).collect();
            let answers = message.answers.as_ref().map(ToolCallId::as_str);
            let row = [
                one.id.as_str(),
                &stored.number.to_string(),
                &moment(stored.said_ms),
                message.role.as_str(),
                &message.content,
                &calls.join("\n"),
                answers.unwrap_or_default(),
            ];
            let row = row.map(|text| {
                let (cell, guarded) = cell(text);
                changed += usize::from(guarded);
                cell
            });
            text.push_str(&row.join(","));
            text.push_str("\r\n");
        }
    }
    (text, changed)
}

/// One cell, quoted where it must be. What a spreadsheet would take for a formula gets an apostrophe before it; whether it
/// did (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn cell(text: &str) -> (String, bool) {
    let guarded = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let text = if guarded {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        return (format!("\"{}\"", text.replace('"', "\"\"")), guarded);
    }
    (text, guarded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(number: u64, message: Message) -> StoredMessage {
        StoredMessage {
            number,
            message,
            turn: None,
            said_ms: 1_772_366_400_000,
        }
    }

    fn whole() -> Whole {
        let call = ToolCall {
            id: ToolCallId::new("c1"),
            name: "calculate".to_owned(),
            arguments: "{\"expression\":\"6*7\"}".to_owned(),
        };
        Whole {
            id: "sums".to_owned(),
            title: "What is 6*7?".to_owned(),
            messages: vec![
                stored(1, Message::user("What is 6*7?")),
                stored(2, Message::calling("", vec![call])),
                stored(3, Message::tool(ToolCallId::new("c1"), "=42")),
                stored(4, Message::assistant("It is \"42\",\nof course. ")),
            ],
        }
    }

    #[test]
    fn people_read_it_as_markdown_or_text() {
        let (text, _) = written(&[whole()], Format::Md);
        assert!(
            text.starts_with(
                "# What is 6*7?\n\nsums\n\n**you** · 2026-03-01T12:00:00Z\n\nWhat is 6*7?\n"
            ),
            "{text}"
        );
        assert!(
            text.contains(
                "**model** · 2026-03-01T12:00:00Z\n\n[calls calculate {\"expression\":\"6*7\"}]\n"
            ),
            "{text}"
        );
        let (text, _) = written(&[whole(), whole()], Format::Txt);
        let once = "you: What is 6*7?\n\nmodel: [calls calculate {\"expression\":\"6*7\"}]\n\ntool: =42\n\nmodel: It is \"42\",\nof \
            course.\n";
        assert_eq!(text, format!("{once}\n\n{once}"));
    }

    #[test]
    fn spreadsheets_read_every_cell_and_run_none() {
        let (text, changed) = written(&[whole()], Format::Csv);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(changed, 1);
        assert_eq!(lines[1], "sums,1,2026-03-01T12:00:00Z,user,What is 6*7?,,");
        assert_eq!(
            lines[2],
            "sums,2,2026-03-01T12:00:00Z,assistant,,\"[calls calculate {\"\"expression\"\":\"\"6*7\"\"}]\","
        );
        assert_eq!(lines[3], "sums,3,2026-03-01T12:00:00Z,tool,'=42,,c1");
        assert_eq!(
            lines[4],
            "sums,4,2026-03-01T12:00:00Z,assistant,\"It is \"\"42\"\",\nof course. \",,"
        );
        assert_eq!((lines[5], lines.len()), ("", 6));
        for text in ["+1", "-1", "@x", "\t=1", "\r=1", "\n=1"] {
            let (cell, guarded) = cell(text);
            assert!(
                guarded && cell.trim_start_matches('"').starts_with('\''),
                "{cell}"
            );
        }
    }

    #[test]
    fn a_name_tells_the_format() {
        for (name, format) in [
            ("a.json", Some(Format::Json)),
            ("a.b.CSV", Some(Format::Csv)),
            ("a.md", Some(Format::Md)),
            ("a.txt", Some(Format::Txt)),
            ("a.doc", None),
            ("json", None),
        ] {
            assert_eq!(Format::of_name(name), format, "{name}");
        }
    }
}
