//! The whole tree with a scripted engine: what an embedding app is promised.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use paraphym_candle::{
    Bytes, ConversationId, FinishReason, GenerationError, GenerationEvent, Lifecycle, ModelName,
    Paraphym, TurnSettings,
};
use tempfile::TempDir;
use testkit::scripted::{Answer, Control, ScriptedLoader};

const SPEECH: &str = "the quick brown fox jumps over the lazy dog and goes home to sleep";

struct World {
    host: Paraphym,
    control: Control,
    model: ModelName,
    _dir: TempDir,
}

async fn world(answer: Answer) -> World {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("scripted.gguf");
    std::fs::write(&path, b"the scripted loader reads no file").unwrap();
    let loader = ScriptedLoader::new(answer);
    let control = loader.control();
    let model = ModelName::new(path.to_str().unwrap());
    let host = Paraphym::builder()
        .models_dir(dir.path())
        .model(model.clone())
        .memory_limit(Bytes::mib(64))
        .loader(Arc::new(loader))
        .seed(7)
        .start()
        .await
        .unwrap();
    World {
        host,
        control,
        model,
        _dir: dir,
    }
}

fn speech() -> Answer {
    Answer::Text(SPEECH.to_owned())
}

/// Everything said, and how it ended. Fails unless there is exactly one end and nothing behind it.
async fn whole(
    mut stream: impl futures_util::Stream<Item = GenerationEvent> + Unpin,
) -> (String, Result<FinishReason, GenerationError>) {
    let mut said = String::new();
    let mut end = None;
    while let Some(event) = stream.next().await {
        assert!(end.is_none(), "something came behind the end: {event:?}");
        match event {
            GenerationEvent::Text(text) => said.push_str(&text),
            GenerationEvent::Finished { reason, .. } => end = Some(Ok(reason)),
            GenerationEvent::Failed(error) => end = Some(Err(error)),
            GenerationEvent::Queued { .. }
            | GenerationEvent::Loading { .. }
            | GenerationEvent::Prefill { .. } => {}
        }
    }
    (said, end.expect("a stream ends with a terminal event"))
}

async fn leased_for_sequences(host: &Paraphym) -> Bytes {
    host.status()
        .await
        .unwrap()
        .models
        .models
        .iter()
        .map(|m| m.kv_leased)
        .sum()
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_decode_step_costs_the_asker_nothing() {
    let world = world(speech()).await;
    let mut events = world.host.events();
    world.control.panic_at(4);

    let (said, end) = whole(world.host.prompt("hello").await.unwrap()).await;
    assert_eq!(
        said, SPEECH,
        "the stream went on with the text it would have had"
    );
    assert_eq!(end, Ok(FinishReason::Stop));

    // The lane crashed, rested and came back; nobody else did anything.
    let mut lived = Vec::new();
    while let Ok(event) = events.try_recv() {
        let step = match event.what {
            Lifecycle::Crashed { reason } => {
                assert!(reason.contains("scripted"), "{reason}");
                "crashed"
            }
            Lifecycle::BackingOff { .. } => "backing off",
            Lifecycle::Restarted { restarts: 1 } => "restarted",
            _ => continue,
        };
        assert!(event.child.as_str().contains("lane"), "{}", event.child);
        lived.push(step);
    }
    assert_eq!(lived, ["crashed", "backing off", "restarted"]);

    let (said, end) = whole(world.host.prompt("again").await.unwrap()).await;
    assert_eq!((said.as_str(), end), (SPEECH, Ok(FinishReason::Stop)));
    assert_eq!(leased_for_sequences(&world.host).await, Bytes::ZERO);

    world.host.unload(&world.model).await.unwrap();
    assert_eq!(world.host.memory().await.unwrap().leased, Bytes::ZERO);
    assert!(world.host.shutdown().await.abandoned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_always_crashes_is_given_up_with_a_typed_error_and_the_next_is_answered() {
    let world = world(speech()).await;
    world.control.panic_next(20);
    let (_, end) = whole(world.host.prompt("hello").await.unwrap()).await;
    assert!(
        matches!(end, Err(GenerationError::EngineCrashed { .. })),
        "{end:?}"
    );
    world.control.panic_next(0);

    let (said, end) = whole(world.host.prompt("again").await.unwrap()).await;
    assert_eq!((said.as_str(), end), (SPEECH, Ok(FinishReason::Stop)));
    assert_eq!(leased_for_sequences(&world.host).await, Bytes::ZERO);
    world.host.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_stops_the_computing_within_one_step() {
    let world = world(Answer::Counting).await;
    let mut stream = world.host.prompt("hello").await.unwrap();
    while let Some(event) = stream.next().await {
        if matches!(event, GenerationEvent::Text(_)) {
            break;
        }
    }
    let before = world.control.counts();
    drop(stream);
    world
        .control
        .wait_until(|counts| counts.open_now() == 0)
        .await;
    // The engine may have left for one more step, on its own thread, before the drop. There is no other.
    let after = world.control.counts().steps;
    assert!(
        after <= before.steps + 1,
        "{} steps became {after}",
        before.steps
    );
    assert_eq!(leased_for_sequences(&world.host).await, Bytes::ZERO);
    world.host.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_conversation_remembers() {
    let world = world(speech()).await;
    let conversation = ConversationId::new("tea");
    let settings = TurnSettings::new(world.model.clone());
    for text in ["one", "two"] {
        let turn = world
            .host
            .ask(&conversation, text, settings.clone())
            .await
            .unwrap();
        assert_eq!(whole(turn).await.1, Ok(FinishReason::Stop));
    }
    let history = world.host.agents().history(&conversation).await.unwrap();
    let said: Vec<&str> = history.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(said, ["one", SPEECH, "two", SPEECH]);
    world.host.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn after_the_shutdown_no_task_is_left_and_another_start_works() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    for _ in 0..2 {
        assert_eq!(tasks(), 0);
        let world = world(speech()).await;
        assert_eq!(
            whole(world.host.prompt("hello").await.unwrap()).await.1,
            Ok(FinishReason::Stop)
        );
        assert!(tasks() > 0);
        let report = world.host.shutdown().await;
        assert!(report.abandoned.is_empty(), "{report:?}");
        assert_eq!(
            world.control.counts().engines,
            0,
            "the engine is gone with its lane"
        );
    }
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_says_what_it_abandoned() {
    let world = world(Answer::Counting).await;
    let gate = world.control.gate_step(3);
    let mut stream = world.host.prompt("hello").await.unwrap();
    while let Some(event) = stream.next().await {
        if matches!(event, GenerationEvent::Text(_)) {
            break;
        }
    }
    // The step is under way for as long as the gate is shut, so the answer cannot be finished in time.
    let report = world.host.shutdown_within(std::time::Duration::ZERO).await;
    drop(gate);
    assert!(!report.abandoned.is_empty(), "{report:?}");
    let last = stream.collect::<Vec<_>>().await.pop().unwrap();
    assert!(
        matches!(
            last,
            GenerationEvent::Failed(GenerationError::Unavailable { .. })
        ),
        "{last:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_here_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let host = Paraphym::builder()
        .models_dir(dir.path())
        .start()
        .await
        .unwrap();
    let refused = host.prompt("hello").await.expect_err("there is no model");
    let text = refused.to_string();
    assert!(
        matches!(refused, GenerationError::ModelNotFound { .. }),
        "{text}"
    );
    assert!(text.contains("paraphym model pull"), "{text}");
    host.shutdown().await;
}
