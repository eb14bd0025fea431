//! The protocol's page and its schema are what is spoken: made from the types, and held against every example, against frames
//! that chance makes, and against what the decoder refuses.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeSet;
use std::path::Path;

use jsonschema::Validator;
use paraphym_connection::wire::schema::{of, schema};
use paraphym_connection::wire::{ClientFrame, decode, examples, page};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Compares, or writes anew where that is wanted.
fn is(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/protocol")
        .join(name);
    if std::env::var_os("PARAPHYM_WRITE_DOCS").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == made,
        "docs/protocol/{name} is not what is spoken; `cargo xtask docs` writes it anew"
    );
}

fn validator(side: &str) -> Validator {
    jsonschema::validator_for(&of(side)).unwrap()
}

#[test]
fn the_page_is_what_is_spoken() {
    is("websocket.md", &page::page());
}

#[test]
fn the_schema_is_what_is_spoken() {
    is("websocket.schema.json", &format!("{:#}\n", schema()));
}

fn ops(side: &str) -> BTreeSet<String> {
    let schema = schema();
    let all = schema["$defs"][side]["oneOf"].as_array().unwrap().clone();
    let ops = all.iter().map(|one| {
        one["properties"]["op"]["const"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    ops.collect()
}

#[test]
fn every_op_has_an_example_which_is_read_and_fits_the_schema() {
    let (client, server) = (validator("ClientFrame"), validator("ServerFrame"));
    let mut seen = BTreeSet::new();
    for frame in examples::client() {
        let value = serde_json::to_value(&frame).unwrap();
        assert!(client.is_valid(&value), "{value}");
        assert_eq!(decode(&value.to_string()), Ok(frame.clone()));
        seen.insert(frame.op().to_owned());
    }
    assert_eq!(seen, ops("ClientFrame"));
    assert_eq!(seen, ClientFrame::OPS.map(str::to_owned).into());
    let mut seen = BTreeSet::new();
    for frame in examples::server() {
        let value = serde_json::to_value(&frame).unwrap();
        assert!(server.is_valid(&value), "{value}");
        assert_eq!(value["seq"].is_null(), frame.frame.is_control(), "{value}");
        seen.insert(value["op"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, ops("ServerFrame"));
}

#[test]
fn what_the_decoder_refuses_is_refused_by_the_schema_where_it_can_tell() {
    let client = validator("ClientFrame");
    for text in [
        "[]",
        "7",
        "null",
        "\"op\"",
        "{}",
        r#"{"op":7}"#,
        r#"{"op":"Join"}"#,
        r#"{"op":"heartbeat"}"#,
        r#"{"op":"heartbeat","seq":null}"#,
        r#"{"op":"heartbeat","seq":-1}"#,
        r#"{"op":"heartbeat","seq":1.5}"#,
        r#"{"op":"heartbeat","seq":"7"}"#,
        r#"{"op":"heartbeat","seq":9007199254740992}"#,
        r#"{"op":"join","conversation":""}"#,
        r#"{"op":"join","conversation":"a/b"}"#,
        r#"{"op":"typing","conversation":"c","typing":1}"#,
        r#"{"op":"say","conversation":"c","text":"","nonce":"n"}"#,
        r#"{"op":"say","conversation":"c","text":"hi"}"#,
        r#"{"op":"say","conversation":"c","text":"hi","nonce":""}"#,
        r#"{"op":"say","conversation":"c","text":"hi","nonce":"n","temperature":2.1}"#,
        r#"{"op":"say","conversation":"c","text":"hi","nonce":"n","temperature":-0.1}"#,
        r#"{"op":"identify","user":""}"#,
        r#"{"op":"identify","user":"a\u0000b"}"#,
        r#"{"op":"identify","name":"ann"}"#,
        r#"{"op":"identify","token":{}}"#,
        r#"{"op":"conversations","x":1}"#,
        r#"{"op":"tree","watch":"yes"}"#,
    ] {
        assert!(decode(text).is_err(), "{text}");
        let value: Value = serde_json::from_str(text).unwrap();
        assert!(!client.is_valid(&value), "{text}");
    }
    let long = json!({"op": "stop", "conversation": "x".repeat(129)});
    assert!(decode(&long.to_string()).is_err() && !client.is_valid(&long));
}

/// Frames of every op, many of which are wrong.
fn nearly() -> impl Strategy<Value = Value> {
    let fields = [
        "user",
        "token",
        "session",
        "epoch",
        "seq",
        "conversation",
        "after",
        "before",
        "text",
        "nonce",
        "model",
        "temperature",
        "typing",
        "watch",
    ];
    let value = prop_oneof![
        any::<bool>().prop_map(|one| json!(one)),
        (0u64..10).prop_map(|one| json!(one)),
        (0.0f64..2.0).prop_map(|one| json!(one)),
        "[a-z]{1,9}".prop_map(|one| json!(one)),
        ".{0,140}".prop_map(|one| json!(one)),
        Just(json!(null)),
    ];
    let op = prop::sample::select(ClientFrame::OPS.to_vec());
    let all = prop::collection::vec((prop::sample::select(fields.to_vec()), value), 0..5);
    (
        prop::sample::select(examples::client()),
        op,
        any::<bool>(),
        all,
    )
        .prop_map(|(example, op, other, changes)| {
            let mut frame = serde_json::to_value(example).unwrap();
            let map = frame.as_object_mut().unwrap();
            if other {
                map.insert("op".to_owned(), json!(op));
            }
            for (field, value) in changes {
                // Mostly what is there is changed, or nothing of it would ever be right.
                if map.contains_key(field) {
                    map.insert(field.to_owned(), value);
                }
            }
            frame
        })
}

#[test]
fn whatever_the_decoder_takes_fits_the_schema() {
    let client = validator("ClientFrame");
    let config = ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let count = std::cell::Cell::new(0);
    runner
        .run(&nearly(), |frame| {
            if let Ok(read) = decode(&frame.to_string()) {
                count.set(count.get() + 1);
                prop_assert!(client.is_valid(&frame), "{frame}");
                let again = serde_json::to_value(&read).unwrap();
                prop_assert!(client.is_valid(&again), "{again}");
            }
            Ok(())
        })
        .unwrap();
    let taken = count.into_inner();
    assert!(taken > 500, "hardly a frame was right: {taken}");
}
