//! The JSON Schema of all frames, `docs/protocol/websocket.schema.json`, from the types, with the ranges that the decoder holds.
//!
//! It takes every frame that the decoder takes. Not every one that it takes is taken: lengths in bytes, spaces around a name
//! and a text of spaces alone cannot be said in it.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::client::ClientFrame;
use super::decode::{LARGEST, NAME_BYTES, NONCE_BYTES, USER_CHARS};
use super::server::Numbered;

/// The schema: a frame of either side; `$defs` has those of each as `ClientFrame` and `ServerFrame`.
pub fn schema() -> Value {
    let (client, mut types) = made::<ClientFrame>(SchemaSettings::draft2020_12());
    let (server, more) = made::<Numbered>(SchemaSettings::draft2020_12().for_serialize());
    merge(&mut types, more);
    let mut client = client;
    narrow(&mut client);
    merge(
        &mut types,
        json!({"ClientFrame": client, "ServerFrame": server}),
    );
    sorted(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A frame of the WebSocket protocol",
        "anyOf": [{"$ref": "#/$defs/ClientFrame"}, {"$ref": "#/$defs/ServerFrame"}],
        "$defs": types,
    }))
}

/// The schema of one side.
pub fn of(side: &str) -> Value {
    let mut schema = schema();
    if let Some(map) = schema.as_object_mut() {
        map.remove("anyOf");
        map.insert("$ref".to_owned(), json!(format!("#/$defs/{side}")));
    }
    schema
}

/// A type, and those that it names.
fn made<T: schemars::JsonSchema>(settings: SchemaSettings) -> (Value, Value) {
    let mut schema = Value::from(settings.into_generator().into_root_schema_for::<T>());
    let mut types = json!({});
    if let Some(map) = schema.as_object_mut() {
        types = map.remove("$defs").unwrap_or(types);
        map.remove("$schema");
        map.remove("title");
    }
    (schema, types)
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

/// As the decoder has it: no other fields, and each within its range.
fn narrow(client: &mut Value) {
    let frames = client.get_mut("oneOf").and_then(Value::as_array_mut);
    for frame in frames.into_iter().flatten() {
        merge(frame, json!({"additionalProperties": false}));
        let fields = frame.get_mut("properties").and_then(Value::as_object_mut);
        for (name, field) in fields.into_iter().flatten() {
            merge(field, range(name));
        }
    }
}

fn range(field: &str) -> Value {
    match field {
        "conversation" => json!({
            "minLength": 1, "maxLength": NAME_BYTES, "pattern": "^[\\p{Alphabetic}\\p{N}_.:@-]+$",
        }),
        "user" => json!({"minLength": 1, "maxLength": USER_CHARS, "pattern": "^\\P{Cc}*$"}),
        "session" | "epoch" | "model" => json!({"minLength": 1, "maxLength": NAME_BYTES}),
        "nonce" => json!({"minLength": 1, "maxLength": NONCE_BYTES}),
        "text" => json!({"minLength": 1}),
        "seq" | "after" | "before" => json!({"minimum": 0, "maximum": LARGEST}),
        "temperature" => json!({"minimum": 0, "maximum": 2}),
        _ => json!({}),
    }
}

/// Whether a map keeps its order depends on what else is compiled: here it never does.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> = map.into_iter().collect();
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            let pairs = pairs.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(pairs.collect())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(sorted).collect()),
        other => other,
    }
}
