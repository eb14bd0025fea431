//! The page `docs/protocol/control.md`, made from the table and the types: what is written there is what is spoken.

use std::collections::BTreeMap;
use std::fmt::Write;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::PROTOCOL;
use super::ending::Ending;
use super::events::{Happened, Lagged};
use super::rpc::Code;
use super::table::METHODS;
use super::tap::{TapOver, Tapped};
use crate::codec::LINE;
use crate::session::{SUBSCRIPTIONS, UNDER_WAY};

/// The front of the page.
const FRONT: &str = include_str!("page.md");

/// The whole page.
pub fn page() -> String {
    let mut made = SchemaSettings::draft2020_12().into_generator();
    made.subschema_for::<Happened>();
    made.subschema_for::<Lagged>();
    made.subschema_for::<Tapped>();
    made.subschema_for::<TapOver>();
    made.subschema_for::<Ending>();
    let mut text = FRONT
        .replace("{protocol}", &PROTOCOL.to_string())
        .replace("{line}", &(LINE >> 20).to_string())
        .replace("{under_way}", &UNDER_WAY.to_string())
        .replace("{subscriptions}", &SUBSCRIPTIONS.to_string());
    text.push_str("\n## Methods\n\n| method | level | changes | what |\n|---|---|---|---|\n");
    for method in METHODS {
        let changes = if method.changes { "yes" } else { "" };
        let (name, level, help) = (method.name, method.level, method.help);
        let _ = writeln!(text, "| `{name}` | {level} | {changes} | {help} |");
    }
    for method in METHODS {
        let (params, answer) = (method.schemas)(&mut made);
        let _ = writeln!(
            text,
            "\n### `{}`\n\n{} Takes {}, gives {}. For example `{}`.",
            method.name,
            method.help,
            kind(params.as_value()),
            kind(answer.as_value()),
            method.example
        );
    }
    text.push_str("\n## Types\n\nA field that may be left out has a `?`.\n");
    // Whether a map keeps its order depends on what else is compiled.
    let sorted: BTreeMap<&String, &Value> = made.definitions().iter().collect();
    for (name, schema) in sorted {
        let _ = write!(text, "\n### {name}\n\n");
        of_type(&mut text, schema);
    }
    text.push_str("\n## Errors\n\n| code | kind | meaning |\n|---|---|---|\n");
    for code in Code::ALL {
        let (number, word, meaning) = (code.number(), code.as_str(), code.meaning());
        let _ = writeln!(text, "| {number} | `{word}` | {meaning} |");
    }
    text
}

fn of_type(text: &mut String, schema: &Value) {
    let _ = writeln!(text, "{}", help(schema));
    if let Some(words) = schema.get("oneOf").and_then(Value::as_array) {
        text.push('\n');
        for word in words {
            let _ = writeln!(text, "- {}: {}", kind(word), help(word));
        }
        return;
    }
    let none = Map::new();
    let fields = schema.get("properties").and_then(Value::as_object);
    let fields = fields.unwrap_or(&none);
    if fields.is_empty() {
        return;
    }
    let needed = schema.get("required").and_then(Value::as_array);
    text.push_str("\n| field | type | what |\n|---|---|---|\n");
    let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
    for (name, field) in sorted {
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

/// A schema in a few words: `text`, `list of Event`, `whole number or null`.
fn kind(schema: &Value) -> String {
    if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
        let name = path.rsplit('/').next().unwrap_or(path);
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(word) = schema.get("const") {
        return format!("`{word}`");
    }
    for some in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(some).and_then(Value::as_array) {
            let words: Vec<String> = choices.iter().map(kind).collect();
            return words.join(" or ");
        }
    }
    match schema.get("type") {
        Some(Value::Array(words)) => {
            let words: Vec<String> = words.iter().map(|word| word_of(schema, word)).collect();
            words.join(" or ")
        }
        Some(word) => word_of(schema, word),
        None => "anything".to_owned(),
    }
}

fn word_of(schema: &Value, word: &Value) -> String {
    match word.as_str().unwrap_or_default() {
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => {
            let of = schema.get("items").map_or("anything".to_owned(), kind);
            format!("list of {of}")
        }
        "object" => match schema.get("additionalProperties") {
            Some(of @ Value::Object(_)) => format!("{} by name", kind(of)),
            _ => "object".to_owned(),
        },
        other => other.to_owned(),
    }
}
