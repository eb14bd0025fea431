//! `POST /v1/completions` over real loopback sockets: text that is gone on with.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use crate::support;

use support::{CREATED, FOR_EVER, Response, Scene, exchange, hello, open, post_to, read_until};
use testkit::scripted::Answer;
use tokio::io::AsyncReadExt;

const PATH: &str = "/v1/completions";
/// Microseconds since 1970 at `CREATED`, as ids show it.
const RUN: &str = "60a24181e4000";

fn body(fields: &str) -> String {
    format!(r#"{{"prompt":"Once"{fields}}}"#)
}

async fn complete(scene: &Scene, fields: &str) -> Response {
    exchange(scene.address, &post_to(PATH, &body(fields), "")).await
}

#[tokio::test]
async fn a_whole_completion_is_exact() {
    let scene = Scene::start(hello(), |_| {}).await;
    let response = complete(&scene, "").await;
    assert_eq!(response.status, 200, "{response:?}");
    // The prompt is four tokens: no template, no role.
    assert_eq!(
        response.body,
        format!(
            r#"{{"id":"cmpl-{RUN}-2","object":"text_completion","created":{CREATED},"model":"tiny","choices":[{{"text":"Hello dear world","index":0,"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":4,"completion_tokens":4,"total_tokens":8,"prompt_tokens_details":{{"cached_tokens":0}}}}}}"#
        )
    );
    scene.end().await;
}

#[tokio::test]
async fn a_streamed_completion_is_exact() {
    let scene = Scene::start(Answer::Text("Hello".to_owned()), |_| {}).await;
    let fields = r#","stream":true,"stream_options":{"include_usage":true},"model":"other""#;
    let response = complete(&scene, fields).await;
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    let head = format!(
        r#"data: {{"id":"cmpl-{RUN}-2","object":"text_completion","created":{CREATED},"model":"other","choices":["#
    );
    let expected = [
        format!(
            r#"{head}{{"text":"Hello","index":0,"logprobs":null,"finish_reason":null}}],"usage":null}}"#
        ),
        format!(
            r#"{head}{{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}}],"usage":null}}"#
        ),
        format!(
            r#"{head}],"usage":{{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6,"prompt_tokens_details":{{"cached_tokens":0}}}}}}"#
        ),
        "data: [DONE]".to_owned(),
        String::new(),
    ];
    assert_eq!(response.body, expected.join("\n\n"));
    scene.end().await;
}

#[tokio::test]
async fn sixteen_tokens_are_the_usual_length_and_fields_are_heard() {
    let scene = Scene::start(Answer::Counting, |_| {}).await;
    for (fields, tokens, reason) in [
        (r#","seed":1"#, 16, "length"),
        (r#","seed":1,"max_tokens":3"#, 3, "length"),
        (r#","seed":1,"stop":"4""#, 4, "stop"),
    ] {
        let answer = complete(&scene, fields).await.json();
        assert_eq!(answer["usage"]["completion_tokens"], tokens, "{answer}");
        assert_eq!(answer["choices"][0]["finish_reason"], reason, "{answer}");
    }
    scene.end().await;
}

#[tokio::test]
async fn what_is_wrong_is_named_as_it_is_called_here() {
    let scene = Scene::start(hello(), |_| {}).await;
    let long = format!(r#"{{"prompt":"{}"}}"#, "x".repeat(5000));
    let streamed = format!("{},\"stream\":true}}", long.strip_suffix('}').unwrap());
    for (body, status, param, code) in [
        (body(r#","echo":true"#), 400, "echo", None),
        (
            body(r#","model":"e""#),
            400,
            "model",
            Some("wrong_kind_of_model"),
        ),
        (
            body(r#","model":"x""#),
            404,
            "model",
            Some("model_not_found"),
        ),
        (long, 400, "prompt", Some("context_length_exceeded")),
        (streamed, 400, "prompt", Some("context_length_exceeded")),
    ] {
        let response = exchange(scene.address, &post_to(PATH, &body, "")).await;
        let error = &response.json()["error"];
        assert_eq!(response.status, status, "{response:?}");
        assert_eq!(
            (&error["param"], &error["code"]),
            (&param.into(), &code.into())
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn cancelling_and_hanging_up_stop_it_within_one_step() {
    for hangs_up in [false, true] {
        let scene = Scene::start(Answer::Counting, |_| {}).await;
        let gate = scene.control.gate_step(5);
        let request = post_to(PATH, &body(r#","stream":true,"max_tokens":2000"#), "");
        let mut client = open(scene.address, &request).await;
        read_until(&mut client, r#""text":""#).await;
        scene.control.wait_until(|c| c.steps == 5).await;
        if hangs_up {
            drop(client);
            tokio::time::timeout(FOR_EVER, scene.wait_until_working(0))
                .await
                .expect("it goes on");
        } else {
            let path = format!("/v1/requests/cmpl-{RUN}-2/cancel");
            let said = exchange(scene.address, &post_to(&path, "", "")).await;
            assert_eq!(said.status, 200, "{said:?}");
            let mut rest = String::new();
            client.read_to_string(&mut rest).await.unwrap();
            assert!(rest.contains(r#""code":"cancelled"}}"#), "{rest}");
            assert!(!rest.contains("[DONE]"), "{rest}");
        }
        gate.release();
        scene.control.wait_until(|c| c.open_now() == 0).await;
        assert!(scene.control.counts().steps <= 6);
        scene.end().await;
    }
}
