//! Requests by table: what is accepted becomes exactly this, what is refused names exactly that field.

use super::*;

fn defaults() -> Defaults {
    Defaults {
        model: ModelName::new("default"),
        sampling: Sampling {
            seed: 77,
            ..Sampling::default()
        },
    }
}

fn read(body: &str) -> Result<ChatRequest, ApiError> {
    chat_request(body.as_bytes(), defaults())
}

/// A request with one user message and these further fields.
fn with(fields: &str) -> Result<ChatRequest, ApiError> {
    read(&format!(
        r#"{{"messages":[{{"role":"user","content":"hi"}}]{fields}}}"#
    ))
}

#[test]
fn the_least_request_takes_the_defaults() {
    let expected = ChatRequest {
        model: ModelName::new("default"),
        messages: vec![Message::user("hi")],
        sampling: defaults().sampling,
        stream: false,
        include_usage: false,
    };
    assert_eq!(with(""), Ok(expected.clone()));
    let nulls = r#","model":null,"temperature":null,"tools":null,"stop":null,"stream_options":null,"user":null"#;
    assert_eq!(with(nulls), Ok(expected));
}

#[test]
fn every_field_is_heard() {
    let request = with(
        r#","model":"m","temperature":0,"top_p":0.5,"max_tokens":7,"max_completion_tokens":7,"stop":["a","b"],
           "seed":18446744073709551615,"n":1,"stream":true,"stream_options":{"include_usage":true}"#,
    )
    .unwrap();
    assert_eq!(request.model, ModelName::new("m"));
    assert_eq!(
        request.sampling,
        Sampling {
            temperature: 0.0,
            top_p: 0.5,
            max_tokens: 7,
            stop: vec!["a".into(), "b".into()],
            seed: u64::MAX,
            ..Sampling::default()
        }
    );
    assert!(request.stream && request.include_usage);
    assert_eq!(with(r#","stop":"x""#).unwrap().sampling.stop, ["x"]);
    assert_eq!(
        with(r#","max_completion_tokens":9"#)
            .unwrap()
            .sampling
            .max_tokens,
        9
    );
}

#[test]
fn messages_are_texts_or_text_parts_of_any_role() {
    let request = read(
        r#"{"messages":[{"role":"developer","content":"be kind"},{"role":"assistant","content":[]},
            {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#,
    );
    assert_eq!(
        request.unwrap().messages,
        [
            Message::system("be kind"),
            Message::assistant(""),
            Message::user("ab")
        ]
    );
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    for (fields, param) in [
        (r#","tools":[]"#, "tools"),
        (r#","n":2"#, "n"),
        (r#","n":"1""#, "n"),
        (r#","logit_bias":{}"#, "logit_bias"),
        (r#","temperature":"hot""#, "temperature"),
        (r#","temperature":2.5"#, "temperature"),
        (r#","temperature":1e999"#, ""),
        (r#","top_p":0"#, "top_p"),
        (r#","max_tokens":0"#, "max_tokens"),
        (r#","max_tokens":-3"#, "max_tokens"),
        (r#","max_tokens":1.5"#, "max_tokens"),
        (r#","max_tokens":99999999999"#, "max_tokens"),
        (r#","max_completion_tokens":0"#, "max_completion_tokens"),
        (r#","max_tokens":1,"max_completion_tokens":2"#, "max_tokens"),
        (r#","stop":7"#, "stop"),
        (r#","stop":["a",7]"#, "stop"),
        (r#","stop":"""#, "stop"),
        (
            r#","stop":["1","2","3","4","5","6","7","8","9","0","1","2","3","4","5","6","7"]"#,
            "stop",
        ),
        (r#","seed":"x""#, "seed"),
        (r#","seed":-1"#, "seed"),
        (r#","seed":18446744073709551616"#, "seed"),
        (r#","stream":1"#, "stream"),
        (
            r#","stream_options":{"include_usage":true}"#,
            "stream_options",
        ),
        (r#","stream":true,"stream_options":7"#, "stream_options"),
        (
            r#","stream":true,"stream_options":{"x":1}"#,
            "stream_options.x",
        ),
        (
            r#","stream":true,"stream_options":{"include_usage":7}"#,
            "stream_options.include_usage",
        ),
        (r#","model":7"#, "model"),
        (r#","model":"""#, "model"),
    ] {
        let error = with(fields).expect_err(fields);
        assert_eq!(
            (error.status, error.kind()),
            (400, "invalid_request_error"),
            "{fields}"
        );
        assert_eq!(
            error.param.as_deref().unwrap_or_default(),
            param,
            "{fields}"
        );
    }
    let long = format!(r#","stop":"{}""#, "x".repeat(1025));
    assert_eq!(with(&long).unwrap_err().param.as_deref(), Some("stop"));
}

#[test]
fn messages_are_refused_by_place() {
    for (messages, param) in [
        ("7", "messages"),
        ("[]", "messages"),
        ("[7]", "messages[0]"),
        (r#"[{"content":"x"}]"#, "messages[0].role"),
        (r#"[{"role":"wizard","content":"x"}]"#, "messages[0].role"),
        (r#"[{"role":7,"content":"x"}]"#, "messages[0].role"),
        (r#"[{"role":"tool","content":"x"}]"#, "messages[0].role"),
        (r#"[{"role":"user"}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":null}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":{}}]"#, "messages[0].content"),
        (
            r#"[{"role":"user","content":"x"},{"role":"user","content":"x","name":"bob"}]"#,
            "messages[1].name",
        ),
        (
            r#"[{"role":"user","content":[7]}]"#,
            "messages[0].content[0]",
        ),
        (
            r#"[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]"#,
            "messages[0].content[0].type",
        ),
        (
            r#"[{"role":"user","content":[{"type":"text"}]}]"#,
            "messages[0].content[0].text",
        ),
        (
            r#"[{"role":"user","content":[{"type":"text","text":"x","cache":1}]}]"#,
            "messages[0].content[0].cache",
        ),
    ] {
        let error = read(&format!(r#"{{"messages":{messages}}}"#)).expect_err(messages);
        assert_eq!(
            error.param.as_deref(),
            Some(param),
            "{messages}: {}",
            error.message
        );
        assert_eq!(error.status, 400);
    }
    assert_eq!(read("{}").unwrap_err().param.as_deref(), Some("messages"));
}

#[test]
fn what_is_no_json_object_is_refused() {
    for body in ["", "[]", "7", "{", "\"x\"", "{\"messages\":"] {
        let error = read(body).expect_err(body);
        assert_eq!((error.status, error.param), (400, None), "{body}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(read(&deep).unwrap_err().status, 400);
}

#[test]
fn a_number_is_refused_as_it_was_given() {
    for (fields, message) in [
        (
            r#","max_tokens":-5"#,
            "max_tokens = -5 is not accepted: use 1 to 1048576 tokens",
        ),
        (
            r#","max_completion_tokens":5000000000"#,
            "max_completion_tokens = 5000000000 is not accepted: use 1 to 1048576 tokens",
        ),
        (
            r#","max_tokens":2097152,"max_completion_tokens":2097152"#,
            "max_completion_tokens = 2097152 is not accepted: use 1 to 1048576 tokens",
        ),
        (
            r#","max_tokens":5e9"#,
            "max_tokens = 5000000000.0 is not accepted: use a whole number",
        ),
        (
            r#","temperature":1e300"#,
            "temperature = 1e+300 is not accepted: use a number from 0 to 2",
        ),
        (
            r#","seed":-1"#,
            "seed = -1 is not accepted: use a whole number from 0 to 18446744073709551615",
        ),
    ] {
        assert_eq!(with(fields).unwrap_err().message, message);
    }
    let long = with(&format!(r#","seed":"{}""#, "x".repeat(500))).unwrap_err();
    assert!(long.message.len() < 200, "{}", long.message);
}

#[test]
fn the_roles_that_are_named_are_the_ones_that_are_accepted() {
    let one = |role: &str| {
        read(&format!(
            r#"{{"messages":[{{"role":"{role}","content":"x"}}]}}"#
        ))
    };
    let said = "is not accepted: use system, developer, user or assistant";
    for role in ["tool", "function", "wizard"] {
        let message = one(role).unwrap_err().message;
        assert_eq!(message, format!("messages[0].role = {role} {said}"));
    }
    for role in ["system", "developer", "user", "assistant"] {
        assert!(one(role).is_ok(), "{role}");
    }
}
