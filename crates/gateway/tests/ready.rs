//! When the server says that it is not ready, why, and how soon: parts that are unwell or hang, and an ending that has
//! begun, in which running answers finish and nothing new is taken.

use crate::support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use paraphym_gateway::Check;
use support::{Scene, ask, chat, get, hello, open, post, read_until};
use testkit::scripted::Answer;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

fn check(part: &'static str, well: Result<(), &'static str>) -> Check {
    let well = well.map_err(str::to_owned);
    Check {
        part,
        ask: Arc::new(move || std::future::ready(well.clone()).boxed()),
    }
}

fn hanging(part: &'static str) -> Check {
    Check {
        part,
        ask: Arc::new(|| std::future::pending().boxed()),
    }
}

#[tokio::test]
async fn parts_that_are_unwell_or_hang_are_reasons_and_hold_up_no_probe() {
    let checks = vec![
        check("fine", Ok(())),
        check("store", Err("the disk is full")),
        hanging("slow"),
        hanging("slower"),
    ];
    let scene = Scene::with_checks(checks).await;
    let begun = Instant::now();
    let ready = get(scene.address, "/readyz").await;
    assert!(begun.elapsed() < Duration::from_secs(2), "both at once");
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (
            503,
            r#"{"status":"unavailable","model":"tiny","state":"unloaded","reasons":[{"part":"store","reason":"the disk is full"},{"part":"slow","reason":"it did not answer within 100 ms"},{"part":"slower","reason":"it did not answer within 100 ms"}]}"#
        )
    );
    assert_eq!(get(scene.address, "/healthz").await.status, 200);
    scene.end().await;
}

#[tokio::test]
async fn parts_that_are_well_are_no_reasons() {
    let scene = Scene::with_checks(vec![check("store", Ok(()))]).await;
    let ready = get(scene.address, "/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    scene.end().await;
}

#[tokio::test]
async fn an_ending_lets_answers_finish_and_takes_nothing_new() {
    let scene = Scene::start(hello(), |_| {}).await;
    let gate = scene.control.gate_step(2);
    let mut client = open(scene.address, &post(&ask(r#","stream":true"#), "")).await;
    scene.control.wait_until(|c| c.steps == 2).await;
    scene.serving.drain();
    let ready = get(scene.address, "/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["reasons"][0]["part"]),
        (503, &"server".into()),
        "{ready:?}"
    );
    assert_eq!(get(scene.address, "/healthz").await.status, 200);
    let refused = chat(scene.address, &ask("")).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (503, &"draining".into())
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    let under_way = scene.serving.under_way();
    assert_eq!(under_way.len(), 1);
    assert!(
        under_way[0].starts_with("POST /v1/chat/completions req-"),
        "{under_way:?}"
    );
    gate.release();
    scene.serving.idle().await;
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("data: [DONE]"), "{rest}");
    scene.end().await;
}

#[tokio::test]
async fn the_end_of_patience_is_a_last_word() {
    let scene = Scene::start(Answer::Counting, |_| {}).await;
    let gate = scene.control.gate_step(5);
    let body = ask(r#","stream":true,"max_tokens":2000,"seed":0"#);
    let mut client = open(scene.address, &post(&body, "")).await;
    read_until(&mut client, r#""content":"0 "#).await;
    scene.serving.end();
    gate.release();
    scene.serving.idle().await;
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(
        rest.contains("error") && !rest.contains("[DONE]"),
        "a half is not taken for a whole: {rest}"
    );
    scene.end().await;
}
