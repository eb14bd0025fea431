//! `POST /v1/embeddings` over real loopback sockets, with the scripted embedder behind it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use crate::support;

use serde_json::Value;
use support::{FOR_EVER, Response, Scene, exchange, get, hello, open, post_to};
use testkit::scripted::DIMENSIONS;
use tokio::io::AsyncReadExt;

const PATH: &str = "/v1/embeddings";

async fn embed(scene: &Scene, body: &str) -> Response {
    exchange(scene.address, &post_to(PATH, body, "")).await
}

fn numbers(embedding: &Value) -> Vec<f32> {
    let numbers = embedding.as_array().unwrap().iter();
    numbers.map(|n| n.as_f64().unwrap() as f32).collect()
}

/// What a client does with base64: four bytes are a number, the least significant first.
fn decoded(embedding: &Value) -> Vec<f32> {
    use base64::Engine as _;
    let text = embedding.as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    let (numbers, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    numbers
        .iter()
        .map(|four| f32::from_le_bytes(*four))
        .collect()
}

#[tokio::test]
async fn vectors_come_in_order_and_either_way_they_are_the_same() {
    let scene = Scene::start(hello(), |_| {}).await;
    let texts = r#""input":["the cat sleeps","taxes are due","the cat sleeps"]"#;
    let floats = embed(&scene, &format!("{{{texts}}}")).await;
    assert_eq!(floats.status, 200, "{floats:?}");
    assert_eq!(floats.header("content-type"), Some("application/json"));
    let floats = floats.json();
    assert_eq!(
        (&floats["object"], &floats["model"]),
        (&"list".into(), &"e".into())
    );
    // Each text is its words and two around them.
    assert_eq!(
        floats["usage"],
        serde_json::json!({"prompt_tokens": 15, "total_tokens": 15})
    );
    let data = floats["data"].as_array().unwrap();
    let order: Vec<_> = data
        .iter()
        .map(|one| one["index"].as_u64().unwrap())
        .collect();
    assert_eq!(order, [0, 1, 2]);
    let vectors: Vec<_> = data.iter().map(|one| numbers(&one["embedding"])).collect();
    assert_eq!(vectors[0].len(), DIMENSIONS as usize);
    assert_eq!(vectors[0], vectors[2]);
    assert_ne!(vectors[0], vectors[1]);
    let base64 = embed(
        &scene,
        &format!(r#"{{{texts},"encoding_format":"base64","model":"e","dimensions":{DIMENSIONS}}}"#),
    )
    .await
    .json();
    for (one, vector) in base64["data"].as_array().unwrap().iter().zip(&vectors) {
        assert_eq!(one["object"], "embedding");
        assert_eq!(decoded(&one["embedding"]), *vector);
    }
    scene.end().await;
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let scene = Scene::start(hello(), |_| {}).await;
    for (body, status, param, code) in [
        (r#"{"input":[]}"#, 400, "input", None),
        (r#"{"input":["a",""]}"#, 400, "input[1]", None),
        (
            r#"{"input":"a","dimensions":7000}"#,
            400,
            "dimensions",
            None,
        ),
        (
            r#"{"input":"a","model":"tiny"}"#,
            400,
            "model",
            Some("wrong_kind_of_model"),
        ),
        (
            r#"{"input":"a","model":"/etc/passwd"}"#,
            404,
            "model",
            Some("model_not_found"),
        ),
    ] {
        let response = embed(&scene, body).await;
        let error = &response.json()["error"];
        assert_eq!(response.status, status, "{body}: {response:?}");
        assert_eq!(
            (&error["param"], &error["code"]),
            (&param.into(), &code.into()),
            "{body}"
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn embedding_models_are_listed_and_are_not_for_chats() {
    let scene = Scene::start(hello(), |_| {}).await;
    let models = get(scene.address, "/v1/models").await.json();
    let names: Vec<_> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["tiny", "other", "gone", "e", "f"]);
    assert_eq!(get(scene.address, "/v1/models/f").await.status, 200);
    let chat = support::chat(scene.address, &support::ask(r#","model":"e""#)).await;
    let error = &chat.json()["error"];
    assert_eq!(
        (chat.status, &error["param"], &error["code"]),
        (400, &"model".into(), &"wrong_kind_of_model".into())
    );
    assert_eq!(scene.control.counts().loads, 0);
    scene.end().await;
}

#[tokio::test]
async fn who_is_cancelled_or_has_left_is_not_computed_for() {
    for hangs_up in [false, true] {
        let scene = Scene::start(hello(), |_| {}).await;
        let gate = scene.control.gate_load(1);
        let request = post_to(PATH, r#"{"input":"a"}"#, "x-request-id: mine\r\n");
        let mut client = open(scene.address, &request).await;
        scene.control.wait_until(|c| c.loads == 1).await;
        if hangs_up {
            drop(client);
        } else {
            let said = exchange(scene.address, &post_to("/v1/requests/mine/cancel", "", "")).await;
            assert_eq!(said.status, 200, "{said:?}");
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 499 "), "{answer}");
        }
        tokio::time::timeout(FOR_EVER, scene.wait_until_working(0))
            .await
            .expect("it goes on");
        gate.release();
        scene.control.wait_until(|c| c.loads_cancelled == 1).await;
        assert_eq!(scene.control.counts().embedded, 0);
        scene.end().await;
    }
}
