//! Held by an app: two systems in one process, on any kind of runtime, with the app's own actors, and let go without a word.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::sync::Arc;
use std::time::Duration;

use paraphym_candle::conversation_store::StoreConfig;
use paraphym_candle::supervision::{ChildSpec, TaskContext, TaskError};
use paraphym_candle::{
    Builder, Bytes, ConversationId, GenerationEvent, Metrics, ModelName, Paraphym, Recorder,
    TurnEvent,
};
use tempfile::TempDir;
use testkit::scripted::{Answer, ScriptedLoader};
use tracing::Level;

const PATIENCE: Duration = Duration::from_secs(10);

/// A host whose model says `says`, in a folder of its own.
fn host(says: &str) -> (Builder, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("scripted.gguf");
    std::fs::write(&model, b"the scripted loader reads no file").unwrap();
    let builder = Paraphym::builder()
        .models_dir(dir.path())
        .model(ModelName::new(model.to_str().unwrap()))
        .memory_limit(Bytes::mib(64))
        .loader(Arc::new(ScriptedLoader::new(Answer::Text(says.to_owned()))));
    (builder, dir)
}

async fn said(host: &Paraphym) -> String {
    let mut stream = host.prompt("hello").await.unwrap();
    let mut said = String::new();
    while let Some(event) = stream.next().await {
        match event {
            GenerationEvent::Text(text) => said.push_str(&text),
            GenerationEvent::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
    said
}

#[tokio::test]
async fn two_systems_of_one_process_answer_at_once_and_share_neither_leases_nor_files() {
    let ((one, first_dir), (two, second_dir)) = (host("one answers"), host("two answers"));
    let kept = |dir: &TempDir| StoreConfig::at(dir.path().join("conversations.sqlite"));
    let one = one.conversations(kept(&first_dir)).start().await.unwrap();
    let two = two.conversations(kept(&second_dir)).start().await.unwrap();
    let talk = async |host: &Paraphym| {
        let turn = host.turn_settings();
        let conversation = ConversationId::new("c");
        let mut events = host.ask(&conversation, "hello", turn).await.unwrap();
        let mut text = String::new();
        while let Some(event) = events.next().await {
            match event {
                TurnEvent::Text(more) => text.push_str(&more),
                TurnEvent::Failed(error) => panic!("{error}"),
                _ => {}
            }
        }
        text
    };
    let (first, second) = tokio::join!(talk(&one), talk(&two));
    assert_eq!(
        (first.as_str(), second.as_str()),
        ("one answers", "two answers")
    );

    // Each ledger knows its own model, and no lease is in both.
    let (first, second) = (one.memory().await.unwrap(), two.memory().await.unwrap());
    assert!(!first.leases.is_empty() && !second.leases.is_empty());
    let names = |status: &paraphym_candle::LedgerStatus| -> Vec<String> {
        status
            .leases
            .iter()
            .map(|lease| format!("{lease:?}"))
            .collect()
    };
    let path = |dir: &TempDir| dir.path().to_str().unwrap().to_owned();
    assert!(
        names(&first)
            .iter()
            .all(|lease| !lease.contains(&path(&second_dir)))
    );
    assert!(
        names(&second)
            .iter()
            .all(|lease| !lease.contains(&path(&first_dir)))
    );

    // One ends, and the other does not notice.
    let report = one.shutdown().await;
    assert!(
        report.abandoned.is_empty() && report.killed.is_empty(),
        "{report:?}"
    );
    assert_eq!(said(&two).await, "two answers");
    assert!(two.shutdown().await.abandoned.is_empty());
    // Nobody holds the files any more.
    for dir in [&first_dir, &second_dir] {
        let (builder, _models) = host("again");
        let again = builder.conversations(kept(dir)).start().await.unwrap();
        again.shutdown().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_runtime_of_one_thread_is_enough() {
    let (builder, _dir) = host("here too");
    let host = builder.start().await.unwrap();
    assert_eq!(said(&host).await, "here too");
    assert!(host.shutdown().await.abandoned.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn dropped_without_a_word_it_stops_by_itself_and_says_so() {
    let spans = testkit::spans::Spans::of_process(tracing::level_filters::LevelFilter::WARN);
    let warned = || spans.with("dropped without `shutdown`", Level::WARN).len();
    let (builder, dir) = host("never asked");
    let kept = || StoreConfig::at(dir.path().join("conversations.sqlite"));
    let first = builder.conversations(kept()).start().await.unwrap();
    let mut events = first.events();
    drop(first);
    assert_eq!(warned(), 1);
    // Everything ends, and the last sender of events with it.
    let all = async { while events.recv().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    assert_eq!(runtime.metrics().num_alive_tasks(), 0);

    let (builder, _models) = host("again");
    let second = builder.conversations(kept()).start().await.unwrap();
    second.shutdown().await;
    drop(second);
    assert_eq!(warned(), 1, "one that was stopped is dropped in silence");
}

#[tokio::test]
async fn what_is_counted_goes_to_the_recorder_that_the_app_gives() {
    let (recorder, metrics) = Metrics::unregistered().unwrap();
    metrics::set_global_recorder(recorder).unwrap();
    let (builder, _dir) = host("counted");
    let ours: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    let host = builder
        .recorder(Recorder::Given(metrics.clone()))
        .serve(ours)
        .start()
        .await
        .unwrap();
    assert_eq!(said(&host).await, "counted");
    assert!(metrics.render().contains("paraphym_tokens_generated_total"));
    host.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_app_s_own_children_are_in_the_tree_and_come_and_go() {
    let (builder, _dir) = host("beside");
    let task = |id: &'static str| {
        ChildSpec::task(id, |context: TaskContext| async move {
            context.ready();
            context.stopping().await;
            Ok::<(), TaskError>(())
        })
    };
    let host = builder
        .child(task("one"))
        .child(task("two"))
        .start()
        .await
        .unwrap();
    let app = host.app().unwrap();
    let names = async || -> Vec<String> {
        let all = app.which_children().await;
        all.iter().map(|child| child.child.to_string()).collect()
    };
    assert_eq!(names().await, ["root/app/one", "root/app/two"]);
    app.start_child(task("three")).await.unwrap();
    app.terminate_child(&"one".into()).await.unwrap();
    app.delete_child(&"one".into()).await.unwrap();
    assert_eq!(names().await, ["root/app/two", "root/app/three"]);
    assert!(host.shutdown().await.killed.is_empty());
    let (builder, _dir) = self::host("alone");
    let alone = builder.start().await.unwrap();
    assert!(alone.app().is_none());
    alone.shutdown().await;
}
