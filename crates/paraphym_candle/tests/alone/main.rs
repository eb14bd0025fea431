//! What belongs to a process: its recorder of metrics and its log. In a program of their own, for other tests have some, too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use paraphym_candle::conversation_store::StoreConfig;
use paraphym_candle::{Builder, Bytes, Metrics, ModelName, Paraphym, Recorder};
use tempfile::TempDir;
use testkit::scripted::{Answer, ScriptedLoader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::Level;

const PATIENCE: Duration = Duration::from_secs(30);

/// A host of a scripted model in a folder of its own.
fn host() -> (Builder, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("scripted.gguf");
    std::fs::write(&model, b"the scripted loader reads no file").unwrap();
    let builder = Paraphym::builder()
        .models_dir(dir.path())
        .model(ModelName::new(model.to_str().unwrap()))
        .memory_limit(Bytes::mib(64))
        .recorder(Recorder::OfApp)
        .loader(Arc::new(ScriptedLoader::new(Answer::Text("said".into()))));
    (builder, dir)
}

fn free() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

#[tokio::test(flavor = "current_thread")]
async fn dropped_without_a_word_it_stops_by_itself_and_says_so() {
    let spans = testkit::spans::Spans::of_process(tracing::level_filters::LevelFilter::WARN);
    let warned = || spans.with("dropped without `shutdown`", Level::WARN).len();
    let (builder, dir) = host();
    let kept = || StoreConfig::at(dir.path().join("conversations.sqlite")).alone();
    let socket = dir.path().join("control.sock");
    let builder = builder.conversations(kept()).serve(free()).control(&socket);
    let first = builder.start().await.unwrap();
    let address = first.address().await.unwrap();
    first
        .prompt("hello")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let mut events = first.events();
    drop(first);
    assert_eq!(warned(), 1);
    // Everything ends, and the last sender of events with it.
    let all = async { while events.recv().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    assert_eq!(runtime.metrics().num_alive_tasks(), 0);
    // Nobody listens, and nobody holds the file; what a blocking thread had in hand it may still put down.
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(!socket.exists());
    let again = async {
        loop {
            let (builder, models) = host();
            if let Ok(second) = builder.conversations(kept()).start().await {
                return (second, models);
            }
            tokio::task::yield_now().await;
        }
    };
    let (second, _models) = tokio::time::timeout(PATIENCE, again).await.unwrap();
    second.shutdown().await;
    drop(second);
    assert_eq!(warned(), 1, "one that was stopped is dropped in silence");
}

#[tokio::test]
async fn what_is_counted_goes_to_the_recorder_that_the_app_gives_and_is_shown_there() {
    let (recorder, metrics) = Metrics::unregistered().unwrap();
    metrics::set_global_recorder(recorder).unwrap();
    let counted = |page: &str| page.contains("\nparaphym_tokens_generated_total{");
    for (chosen, is_shown) in [
        (Recorder::OfApp, false),
        (Recorder::Given(metrics.clone()), true),
    ] {
        let (builder, _dir) = host();
        let builder = builder.recorder(chosen).serve(free());
        let host = builder.start().await.unwrap();
        host.prompt("hello").await.unwrap().collect().await.unwrap();
        let page = page(host.address().await.unwrap()).await;
        assert_eq!(counted(&page), is_shown, "{page}");
        assert_eq!(
            page.contains("# HELP paraphym_tokens_generated_total"),
            is_shown
        );
        assert!(counted(&metrics.render()));
        host.shutdown().await;
    }
}

/// `/metrics`.
async fn page(address: SocketAddr) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}
