//! Every frame there is, every way to get one wrong, and whatever else comes.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn said(text: &str) -> String {
    decode(text).unwrap_err().to_string()
}

#[test]
fn every_frame_is_read_as_it_was_meant() {
    let c = || "c-1".to_owned();
    for frame in [
        ClientFrame::Identify {
            user: Some("Ann Ö.".into()),
            token: Some("secret".into()),
        },
        ClientFrame::Identify {
            user: None,
            token: None,
        },
        ClientFrame::Resume {
            session: "s".into(),
            epoch: "e".into(),
            seq: 7,
            token: None,
        },
        ClientFrame::Heartbeat { seq: LARGEST },
        ClientFrame::Join {
            conversation: c(),
            after: Some(3),
        },
        ClientFrame::Messages {
            conversation: c(),
            before: 9,
        },
        ClientFrame::Leave { conversation: c() },
        ClientFrame::Say {
            conversation: c(),
            text: " hi ".into(),
            nonce: "n".into(),
            model: Some("m".into()),
            temperature: Some(0.5),
        },
        ClientFrame::Stop { conversation: c() },
        ClientFrame::Typing {
            conversation: c(),
            typing: true,
        },
        ClientFrame::Conversations { watch: None },
        ClientFrame::Conversations { watch: Some(true) },
        ClientFrame::Tree { watch: false },
    ] {
        let text = serde_json::to_string(&frame).unwrap();
        assert_eq!(decode(&text), Ok(frame), "{text}");
    }
}

fn refused(cases: &[(&str, &str, &[&str])]) {
    for (frame, code, words) in cases {
        let error = decode(frame).unwrap_err();
        assert_eq!(error.code(), *code, "{frame}: {error}");
        for word in *words {
            assert!(error.to_string().contains(word), "{frame}: {error}: {word}");
        }
    }
}

#[test]
fn what_is_no_frame_is_answered_with_what_would_be_one() {
    refused(&[
        ("", "not_json", &["heartbeat"]),
        ("{\"op\":\"heartbeat\",\"seq\":0", "not_json", &["EOF"]),
        ("\u{feff}{}", "not_json", &[]),
        ("[]", "not_an_object", &["an array"]),
        ("7", "not_an_object", &["a number"]),
        ("\"op\"", "not_an_object", &["a text"]),
        ("null", "not_an_object", &["null"]),
        ("{}", "unknown_op", &["op = nothing", "identify"]),
        ("{\"op\":7}", "unknown_op", &["op = 7"]),
        ("{\"op\":\"Join\"}", "unknown_op", &["\"Join\"", "join"]),
    ]);
}

#[test]
fn what_is_wrong_in_a_frame_is_named_with_its_value_and_the_way_out() {
    refused(&[
        (
            "{\"op\":\"heartbeat\"}",
            "missing_field",
            &["heartbeat.seq"],
        ),
        (
            "{\"op\":\"heartbeat\",\"seq\":null}",
            "missing_field",
            &["heartbeat.seq"],
        ),
        (
            "{\"op\":\"heartbeat\",\"seq\":-1}",
            "wrong_value",
            &["-1", "9007199254740991"],
        ),
        (
            "{\"op\":\"heartbeat\",\"seq\":1.5}",
            "wrong_value",
            &["1.5"],
        ),
        (
            "{\"op\":\"heartbeat\",\"seq\":9007199254740992}",
            "wrong_value",
            &["9007199254740992"],
        ),
        (
            "{\"op\":\"heartbeat\",\"seq\":\"7\"}",
            "wrong_value",
            &["\"7\""],
        ),
        (
            "{\"op\":\"join\",\"conversation\":\"\"}",
            "wrong_value",
            &["join.conversation", "1 to 128"],
        ),
        (
            "{\"op\":\"join\",\"conversation\":\"a/b\"}",
            "wrong_value",
            &["a/b", "letters"],
        ),
        (
            "{\"op\":\"typing\",\"conversation\":\"c\",\"typing\":1}",
            "wrong_value",
            &["true or false"],
        ),
    ]);
}

#[test]
fn a_text_that_is_missing_or_out_of_range_is_named_too() {
    refused(&[
        (
            "{\"op\":\"say\",\"conversation\":\"c\",\"text\":\" \",\"nonce\":\"n\"}",
            "wrong_value",
            &["say.text"],
        ),
        (
            "{\"op\":\"say\",\"conversation\":\"c\",\"text\":\"hi\"}",
            "missing_field",
            &["say.nonce"],
        ),
        (
            "{\"op\":\"say\",\"conversation\":\"c\",\"text\":\"hi\",\"nonce\":\"n\",\"temperature\":2.1}",
            "wrong_value",
            &["2.1", "0 to 2"],
        ),
        (
            "{\"op\":\"identify\",\"user\":\" ann\"}",
            "wrong_value",
            &["identify.user", "64"],
        ),
        (
            "{\"op\":\"identify\",\"user\":\"a\\u0000b\"}",
            "wrong_value",
            &["control"],
        ),
        (
            "{\"op\":\"identify\",\"name\":\"ann\"}",
            "unknown_field",
            &["identify.name", "user, token"],
        ),
        (
            "{\"op\":\"conversations\",\"x\":1}",
            "unknown_field",
            &["conversations.x", "watch"],
        ),
    ]);
}

