//! Tools over a socket: what a model calls, whole and streamed, and its answer to the result.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use crate::support;

use serde_json::{Value, json};
use support::{Scene, chat};
use testkit::scripted::Answer;

/// Says a call, and of its result that it is fine.
fn calling() -> Answer {
    Answer::Calling {
        call: r#"Let me look. <tool_call>{"name": "look_up", "arguments": {"city": "Oslo"}}</tool_call>"#.to_owned(),
        then: "It is fine there.".to_owned(),
    }
}

fn tools() -> Value {
    json!([{
        "type": "function",
        "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }])
}

async fn ask(scene: &Scene, fields: Value) -> Value {
    let mut body = json!({
        "messages": [{"role": "user", "content": "How is the weather in Oslo?"}],
        "max_tokens": 200,
        "tools": tools(),
    });
    let own = body.as_object_mut().unwrap();
    own.extend(fields.as_object().unwrap().clone());
    chat(scene.address, &body.to_string()).await.json()
}

#[tokio::test]
async fn a_call_its_result_and_the_answer_to_it() {
    let scene = Scene::start(calling(), |_| {}).await;
    let first = ask(&scene, json!({})).await;
    let choice = &first["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{first}");
    let message = &choice["message"];
    assert_eq!(message["content"], "Let me look. ");
    let call = &message["tool_calls"][0];
    assert_eq!(call["function"]["name"], "look_up");
    let arguments: Value =
        serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({"city": "Oslo"}));

    // The message goes back as it came.
    let messages = json!([
        {"role": "user", "content": "How is the weather in Oslo?"},
        message,
        {"role": "tool", "tool_call_id": call["id"], "content": "sunny"},
    ]);
    let second = ask(&scene, json!({"messages": messages})).await;
    let choice = &second["choices"][0];
    assert_eq!(choice["message"]["content"], "It is fine there.");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["message"].get("tool_calls"), None);
    scene.root.stop(support::FOR_EVER).await;
}

#[tokio::test]
async fn two_answers_never_give_two_calls_one_name() {
    let scene = Scene::start(calling(), |_| {}).await;
    let id = |answer: Value| answer["choices"][0]["message"]["tool_calls"][0]["id"].clone();
    let (one, other) = (ask(&scene, json!({})).await, ask(&scene, json!({})).await);
    let (one, other) = (id(one), id(other));
    assert!(one.is_string() && one != other, "{one} {other}");
    scene.root.stop(support::FOR_EVER).await;
}

#[tokio::test]
async fn a_streamed_call_is_put_together_by_its_index() {
    let scene = Scene::start(calling(), |_| {}).await;
    let body = json!({
        "messages": [{"role": "user", "content": "How is the weather in Oslo?"}],
        "max_tokens": 200,
        "tools": tools(),
        "stream": true,
    });
    let response = chat(scene.address, &body.to_string()).await;
    let events = response
        .body
        .split_terminator("\n\n")
        .map(|event| &event["data: ".len()..]);
    let events: Vec<&str> = events.collect();
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let (mut text, mut name, mut arguments, mut reasons) =
        (String::new(), String::new(), String::new(), Vec::new());
    for chunk in chunks {
        let chunk: Value = serde_json::from_str(chunk).unwrap();
        let choice = &chunk["choices"][0];
        text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        for call in choice["delta"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
        {
            assert_eq!(call["index"], 0);
            name.push_str(call["function"]["name"].as_str().unwrap_or_default());
            arguments.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
        reasons.extend(choice["finish_reason"].as_str().map(str::to_owned));
    }
    assert_eq!((text.as_str(), name.as_str()), ("Let me look. ", "look_up"));
    assert_eq!(
        serde_json::from_str::<Value>(&arguments).unwrap(),
        json!({"city": "Oslo"})
    );
    assert_eq!(reasons, ["tool_calls"]);
    scene.root.stop(support::FOR_EVER).await;
}

#[tokio::test]
async fn what_the_model_cannot_be_held_to_is_refused_by_name() {
    let scene = Scene::start(calling(), |_| {}).await;
    let twice = json!([tools()[0], tools()[0]]);
    let bad =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}]);
    for (fields, param) in [
        (
            json!({"response_format": {"type": "json_object"}}),
            "response_format",
        ),
        (json!({"tools": twice}), "tools[1].function.name"),
        (json!({"tools": bad}), "tools"),
    ] {
        let refused = ask(&scene, fields).await;
        assert_eq!(
            refused["error"]["type"], "invalid_request_error",
            "{refused}"
        );
        assert_eq!(refused["error"]["param"], param, "{refused}");
    }
    // A form goes with tools that are not to be called.
    let both = json!({"response_format": {"type": "json_object"}, "tool_choice": "none"});
    assert!(ask(&scene, both).await["choices"].is_array());
    scene.root.stop(support::FOR_EVER).await;
}
