//! What an app does with an answer that is under way: read it as a whole, stop it from elsewhere, say more.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::sync::Arc;
use std::time::Duration;

use paraphym_candle::{
    Bytes, ConversationId, FinishReason, GenerationError, ModelName, Paraphym, SteerError,
};
use tempfile::TempDir;
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine; a test that is right never waits for it.
const PATIENCE: Duration = Duration::from_mins(1);
const HELLO: &str = "Hello dear world";

async fn host(dir: &TempDir) -> (Paraphym, Control) {
    let path = dir.path().join("scripted.gguf");
    std::fs::write(&path, b"the scripted loader reads no file").unwrap();
    let loader = ScriptedLoader::new(Answer::Text(HELLO.to_owned()))
        .with_card(|card| card.context_tokens = 8192);
    let control = loader.control();
    let builder = Paraphym::builder()
        .models_dir(dir.path())
        .model(ModelName::new(path.to_str().unwrap()))
        .memory_limit(Bytes::mib(64))
        .loader(Arc::new(loader))
        .seed(7);
    (builder.start().await.unwrap(), control)
}

#[tokio::test]
async fn an_answer_is_collected_whole_or_cancelled_from_another_task() {
    let dir = tempfile::tempdir().unwrap();
    let (host, control) = host(&dir).await;
    let answer = host.prompt("hi").await.unwrap().collect().await.unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        (HELLO, FinishReason::Stop)
    );
    assert!(answer.tool_calls.is_empty() && answer.logprobs.is_empty());

    let held = control.counts().steps + 2;
    let gate = control.gate_step(held);
    let stream = host.prompt("hi").await.unwrap();
    let canceller = stream.canceller();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { stream.collect().await });
    control.wait_until(|c| c.steps == held).await;
    assert!(canceller.cancel());
    let collected = timeout(PATIENCE, tasks.join_next()).await.unwrap();
    let unfinished = collected.unwrap().unwrap().unwrap_err();
    assert!(HELLO.starts_with(&unfinished.text));
    assert_eq!(
        GenerationError::from(unfinished),
        GenerationError::Cancelled
    );
    gate.release();
    assert!(host.shutdown().await.abandoned.is_empty());
}

#[tokio::test]
async fn a_turn_that_is_steered_answers_that_too() {
    let dir = tempfile::tempdir().unwrap();
    let (host, control) = host(&dir).await;
    let gate = control.gate_step(2);
    let tea = ConversationId::new("tea");
    let turn = host.ask(&tea, "hi", host.turn_settings()).await.unwrap();
    let id = turn.id().clone();
    control.wait_until(|c| c.steps == 2).await;
    assert_eq!(host.steer(&tea, &id, "in French").await, Ok(1));
    gate.release();
    let answer = timeout(PATIENCE, turn.collect()).await.unwrap().unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.before),
        (HELLO, vec![HELLO.to_owned()])
    );
    let history = host.agents().history(&tea).await.unwrap();
    let said: Vec<&str> = history.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(said, ["hi", HELLO, "in French", HELLO]);
    let refused = host.steer(&tea, &id, "in French").await;
    assert_eq!(refused, Err(SteerError::Over { turn: id.clone() }));
    assert_eq!(host.cancel(&tea, &id).await, Ok(false), "it is over");
    assert!(host.shutdown().await.abandoned.is_empty());
}
