//! The page `docs/protocol/websocket.md`, made from the types: what is written there is what is spoken.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::client::ClientFrame;
use super::codes::{CloseCode, Policy};
use super::server::PROTOCOL;
use super::{examples, schema};
use crate::outbox::WAITING_BYTES;
use crate::pace::Pace;
use crate::replay::Bounds;
use crate::{Limits, Seats};

/// The front of the page.
const FRONT: &str = include_str!("page.md");

/// What lies beside the page; its links are from there.
const BESIDE: &str = "The same as JSON Schema: [`websocket.schema.json`](websocket.schema.json).
Two clients of thirty lines: [`client.mjs`](client.mjs) for node and browsers, and
[`websocket_client.rs`](../../crates/gateway/examples/websocket_client.rs).";

/// The whole page.
pub fn page() -> String {
    let schema = schema::schema();
    let empty = Map::new();
    let types = schema.get("$defs").and_then(Value::as_object);
    let types: BTreeMap<&String, &Value> = types.unwrap_or(&empty).iter().collect();
    let mut text = front();
    text.push_str("\n## What a client says\n");
    frames(
        &mut text,
        types.get(&"ClientFrame".to_owned()),
        &written(&examples::client()),
    );
    text.push_str("\n## What the server says\n");
    frames(
        &mut text,
        types.get(&"ServerFrame".to_owned()),
        &written(&examples::server()),
    );
    text.push_str("\n## Types\n\nA field that may be left out has a `?`.\n");
    for (name, schema) in types {
        if name != "ClientFrame" && name != "ServerFrame" {
            let _ = write!(text, "\n### {name}\n\n");
            of_type(&mut text, schema);
        }
    }
    text.push_str("\n## Close codes\n\n| code | word | what to do |\n|---|---|---|\n");
    for code in CloseCode::ALL {
        let _ = writeln!(
            text,
            "| {} | `{}` | {} |",
            code.number(),
            code.label(),
            advice(code.policy())
        );
    }
    text
}

fn advice(policy: Policy) -> &'static str {
    match policy {
        Policy::Resume => "come again after a rest, and `resume`",
        Policy::Anew => "come again after a rest, and `identify`",
        Policy::Stay => "do not come again until a person says so",
    }
}

fn front() -> String {
    let Limits {
        rhythm,
        pace: Pace {
            per_second,
            at_once,
            patience,
        },
        replay: Bounds { bytes, time },
        waiting_bytes: _,
        identify,
    } = Limits::default();
    let Seats { in_all, of_one } = Seats::default();
    let secs = |time: std::time::Duration| time.as_secs().to_string();
    let given_up = rhythm.silence + rhythm.attempt * rhythm.attempts;
    [
        ("beside", BESIDE.to_owned()),
        ("protocol", PROTOCOL.to_string()),
        ("identify", secs(identify)),
        ("heartbeat", secs(rhythm.heartbeat())),
        ("silence", secs(rhythm.silence)),
        ("attempt", secs(rhythm.attempt)),
        ("attempts", rhythm.attempts.to_string()),
        ("given_up", secs(given_up)),
        ("per_second", per_second.to_string()),
        ("at_once", at_once.to_string()),
        ("patience", patience.to_string()),
        ("kept", (bytes >> 20).to_string()),
        ("window", secs(time)),
        ("waiting", (WAITING_BYTES >> 20).to_string()),
        ("in_all", in_all.to_string()),
        ("of_one", of_one.to_string()),
        ("ops", ClientFrame::OPS.len().to_string()),
    ]
    .into_iter()
    .fold(FRONT.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), &value)
    })
}

/// Frames as they are sent. A value between would bring the fields into another order.
fn written(frames: &[impl serde::Serialize]) -> Vec<String> {
    let text = |frame| serde_json::to_string(frame).unwrap_or_default();
    frames.iter().map(text).collect()
}

fn frames(text: &mut String, side: Option<&&Value>, examples: &[String]) {
    let all = side
        .and_then(|side| side.get("oneOf"))
        .and_then(Value::as_array);
    for frame in all.into_iter().flatten() {
        let op = frame
            .pointer("/properties/op/const")
            .and_then(Value::as_str);
        let op = op.unwrap_or_default();
        let _ = writeln!(text, "\n### `{op}`\n\n{}", help(frame));
        table(text, frame);
        let says = format!("\"op\":\"{op}\"");
        let example = examples.iter().find(|one| one.contains(&says));
        let example = example.map_or("", String::as_str);
        let _ = write!(text, "\n```json\n{example}\n```\n");
    }
}

fn of_type(text: &mut String, schema: &Value) {
    let _ = writeln!(text, "{}", help(schema));
    let Some(kinds) = schema.get("oneOf").and_then(Value::as_array) else {
        return table(text, schema);
    };
    for kind in kinds {
        let fields = kind.get("properties").and_then(Value::as_object);
        let tag = fields
            .into_iter()
            .flatten()
            .find(|(_, field)| field.get("const").is_some());
        if let Some((name, field)) = tag {
            let word = field.get("const").unwrap_or(&Value::Null);
            let _ = writeln!(text, "\n`\"{name}\": {word}`: {}", help(kind));
        }
        table(text, kind);
    }
}

/// The fields, but for the one that says what it is.
fn table(text: &mut String, schema: &Value) {
    let needed = schema.get("required").and_then(Value::as_array);
    let fields = schema.get("properties").and_then(Value::as_object);
    let fields: BTreeMap<&String, &Value> = fields.into_iter().flatten().collect();
    let mut begun = false;
    for (name, field) in fields {
        if field.get("const").is_some() {
            continue;
        }
        if !std::mem::replace(&mut begun, true) {
            text.push_str("\n| field | type | what |\n|---|---|---|\n");
        }
        let must = needed.is_some_and(|needed| needed.contains(&Value::from(name.as_str())));
        let mark = if must { "" } else { "?" };
        let _ = writeln!(
            text,
            "| `{name}`{mark} | {} | {} |",
            kind(field),
            help(field)
        );
    }
}

/// A schema's description on one line.
fn help(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str);
    text.unwrap_or_default()
        .replace('\n', " ")
        .replace('|', "\\|")
}

/// A schema in a few words: `text`, `list of Member`, `whole number`.
fn kind(schema: &Value) -> String {
    if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
        let name = path.rsplit('/').next().unwrap_or(path);
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let word = match schema.get("type") {
        Some(Value::Array(words)) => words.iter().find(|word| *word != "null"),
        word => word,
    };
    match word.and_then(Value::as_str).unwrap_or("anything") {
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!(
            "list of {}",
            schema.get("items").map_or("anything".to_owned(), kind)
        ),
        other => other.to_owned(),
    }
}
