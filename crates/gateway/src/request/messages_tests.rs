//! Conversations by table: calls and their results, and what no model was taught.

use domain::{ModelName, Sampling};

use super::*;
use crate::request::{Defaults, chat_request};

/// A conversation of these messages behind a question.
fn said(messages: &str) -> Result<Vec<Message>, ApiError> {
    let question = r#"{"role":"user","content":"hi"}"#;
    let body = format!(r#"{{"messages":[{question},{messages}]}}"#);
    let defaults = Defaults {
        model: ModelName::new("default"),
        sampling: Sampling::default(),
    };
    chat_request(body.as_bytes(), defaults).map(|request| request.messages)
}

const CALLS: &str = r#"{"role":"assistant","content":null,"refusal":null,"annotations":[],"audio":null,"tool_calls":[
    {"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}","parsed_arguments":{"x":1}}},
    {"id":"b","type":"function","function":{"name":"g","arguments":""}}],"parsed":{"x":1}}"#;

#[test]
fn an_answer_with_calls_can_be_sent_back_with_its_results() {
    let messages = said(&format!(
        r#"{CALLS},{{"role":"tool","tool_call_id":"b","content":"2"}},
           {{"role":"tool","tool_call_id":"a","content":[{{"type":"text","text":"1"}}]}},{{"role":"user","content":"so?"}}"#
    ));
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: ToolCallId::new(id),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    assert_eq!(
        messages.unwrap(),
        [
            Message::user("hi"),
            Message::calling("", vec![call("a", "f", r#"{"x":1}"#), call("b", "g", "{}")]),
            Message::tool(ToolCallId::new("b"), "2"),
            Message::tool(ToolCallId::new("a"), "1"),
            Message::user("so?"),
        ]
    );
}

#[test]
fn conversations_that_no_model_was_taught_are_refused_by_name() {
    let result = |id: &str| format!(r#"{{"role":"tool","tool_call_id":"{id}","content":"1"}}"#);
    let (a, b) = (result("a"), result("b"));
    let call = |inside: &str| format!(r#"{{"role":"assistant","tool_calls":[{inside}]}}"#);
    let function = |inside: &str| call(&format!(r#"{{"id":"a","function":{inside}}}"#));
    let cases = [
        (a.clone(), "messages[1].tool_call_id"),
        (
            function(r#"{"name":"a b"}"#),
            "messages[1].tool_calls[0].function.name",
        ),
        (CALLS.to_owned(), "messages[1].tool_calls"),
        (format!("{CALLS},{a}"), "messages[1].tool_calls"),
        (format!("{CALLS},{a},{a}"), "messages[3].tool_call_id"),
        (
            format!(r#"{CALLS},{a},{{"role":"user","content":"x"}},{b}"#),
            "messages[1].tool_calls",
        ),
        (
            r#"{"role":"tool","content":"1"}"#.to_owned(),
            "messages[1].tool_call_id",
        ),
        (
            r#"{"role":"function","content":"1"}"#.to_owned(),
            "messages[1].role",
        ),
        (
            r#"{"role":"user","content":"1","name":"Ada"}"#.to_owned(),
            "messages[1].name",
        ),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":{}}]}"#.to_owned(),
            "messages[1].content[0].type",
        ),
        (
            r#"{"role":"assistant","content":null}"#.to_owned(),
            "messages[1].content",
        ),
        (
            r#"{"role":"assistant","content":"x","refusal":"no"}"#.to_owned(),
            "messages[1].refusal",
        ),
        (call("7"), "messages[1].tool_calls[0]"),
        (call("{}"), "messages[1].tool_calls[0].id"),
        (
            call(r#"{"id":"a","type":"custom"}"#),
            "messages[1].tool_calls[0].type",
        ),
        (call(r#"{"id":"a"}"#), "messages[1].tool_calls[0].function"),
        (function("{}"), "messages[1].tool_calls[0].function.name"),
        (
            function(r#"{"name":"f","arguments":"{"}"#),
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            call(r#"{"id":"a","function":{"name":"f"}},{"id":"a","function":{"name":"f"}}"#),
            "messages[1].tool_calls[1].id",
        ),
    ];
    for (messages, param) in cases {
        let error = said(&messages).expect_err(&messages);
        assert_eq!(
            (error.status, error.param.as_deref()),
            (400, Some(param)),
            "{messages}"
        );
    }
}

#[test]
fn a_body_full_of_calls_is_read_in_time() {
    let many = 10_000;
    let call = |n: usize| format!(r#"{{"id":"{n}","function":{{"name":"f"}}}}"#);
    let result = |n: usize| format!(r#"{{"role":"tool","tool_call_id":"{n}","content":"1"}}"#);
    let calls: Vec<String> = (0..many).map(call).collect();
    let results: Vec<String> = (0..many).rev().map(result).collect();
    let messages = format!(
        r#"{{"role":"assistant","tool_calls":[{}]}},{}"#,
        calls.join(","),
        results.join(",")
    );
    assert_eq!(said(&messages).unwrap().len(), many + 2);
}
