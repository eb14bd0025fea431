//! Conversations at rest, as an embedding app is promised them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::sync::Arc;

use paraphym_candle::chat_config::{Change, messages::Update};
use paraphym_candle::conversation_store::messages::{
    ControlRecord, ListConversations, ReadControlLog, ReplaceHistory,
};
use paraphym_candle::conversation_store::{StoreConfig, StoreError, client};
use paraphym_candle::{ConversationId, Message, Paraphym, StartError, chat_config};
use tempfile::TempDir;
use testkit::scripted::{Answer, ScriptedLoader};

async fn host(dir: &TempDir, kept: StoreConfig) -> Result<Paraphym, StartError> {
    let loader = ScriptedLoader::new(Answer::Text("yes".to_owned()));
    Paraphym::builder()
        .models_dir(dir.path())
        .conversations(kept)
        .loader(Arc::new(loader))
        .seed(7)
        .start()
        .await
}

#[tokio::test(start_paused = true)]
async fn every_change_of_settings_while_it_runs_is_in_the_control_log() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(&dir, StoreConfig::in_memory()).await.unwrap();
    for (key, value) in [("model.seed", 3), ("model.max_tokens", 7)] {
        let wish = Update {
            who: "a person".to_owned(),
            expected: None,
            changes: vec![Change::Set {
                key: key.to_owned(),
                value: value.into(),
            }],
        };
        chat_config::client::update(host.config(), wish)
            .await
            .unwrap();
    }
    let read = async || -> Vec<ControlRecord> {
        let wish = ReadControlLog {
            limit: 10,
            before: None,
        };
        client::ask(host.conversations(), wish).await.unwrap()
    };
    let mut log = read().await;
    while log.len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        log = read().await;
    }
    let said: Vec<&str> = log.iter().map(|act| act.detail.as_str()).collect();
    assert_eq!(log.len(), 2, "{said:?}");
    assert!(log.iter().all(|act| act.actor == "a person"), "{log:?}");
    assert!(said[0].contains("model.max_tokens: ") && said[0].contains(" -> 7"));
    assert!(said[1].contains("model.seed: ") && said[1].contains(" -> 3"));
    let caches = host.caches().await.unwrap().caches;
    let log = caches.iter().find(|cache| cache.name == "control log");
    assert_eq!(log.map(|log| log.held.entries), Some(2));
    assert!(host.shutdown().await.abandoned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_said_is_there_for_the_next_host() {
    let dir = tempfile::tempdir().unwrap();
    let kept = StoreConfig::at(dir.path().join("data/paraphym.db"));
    let first = host(&dir, kept.clone()).await.unwrap();
    let wish = ReplaceHistory {
        conversation: ConversationId::new("a"),
        messages: vec![Message::user("hello")],
        now_ms: 1,
    };
    client::ask(first.conversations(), wish).await.unwrap();
    assert!(first.shutdown().await.abandoned.is_empty());
    let second = host(&dir, kept).await.unwrap();
    let wish = ListConversations {
        limit: 10,
        before: None,
    };
    let list = client::ask(second.conversations(), wish).await.unwrap();
    assert_eq!(list.conversations.len(), 1);
    assert_eq!(list.conversations[0].title, "hello");
    assert!(second.shutdown().await.abandoned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_keeps_the_tree_from_starting_and_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("paraphym.db");
    let bytes = b"these are no conversations, and not a database at all";
    std::fs::write(&file, bytes).unwrap();
    let refused = host(&dir, StoreConfig::at(&file)).await;
    let Err(error @ StartError::Conversations(StoreError::Damaged { .. })) = refused else {
        panic!("it started");
    };
    assert!(error.to_string().contains("move it aside"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}