#[test]
fn a_token_is_in_no_error() {
    let frame = json!({"op": "identify", "token": {"secret": "hunter2"}}).to_string();
    let error = decode(&frame).unwrap_err();
    assert_eq!(error.code(), "wrong_value");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn long_values_and_deep_nesting_make_short_errors() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(said(&deep).contains("recursion limit"));
    let within = format!("{{\"op\":\"tree\",\"watch\":{deep}}}");
    assert!(said(&within).len() < 300);
    let long = json!({"op": "join", "conversation": "é".repeat(1 << 20)}).to_string();
    assert!(said(&long).len() < 500);
    let key = json!({"op": "conversations", "x".repeat(1 << 20): 1}).to_string();
    assert!(said(&key).len() < 500);
    let op = json!({"op": "x".repeat(1 << 20)}).to_string();
    assert!(said(&op).len() < 500);
}

/// What a fuzz target holds, too: no panic, a short error, and what was understood is said again as it was.
pub(crate) fn holds(text: &str) {
    match decode(text) {
        Ok(frame) => {
            let again = serde_json::to_string(&frame).unwrap();
            assert_eq!(decode(&again), Ok(frame), "{text}");
        }
        Err(error) => {
            assert!(error.to_string().len() < 1000, "{text}");
            assert!(!error.code().is_empty());
        }
    }
}

/// Frames with something wrong, or nothing.
fn nearly() -> impl Strategy<Value = String> {
    let op = prop_oneof![
        8 => proptest::sample::select(ClientFrame::OPS.to_vec()).prop_map(str::to_owned),
        1 => ".{0,8}",
    ];
    let field = proptest::sample::select(vec![
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
        "op",
        "x",
    ]);
    let value = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|one| json!(one)),
        any::<i64>().prop_map(|one| json!(one)),
        (0u64..10).prop_map(|one| json!(one)),
        any::<f64>().prop_map(|one| json!(one)),
        "[a-z]{0,9}".prop_map(|one| json!(one)),
        ".{0,200}".prop_map(|one| json!(one)),
        Just(json!([[]])),
        Just(json!({"a": {}})),
    ];
    (op, proptest::collection::vec((field, value), 0..7)).prop_map(|(op, fields)| {
        let mut frame = Map::new();
        frame.insert("op".to_owned(), json!(op));
        frame.extend(
            fields
                .into_iter()
                .map(|(field, value)| (field.to_owned(), value)),
        );
        Value::Object(frame).to_string()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_comes_is_a_frame_or_a_short_error(text in ".{0,300}") {
        holds(&text);
    }

    #[test]
    fn what_is_nearly_a_frame_is_one_or_a_short_error(text in nearly()) {
        holds(&text);
    }
}

#[test]
fn a_name_is_seen_and_is_nobody_elses() {
    for name in [
        "ann",
        "Ann Ö.",
        "李",
        "🙂",
        "👩\u{200d}🔬",
        "می\u{200c}خواهم",
        "assistants",
        "Ω1",
    ] {
        let frame = json!({"op": "identify", "user": name}).to_string();
        let user = Some(name.to_owned());
        assert_eq!(
            decode(&frame),
            Ok(ClientFrame::Identify { user, token: None })
        );
    }
    for name in [
        "",
        " ann",
        "assistant",
        "Assistant",
        "\u{200b}",
        "\u{200d}",
        "ann\u{202e}",
        "an\u{ad}n",
        "\u{feff}ann",
        "a\u{2066}b",
        "a\u{e0041}b",
    ] {
        let frame = json!({"op": "identify", "user": name}).to_string();
        assert_eq!(
            decode(&frame).unwrap_err().code(),
            "wrong_value",
            "{name:?}"
        );
        assert!(said(&frame).contains("identify.user"), "{name:?}");
    }
}

#[test]
fn a_beat_is_read_the_short_way_or_refused_as_ever() {
    for (text, seq) in [
        (r#"{"op":"heartbeat","seq":0}"#, 0),
        (r#"{ "seq" : 7, "op" : "heartbeat" }"#, 7),
        (r#"{"op":"heartbeat","seq":9007199254740991}"#, LARGEST),
    ] {
        let read = ClientFrame::Heartbeat { seq };
        assert_eq!(beat(text), Some(read.clone()), "{text}");
        assert_eq!(decode(text), Ok(read), "{text}");
    }
    for odd in [
        r#"["heartbeat",7]"#,
        r#"{"op":"heartbeat","seq":7,"x":1}"#,
        r#"{"op":"heartbeat","seq":9007199254740992}"#,
        r#"{"op":"heartbeat"}"#,
        r#"{"op":"leave","seq":7}"#,
    ] {
        assert_eq!(beat(odd), None, "{odd}");
        assert!(decode(odd).is_err(), "{odd}");
    }
    // Those the detour alone understands.
    for rare in [
        r#" {"op":"heartbeat","seq":7}"#,
        r#"{"op":"heart\u0062eat","seq":7}"#,
        r#"{"op":"heartbeat","seq":1,"seq":7}"#,
    ] {
        assert_eq!(beat(rare), None, "{rare}");
        assert_eq!(
            decode(rare),
            Ok(ClientFrame::Heartbeat { seq: 7 }),
            "{rare}"
        );
    }
}
