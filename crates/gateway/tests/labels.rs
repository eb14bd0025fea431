//! What an operator sees of requests by path: the patterns of what is served, and one label for all else.

mod support;

use std::collections::BTreeSet;

use support::{Scene, chat, exchange, get, hello, post_to};
use telemetry::Metrics;

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
    scene.end().await;
}
