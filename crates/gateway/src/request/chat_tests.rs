//! Requests by table: what is accepted becomes exactly this, what is refused names exactly that field.

use domain::{Constraint, ToolChoice, ToolSpec};
use proptest::prelude::*;

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
        tools: Tools::default(),
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
        (r#","n":2"#, "n"),
        (r#","n":"1""#, "n"),
        (r#","logit_bias":{"1":2}"#, "logit_bias"),
        (r#","logit_bias":[]"#, "logit_bias"),
        (r#","functions":[]"#, "functions"),
        (r#","reasoning_effort":"low""#, "reasoning_effort"),
        (r#","prediction":{}"#, "prediction"),
        (r#","web_search_options":{}"#, "web_search_options"),
        (r#","metadata":{}"#, "metadata"),
        (r#","user":7"#, "user"),
        (r#","store":true"#, "store"),
        (r#","service_tier":"flex""#, "service_tier"),
        (r#","modalities":["text","audio"]"#, "modalities"),
    ] {
        refuses(fields, param);
    }
}

#[track_caller]
fn refuses(fields: &str, param: &str) {
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

#[test]
fn what_is_not_as_it_must_be_is_refused_by_name() {
    for (fields, param) in [
        (r#","presence_penalty":2.5"#, "presence_penalty"),
        (r#","frequency_penalty":-3"#, "frequency_penalty"),
        (r#","frequency_penalty":"x""#, "frequency_penalty"),
        (r#","logprobs":1"#, "logprobs"),
        (r#","top_logprobs":1"#, "top_logprobs"),
        (r#","logprobs":true,"top_logprobs":21"#, "top_logprobs"),
        (r#","logprobs":true,"top_logprobs":-1"#, "top_logprobs"),
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
        (
            r#","stream":true,"stream_options":{"include_obfuscation":true}"#,
            "stream_options.include_obfuscation",
        ),
        (r#","model":7"#, "model"),
        (r#","model":"""#, "model"),
    ] {
        refuses(fields, param);
    }
}

#[test]
fn forms_become_constraints() {
    let form = |format: &str| {
        let request = with(&format!(r#","response_format":{format}"#));
        request.map(|request| request.sampling.constraint)
    };
    assert_eq!(
        form(r#"{"type":"json_object"}"#),
        Ok(Some(Constraint::JsonObject))
    );
    let named = r#"{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object"}}}"#;
    assert_eq!(
        form(named),
        Ok(Some(Constraint::JsonSchema(r#"{"type":"object"}"#.into())))
    );
    assert_eq!(
        form(r#"{"type":"json_schema","json_schema":{"name":"n"}}"#),
        Ok(Some(Constraint::JsonSchema("{}".into())))
    );
    for (format, param) in [
        ("7", "response_format"),
        ("{}", "response_format.type"),
        (r#"{"type":"grammar"}"#, "response_format.type"),
        (r#"{"type":"text","x":1}"#, "response_format.x"),
        (r#"{"type":"json_schema"}"#, "response_format.json_schema"),
        (
            r#"{"type":"json_schema","json_schema":{}}"#,
            "response_format.json_schema.name",
        ),
        (
            r#"{"type":"json_schema","json_schema":{"name":"a b"}}"#,
            "response_format.json_schema.name",
        ),
        (
            r#"{"type":"json_schema","json_schema":{"name":"a","schema":[]}}"#,
            "response_format.json_schema.schema",
        ),
        (
            r#"{"type":"json_schema","json_schema":{"name":"a","x":1}}"#,
            "response_format.json_schema.x",
        ),
    ] {
        let error = form(format).expect_err(format);
        assert_eq!(error.param.as_deref(), Some(param), "{format}");
    }
}

const TOOL: &str = r#"{"type":"function","function":{"name":"f","description":"d","strict":true,
    "parameters":{"type":"object"}}}"#;

#[test]
fn tools_and_their_choice_are_heard() {
    let tools = |fields: &str| {
        with(&format!(r#","tools":[{TOOL}]{fields}"#))
            .unwrap()
            .tools
    };
    let spec = ToolSpec {
        name: "f".to_owned(),
        description: "d".to_owned(),
        parameters: r#"{"type":"object"}"#.into(),
    };
    assert_eq!(*tools("").specs, [spec]);
    for (choice, heard) in [
        (r#""none""#, ToolChoice::None),
        (r#""auto""#, ToolChoice::Auto),
        (r#""required""#, ToolChoice::Required),
        (
            r#"{"type":"function","function":{"name":"f"}}"#,
            ToolChoice::Named("f".to_owned()),
        ),
    ] {
        assert_eq!(tools(&format!(r#","tool_choice":{choice}"#)).choice, heard);
    }
    assert!(tools(r#","parallel_tool_calls":false"#).one_call);
    assert!(!tools(r#","parallel_tool_calls":true"#).one_call);
    let bare = with(r#","tools":[{"type":"function","function":{"name":"g"}}]"#).unwrap();
    let none = r#"{"type":"object","properties":{},"additionalProperties":false}"#;
    assert_eq!(*bare.tools.specs[0].parameters, *none);
}

#[test]
fn tools_that_cannot_be_shown_are_refused_by_name() {
    let function = |inside: &str| format!(r#"[{{"type":"function","function":{inside}}}]"#);
    let cases = [
        ("7".to_owned(), "tools"),
        ("[7]".to_owned(), "tools[0]"),
        ("[{}]".to_owned(), "tools[0].type"),
        (r#"[{"type":"web_search"}]"#.to_owned(), "tools[0].type"),
        (r#"[{"type":"function"}]"#.to_owned(), "tools[0].function"),
        (function("{}"), "tools[0].function.name"),
        (function(r#"{"name":"a b"}"#), "tools[0].function.name"),
        (
            function(r#"{"name":"a","parameters":7}"#),
            "tools[0].function.parameters",
        ),
        (function(r#"{"name":"a","x":7}"#), "tools[0].function.x"),
    ];
    for (tools, param) in cases {
        let error = with(&format!(r#","tools":{tools}"#)).expect_err(&tools);
        assert_eq!(error.param.as_deref(), Some(param), "{tools}");
    }
    for (choice, param) in [
        ("7", "tool_choice"),
        (r#""sometimes""#, "tool_choice"),
        (r#"{"type":"allowed_tools"}"#, "tool_choice.type"),
        (r#"{"type":"function"}"#, "tool_choice.function"),
        (
            r#"{"type":"function","function":{}}"#,
            "tool_choice.function.name",
        ),
        (
            r#"{"type":"function","function":{"name":"g"}}"#,
            "tool_choice.function.name",
        ),
    ] {
        let error = with(&format!(r#","tools":[{TOOL}],"tool_choice":{choice}"#));
        assert_eq!(
            error.expect_err(choice).param.as_deref(),
            Some(param),
            "{choice}"
        );
    }
    let twice = with(&format!(r#","tools":[{TOOL},{TOOL}]"#)).unwrap_err();
    assert_eq!(twice.param.as_deref(), Some("tools[1].function.name"));
    let alone = with(r#","tool_choice":"required""#).unwrap_err();
    assert_eq!(alone.param.as_deref(), Some("tool_choice"));
    assert!(with(r#","tool_choice":"none""#).is_ok());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z_\"\\\\{}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever a field holds, the request is read or refused with 400; twice the same.
    #[test]
    fn whatever_a_field_holds_it_is_read_or_refused(at in 0..FIELDS.len(), value in any_json()) {
        let mut body = serde_json::json!({"messages": [{"role": "user", "content": "hi"}]});
        body[FIELDS[at]] = value;
        let text = body.to_string();
        let outcome = read(&text);
        if let Err(error) = &outcome {
            prop_assert_eq!(error.status, 400);
        }
        prop_assert_eq!(read(&text), outcome);
    }
}
