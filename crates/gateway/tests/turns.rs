//! One span a request, from its first byte to its last: whatever anybody logs for it is within, down to the thread that
//! computes, and after a crash too. Two requests at once never mix.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use crate::support;

use support::{FOR_EVER, Scene, ask, exchange, get, hello, open, post, read_until};
use testkit::spans::{Logged, Spans};
use tokio::time::timeout;
use tracing::level_filters::LevelFilter;

/// What was logged with these words for this request.
fn of(spans: &Spans, words: &str, request: &str) -> Vec<Logged> {
    let events = spans.events().into_iter();
    let wanted =
        |event: &Logged| event.message == words && event.of_span("request_id") == Some(request);
    events.filter(wanted).collect()
}

#[track_caller]
fn path_of(spans: &Spans, words: &str, request: &str) -> String {
    let events = of(spans, words, request);
    let first = events.first();
    first
        .unwrap_or_else(|| panic!("{words:?} was not logged for {request}"))
        .path()
}

// One test, because it is the process's subscriber that sees what is logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_for_a_request_is_within_its_span() {
    let spans = Spans::of_process(LevelFilter::TRACE);
    let scene = Scene::start(hello(), |_| {}).await;
    let answer = exchange(scene.address, &post(&ask(""), "x-request-id: mine\r\n")).await;
    assert_eq!(answer.header("x-request-id"), Some("mine"));

    // From the gateway through the host and its lane to the engine, on whatever thread.
    for (words, path) in [
        ("begun", "request"),
        ("accepted", "request > generate"),
        ("a scripted load", "request > generate"),
        ("a scripted encoding", "request > generate"),
        ("in line", "request > generate > handle"),
        ("seated", "request > generate"),
        ("a scripted opening", "request > generate"),
        ("a scripted step", "request > generate"),
        ("finished", "request > generate"),
        ("answered", "request"),
    ] {
        let seen = path_of(&spans, words, "mine");
        assert!(seen.starts_with(path), "{words}: {seen}");
    }
    let in_line = of(&spans, "in line", "mine");
    assert!(
        in_line
            .iter()
            .any(|event| event.of_span("actor") == Some("root/memory_governor"))
    );
    let finished = of(&spans, "finished", "mine").remove(0);
    for (field, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "tiny"),
        ("gen_ai.usage.output_tokens", "4"),
        ("gen_ai.response.finish_reasons", "stop"),
        ("http.route", "/v1/chat/completions"),
    ] {
        assert_eq!(finished.of_span(field), Some(value), "{field}");
    }
    let closed = spans.closed();
    let request = closed.iter().find(|span| {
        span.name == "request" && span.fields.get("request_id").is_some_and(|id| id == "mine")
    });
    assert_eq!(request.unwrap().fields["http.response.status_code"], "200");
    // The host's own handling is one of the spans of the tree.
    let handled = |message: &str, actor: &str| {
        let of = |span: &&testkit::spans::Seen, name: &str, value: &str| {
            span.fields.get(name).is_some_and(|is| is == value)
        };
        let mut spans = closed.iter().filter(|span| span.name == "handle");
        spans.any(|span| of(&span, "message", message) && of(&span, "actor", actor))
    };
    assert!(handled("Generate", "root/model_host"));
    assert!(handled("ReserveWithin", "root/memory_governor"));

    // A name that was made is in the reply, and in the log.
    let made = exchange(scene.address, &post(&ask(""), "")).await;
    let name = made.header("x-request-id").unwrap();
    assert_eq!(path_of(&spans, "finished", name), "request > generate");

    // A crash of the engine: the lane of the next life goes on within the same turn.
    let steps = of(&spans, "a scripted step", "mine").len();
    assert!(steps >= 4, "{steps}");
    scene.control.panic_next(1);
    let crashed = exchange(scene.address, &post(&ask(""), "x-request-id: crashes\r\n")).await;
    assert_eq!(crashed.status, 200);
    assert_eq!(
        of(&spans, "a scripted load", "crashes").len(),
        1,
        "it did not crash"
    );
    assert!(of(&spans, "a scripted step", "crashes").len() > steps);
    assert_eq!(of(&spans, "finished", "crashes").len(), 1);

    // What is asked besides is its own.
    let probe = get(scene.address, "/healthz").await;
    let name = probe.header("x-request-id").unwrap();
    assert_eq!(path_of(&spans, "answered", name), "request");
    scene.root.stop(FOR_EVER).await;
    together(&spans).await;
}

/// Two answers in one batch: each step is of both and in neither's span, everything else is one's own.
async fn together(spans: &Spans) {
    let scene = Scene::endless(|_| {}).await;
    let gate = scene.control.gate_step(2);
    let fields = r#","stream":true,"max_tokens":40"#;
    let mut one = open(scene.address, &post(&ask(fields), "x-request-id: one\r\n")).await;
    timeout(FOR_EVER, read_until(&mut one, "data: "))
        .await
        .unwrap();
    let mut two = open(scene.address, &post(&ask(fields), "x-request-id: two\r\n")).await;
    let seated = async {
        while of(spans, "seated", "two").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(FOR_EVER, seated).await.unwrap();
    gate.release();
    for stream in [&mut one, &mut two] {
        timeout(FOR_EVER, read_until(stream, "[DONE]"))
            .await
            .unwrap();
    }
    for request in ["one", "two"] {
        for words in ["accepted", "seated", "a scripted opening", "finished"] {
            assert_eq!(of(spans, words, request).len(), 1, "{words} {request}");
        }
    }
    let events = spans.events().into_iter();
    let steps = events.filter(|event| event.message == "a scripted step");
    let shared: Vec<Logged> = steps.filter(|event| event.fields["batch"] == "2").collect();
    assert!(!shared.is_empty(), "they were never in one batch");
    for step in shared {
        assert_eq!(step.path(), "step");
        assert_eq!(step.of_span("turns"), Some("2"));
    }
    scene.root.stop(FOR_EVER).await;
}
