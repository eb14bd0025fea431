//! What an operator sees of requests by path: the patterns of what is served, and one label for all else.
#![allow(clippy::panic, reason = "a helper that fails fails its test")]

use crate::support;

use std::collections::BTreeSet;

use support::{Scene, ask, chat, exchange, get, hello, open, post, post_to};
use telemetry::Metrics;
use tokio::net::TcpStream;
use tokio::time::Duration;

/// One test alone in its process: the recorder is the process's.
#[tokio::test]
async fn clients_make_no_labels() {
    let metrics = Metrics::install().unwrap();
    let scene = Scene::start(hello(), |_| {}).await;
    for path in [
        "/healthz",
        "/healthz/1",
        "/../etc",
        "/v1/models/tiny",
        "/v1/models/a/b",
        "/v1/models/c",
        "/v1/chat/completions",
        "/v1/requests/x/y/cancel",
    ] {
        get(scene.address, path).await;
    }
    chat(scene.address, "{}").await;
    for name in ["x", "y"] {
        let path = format!("/v1/requests/{name}/cancel");
        exchange(scene.address, &post_to(&path, "", "")).await;
    }
    let text = metrics.render();
    let counted: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("paraphym_http_requests_total"))
        .collect();
    let expected = [
        r#"{path="/healthz",status="200"} 1"#,
        r#"{path="/v1/chat/completions",status="400"} 1"#,
        r#"{path="/v1/chat/completions",status="405"} 1"#,
        r#"{path="/v1/models/{model}",status="200"} 1"#,
        r#"{path="/v1/models/{model}",status="404"} 2"#,
        r#"{path="/v1/requests/{id}/cancel",status="404"} 2"#,
        r#"{path="other",status="404"} 3"#,
    ];
    assert_eq!(counted, BTreeSet::from(expected));
    // As long as they took, by the same labels.
    for counted in [
        r#"paraphym_http_request_duration_seconds_count{path="/healthz"} 1"#,
        r#"paraphym_http_request_duration_seconds_count{path="other"} 3"#,
        "paraphym_http_requests_in_flight 0",
    ] {
        assert!(text.contains(counted), "{counted} is not in\n{text}");
    }
    scene.end().await;
}

/// Looks until the connections are so many, in their states.
async fn connected(metrics: &Metrics, idle: u32, answering: u32) {
    let wanted = [
        format!("paraphym_http_connections{{state=\"idle\"}} {idle}\n"),
        format!("paraphym_http_connections{{state=\"answering\"}} {answering}\n"),
    ];
    for _ in 0..1000 {
        let text = metrics.render();
        if wanted.iter().all(|line| text.contains(line)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{wanted:?} are not in\n{}", metrics.render());
}

#[tokio::test]
async fn connections_are_counted_by_what_they_do() {
    let metrics = Metrics::install().unwrap();
    let scene = Scene::endless(|_| {}).await;
    let first = TcpStream::connect(scene.address).await.unwrap();
    let second = TcpStream::connect(scene.address).await.unwrap();
    connected(&metrics, 2, 0).await;
    let endless = ask(",\"stream\":true,\"max_tokens\":1000000");
    let answering = open(scene.address, &post(&endless, "")).await;
    connected(&metrics, 2, 1).await;
    drop(first);
    connected(&metrics, 1, 1).await;
    drop(answering);
    connected(&metrics, 1, 0).await;
    drop(second);
    connected(&metrics, 0, 0).await;
    scene.end().await;
}

#[tokio::test]
async fn connections_that_were_sent_away_are_counted_by_why() {
    let metrics = Metrics::install().unwrap();
    let scene = Scene::start(hello(), |config| config.limits.connections = 4).await;
    let silent = TcpStream::connect(scene.address).await.unwrap();
    connected(&metrics, 1, 0).await;
    assert_eq!(get(scene.address, "/healthz").await.status, 503);
    scene.serving.limit_connections(1);
    for _ in 0..2 {
        assert_eq!(get(scene.address, "/healthz").await.status, 503);
    }
    let text = metrics.render();
    for line in [
        "paraphym_http_connections_limit 1\n",
        "paraphym_http_connections_refused_total{reason=\"silent\"} 1\n",
        "paraphym_http_connections_refused_total{reason=\"full\"} 2\n",
        // Whoever is sent away had no seat.
        "paraphym_http_connections{state=\"idle\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    drop(silent);
    scene.end().await;
}
