//! What a collector receives, on the one runtime: its request, no thread more; and that one which is not there, or never
//! answers, disturbs nobody.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::time::Duration;

use paraphym_telemetry::{LogFormat, Logging, TracesError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_mins(1);

/// One request: its head and its body.
async fn request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut raw = Vec::new();
    loop {
        if let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(raw[..end].to_vec())
                .unwrap()
                .to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.unwrap().parse().unwrap();
            if raw.len() >= end + 4 + length {
                return (head, raw[end + 4..].to_vec());
            }
        }
        assert_ne!(stream.read_buf(&mut raw).await.unwrap(), 0, "it hung up");
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn turn(request: &str) {
    let turn = tracing::error_span!(target: "turn", "turn", request_id = request);
    let _turn = turn.enter();
    tracing::error_span!(target: "turn", "handle", actor = "root/model_host").in_scope(|| {
        tracing::info!(target: "paraphym_model_host", "an event within");
        tracing::debug!(target: "paraphym_model_host", "too quiet for it");
    });
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len())
        .any(|window| window == text.as_bytes())
}

// One test, because a process logs once: the same sender meets a collector that works, one that never answers, and none.
#[tokio::test]
async fn turns_reach_a_collector_and_one_that_fails_disturbs_nobody() {
    let mut logging = Logging::new("error", LogFormat::Text);
    let wrong = logging.send_traces("localhost:4318").unwrap_err();
    assert!(matches!(wrong, TracesError::Endpoint { .. }));
    assert!(
        wrong.to_string().contains("OTEL_EXPORTER_OTLP_ENDPOINT"),
        "{wrong}"
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let before = threads();
    let traces = logging.send_traces(&format!("http://{address}/")).unwrap();
    logging.begin().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let run = traces.clone();
    let mut running = JoinSet::new();
    running.spawn(async move { run.run(async { drop(stopped.await) }).await });
    turn("r-1");
    let collected = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        (request, stream)
    };
    let ((head, body), _open) = timeout(PATIENCE, collected).await.unwrap();
    assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
    assert!(
        head.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    let found = [
        "service.name",
        "paraphym",
        "request_id",
        "r-1",
        "handle",
        "root/model_host",
        "an event within",
    ];
    for text in found {
        assert!(contains(&body, text), "{text}");
    }
    assert!(!contains(&body, "too quiet"));
    assert_eq!(threads(), before, "it started a thread");

    // From here on it takes connections and never answers. Whoever ends spans does not wait, however many there are.
    let mut silent = JoinSet::new();
    silent.spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let begun = Instant::now();
    for number in 0..5000 {
        turn(&format!("flood-{number}"));
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    // A stop waits for it a while, and no longer.
    let begun = Instant::now();
    stop.send(()).unwrap();
    timeout(PATIENCE, running.join_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    silent.shutdown().await;

    // The next life meets nobody at all, and ends as soon as it is told to.
    turn("r-2");
    let begun = Instant::now();
    traces
        .run(async { tokio::time::sleep(Duration::from_millis(50)).await })
        .await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(threads(), before);
}
