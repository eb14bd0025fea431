//! Held by an app: two systems in one process, on any kind of runtime, with the app's own actors, and let go without a word.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use paraphym_candle::conversation_store::{StoreConfig, StoreError};
use paraphym_candle::supervision::{ChildSpec, TaskContext, TaskError};
use paraphym_candle::{
    Builder, Bytes, ConversationId, GenerationEvent, Lifecycle, ModelName, Paraphym, StartError,
    TurnEvent,
};
use tempfile::TempDir;
use testkit::scripted::{Answer, ScriptedLoader};

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
    // Whoever opens a file alone is refused while somebody else has it so.
    let kept = |dir: &TempDir| StoreConfig::at(dir.path().join("conversations.sqlite")).alone();
    let one = one.conversations(kept(&first_dir)).start().await.unwrap();
    let (third, _third_dir) = host("third");
    let refused = third.conversations(kept(&first_dir)).start().await.err();
    assert!(
        matches!(
            &refused,
            Some(StartError::Conversations(StoreError::Taken { .. }))
        ),
        "{refused:?}"
    );
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

#[tokio::test]
async fn all_that_is_kept_lies_in_the_data_folder_but_what_was_chosen_by_itself() {
    let (builder, models) = host("kept");
    let data = tempfile::tempdir().unwrap();
    let host = builder.data_folder(data.path()).start().await.unwrap();
    let conversation = ConversationId::new("c");
    let turn = host.turn_settings();
    let asked = host.ask(&conversation, "hello", turn).await.unwrap();
    assert_eq!(asked.collect().await.unwrap().text, "kept");
    host.shutdown().await;
    assert!(data.path().join("paraphym.db").is_file());
    // The models' folder was chosen before.
    assert!(!data.path().join("models").exists());
    drop(models);
}

#[tokio::test(flavor = "current_thread")]
async fn a_runtime_of_one_thread_is_enough() {
    let (builder, _dir) = host("here too");
    let host = builder.start().await.unwrap();
    assert_eq!(said(&host).await, "here too");
    assert!(host.shutdown().await.abandoned.is_empty());
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

/// Fails in its first lives, and lives.
fn fails(lives: u32) -> ChildSpec {
    let left = Arc::new(AtomicU32::new(lives));
    ChildSpec::task("fails", move |context: TaskContext| {
        let left = Arc::clone(&left);
        async move {
            context.ready();
            let next = |left: u32| left.checked_sub(1);
            if left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next)
                .is_ok()
            {
                return Err(TaskError::from("on purpose"));
            }
            context.stopping().await;
            Ok(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn what_an_actor_of_the_app_does_wrong_counts_against_its_supervisor_first() {
    let (builder, _dir) = host("goes on");
    // Five within half a minute are borne by `app`; the sixth is its own end, which the root bears.
    let host = builder.child(fails(8)).start().await.unwrap();
    let mut events = host.events();
    let mut restarted = Vec::new();
    let all = async {
        loop {
            let event = events.recv().await.unwrap();
            if matches!(event.what, Lifecycle::Restarted { .. }) {
                restarted.push(event.child.to_string());
            }
            if restarted.iter().any(|one| one == "root/app") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(5), all)
        .await
        .unwrap();
    let others = restarted.iter().filter(|one| !one.starts_with("root/app"));
    assert_eq!(others.count(), 0, "{restarted:?}");
    let own = restarted.iter().filter(|one| *one == "root/app/fails");
    assert!(own.count() >= 5, "{restarted:?}");
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(said(&host).await, "goes on");
    assert!(host.shutdown().await.killed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_actor_of_the_app_asks_the_host_and_does_not_keep_it_alive() {
    let (builder, _dir) = host("asked by one of its own");
    let (heard, mut answers) = tokio::sync::watch::channel(String::new());
    let builder = builder.child_with(move |asker| {
        let asker = asker.clone();
        ChildSpec::task("asks", move |context: TaskContext| {
            let (asker, heard) = (asker.clone(), heard.clone());
            async move {
                context.ready();
                let answer = asker.prompt("hello").await?.collect().await;
                let answer = answer.map_err(|unfinished| unfinished.error)?;
                heard.send_replace(answer.text);
                context.stopping().await;
                Ok::<(), TaskError>(())
            }
        })
    });
    let host = builder.start().await.unwrap();
    let text = answers
        .wait_for(|text| !text.is_empty())
        .await
        .unwrap()
        .clone();
    assert_eq!(text, "asked by one of its own");
    let mut events = host.events();
    drop(host);
    // The tree ends, though an actor of it can ask.
    let all = async { while events.recv().await.is_ok() {} };
    tokio::time::timeout(Duration::from_mins(1), all)
        .await
        .unwrap();
}
