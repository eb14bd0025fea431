//! What ends an answer that its reader still waits for: `POST /v1/requests/{id}/cancel`, by either of its names.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use crate::support;

use std::net::SocketAddr;

use model_host::HostConfig;
use support::{FOR_EVER, Response, Scene, ask, exchange, hello, open, post, post_to, read_until};
use testkit::scripted::Answer;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

async fn cancel(address: SocketAddr, name: &str) -> Response {
    let path = format!("/v1/requests/{name}/cancel");
    exchange(address, &post_to(&path, "", "")).await
}

async fn rest_of(mut client: TcpStream) -> String {
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    rest
}

/// What an answer calls itself.
fn name_of(begun: &str) -> &str {
    let (_, name) = begun.split_once(r#"{"id":""#).unwrap();
    name.split_once('"').unwrap().0
}

/// What an answer that was cancelled says last, however far it was.
const CANCELLED: &str =
    r#"{"error":{"message":"cancelled","type":"api_error","param":null,"code":"cancelled"}}"#;

#[tokio::test]
async fn a_stream_that_is_cancelled_ends_with_an_error_and_compute_within_one_step() {
    for by_its_own_name in [false, true] {
        let scene = Scene::start(Answer::Counting, |_| {}).await;
        let gate = scene.control.gate_step(5);
        let body = ask(r#","stream":true,"max_tokens":2000,"seed":0"#);
        let mut client = open(scene.address, &post(&body, "x-request-id: mine\r\n")).await;
        let begun = read_until(&mut client, r#""content":"0 "#).await;
        let own = name_of(&begun);
        assert!(own.starts_with("chatcmpl-"), "{own}");
        scene.control.wait_until(|c| c.steps == 5).await;
        let name = if by_its_own_name { own } else { "mine" };
        let said = cancel(scene.address, name).await;
        assert_eq!(
            (said.status, said.body),
            (
                200,
                format!(r#"{{"id":"{name}","object":"request.cancellation","cancelled":true}}"#)
            )
        );
        let rest = rest_of(client).await;
        let last = rest.trim_end_matches("\r\n0\r\n\r\n").trim_end();
        assert!(last.ends_with(&format!("data: {CANCELLED}")), "{rest}");
        assert!(
            rest.ends_with("\r\n0\r\n\r\n"),
            "the body is complete: {rest}"
        );
        assert!(!rest.contains("[DONE]"), "{rest}");
        gate.release();
        scene.control.wait_until(|c| c.open_now() == 0).await;
        assert_eq!(scene.control.counts().steps, 5);
        assert_eq!(
            cancel(scene.address, name).await.status,
            404,
            "it has ended"
        );
        scene.end().await;
    }
}

#[tokio::test]
async fn a_whole_answer_that_is_cancelled_has_a_status_that_no_client_tries_again() {
    let scene = Scene::start(Answer::Counting, |_| {}).await;
    let gate = scene.control.gate_step(3);
    let request = post(&ask(r#","max_tokens":2000"#), "x-request-id: mine\r\n");
    let client = open(scene.address, &request).await;
    scene.control.wait_until(|c| c.steps == 3).await;
    assert_eq!(cancel(scene.address, "mine").await.status, 200);
    let answer = rest_of(client).await;
    assert!(answer.starts_with("HTTP/1.1 499 "), "{answer}");
    assert!(answer.ends_with(CANCELLED), "{answer}");
    assert!(!answer.contains("retry-after"), "{answer}");
    gate.release();
    scene.control.wait_until(|c| c.open_now() == 0).await;
    assert_eq!(scene.control.counts().steps, 3);
    scene.end().await;
}

#[tokio::test]
async fn who_waits_can_be_cancelled_and_the_others_go_on() {
    let host = HostConfig {
        max_batch: 1,
        ..HostConfig::default()
    };
    let scene = Scene::with_host(hello(), host, |_| {}).await;
    let gate = scene.control.gate_step(1);
    let mut first = open(scene.address, &post(&ask(""), "x-request-id: first\r\n")).await;
    scene.control.wait_until(|c| c.steps == 1).await;
    for fields in ["", r#","stream":true"#] {
        let waiting = post(&ask(fields), "x-request-id: waiting\r\n");
        let waiting = open(scene.address, &waiting).await;
        scene.wait_until_waiting(1).await;
        assert_eq!(cancel(scene.address, "waiting").await.status, 200);
        let answer = rest_of(waiting).await;
        assert!(
            answer.starts_with("HTTP/1.1 499 ") && answer.ends_with(CANCELLED),
            "{answer}"
        );
        scene.wait_until_waiting(0).await;
    }
    gate.release();
    read_until(&mut first, "Hello dear world").await;
    assert_eq!(scene.control.counts().opened, 1);
    scene.end().await;
}

#[tokio::test]
async fn a_name_that_two_bear_means_both_and_its_own_name_one() {
    let scene = Scene::start(Answer::Counting, |_| {}).await;
    let gate = scene.control.gate_step(6);
    let request = post(
        &ask(r#","stream":true,"max_tokens":2000,"seed":0"#),
        "x-request-id: both\r\n",
    );
    let mut first = open(scene.address, &request).await;
    let begun = read_until(&mut first, r#""content":""#).await;
    let own = name_of(&begun);
    scene.control.wait_until(|c| c.steps == 6).await;
    let second = open(scene.address, &request).await;
    scene.wait_until_working(2).await;
    assert_eq!(cancel(scene.address, own).await.status, 200);
    assert!(rest_of(first).await.contains(CANCELLED));
    scene.wait_until_working(1).await;
    let third = open(scene.address, &request).await;
    scene.wait_until_working(2).await;
    assert_eq!(cancel(scene.address, "both").await.status, 200);
    for client in [second, third] {
        assert!(rest_of(client).await.ends_with(CANCELLED));
    }
    gate.release();
    scene.control.wait_until(|c| c.open_now() == 0).await;
    scene.end().await;
}

/// hyper asks for no more of a body than it can send: nobody polls the stream of a client that has stopped reading.
#[tokio::test]
async fn the_answer_of_a_client_that_reads_nothing_can_be_cancelled() {
    let word = "x".repeat(100_000);
    let text = vec![word; 100].join(" ");
    let scene = Scene::start(Answer::Text(text), |config| {
        config.limits.write_time = FOR_EVER;
    })
    .await;
    let gate = scene.control.gate_step(90);
    let request = post(&ask(r#","stream":true"#), "x-request-id: deaf\r\n");
    let client = open(scene.address, &request).await;
    scene.control.wait_until(|c| c.steps == 90).await;
    assert_eq!(cancel(scene.address, "deaf").await.status, 200);
    gate.release();
    scene.control.wait_until(|c| c.open_now() == 0).await;
    assert_eq!(scene.control.counts().steps, 90);
    drop(client);
    scene.end().await;
}

#[tokio::test]
async fn what_is_not_under_way_cannot_be_cancelled() {
    let scene = Scene::start(hello(), |config| config.limits.answers = 1).await;
    let gate = scene.control.gate_step(1);
    let mut first = open(scene.address, &post(&ask(""), "x-request-id: a/b\r\n")).await;
    scene.control.wait_until(|c| c.steps == 1).await;
    for (name, body, headers, status, code) in [
        ("nobody", "", "", 404, "request_not_found".into()),
        ("nobody", "{}", "", 404, "request_not_found".into()),
        ("%FF", "", "", 404, "request_not_found".into()),
        (
            "nobody",
            r#"{"all":true}"#,
            "",
            400,
            serde_json::Value::Null,
        ),
        ("nobody", "[]", "", 400, serde_json::Value::Null),
    ] {
        let path = format!("/v1/requests/{name}/cancel");
        let refused = exchange(scene.address, &post_to(&path, body, headers)).await;
        assert_eq!(refused.status, status, "{name} {body}: {refused:?}");
        assert_eq!(refused.json()["error"]["code"], code, "{name} {body}");
    }
    // All places are taken, and the name has a slash in it.
    assert_eq!(cancel(scene.address, "a%2Fb").await.status, 200);
    let answer = read_until(&mut first, "cancelled").await;
    assert!(answer.starts_with("HTTP/1.1 499 "), "{answer}");
    gate.release();
    scene.end().await;
}
