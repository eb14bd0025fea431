//! The whole tree with a scripted engine: what an embedding app is promised.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use paraphym_candle::conversation_store::messages::ListConversations;
use paraphym_candle::conversation_store::{StoreConfig, client};
use paraphym_candle::{
    Bytes, ConversationId, FinishReason, GenerationError, GenerationEvent, Lifecycle, ModelName,
    ModelState, Paraphym, StartError, TurnEvent, TurnSettings, chat_config,
};
use tempfile::TempDir;
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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
            | GenerationEvent::Prefill { .. }
            | GenerationEvent::Logprobs(_)
            | GenerationEvent::ToolCall(_) => {}
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
            Lifecycle::Restarted { restarts: 1, .. } => "restarted",
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
        let events: Vec<TurnEvent> = StreamExt::collect(turn).await;
        assert!(
            matches!(
                events.last(),
                Some(TurnEvent::Finished {
                    reason: FinishReason::Stop,
                    ..
                })
            ),
            "{events:?}"
        );
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
    let last = StreamExt::collect::<Vec<_>>(stream).await.pop().unwrap();
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

/// Looks until it is so. On a paused clock this takes no time.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..10_000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to be");
}

fn set(key: &str, text: &str) -> chat_config::Update {
    chat_config::Update {
        who: "test".to_owned(),
        expected: None,
        changes: vec![chat_config::Change::Text {
            key: key.to_owned(),
            text: text.to_owned(),
        }],
    }
}

#[tokio::test(start_paused = true)]
async fn settings_reach_the_parts_at_the_start_and_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(
        &file,
        "[memory]\nlimit = \"64MiB\"\n[model]\ntemperature = 1.5\n",
    )
    .unwrap();
    let host = Paraphym::builder()
        .config_file(&file)
        .models_dir(dir.path())
        .loader(Arc::new(ScriptedLoader::new(speech())))
        .seed(7)
        .start()
        .await
        .unwrap();
    let configured = async || host.memory().await.unwrap().configured;
    assert_eq!(configured().await, Some(Bytes::mib(64)));
    let turn = host.turn_settings();
    assert_eq!((turn.sampling.temperature, turn.system), (1.5, None));

    let update = async |key, text| {
        chat_config::client::update(host.config(), set(key, text))
            .await
            .unwrap()
    };
    update("memory.limit", "32MiB").await;
    until(async || configured().await == Some(Bytes::mib(32))).await;
    update("memory.poll", "7s").await;
    let poll = async || host.memory().await.unwrap().poll;
    until(async || poll().await == Duration::from_secs(7)).await;
    update("model.temperature", "0.5").await;
    update("personality.tone", "casual").await;
    let turn = host.turn_settings();
    let system = turn.system.as_deref();
    assert_eq!(
        (turn.sampling.temperature, system),
        (0.5, Some("Use a casual tone."))
    );
    assert!(std::fs::read_to_string(&file).unwrap().contains("32MiB"));

    // A model that is loaded goes when the time that is set now is over.
    let path = dir.path().join("scripted.gguf");
    std::fs::write(&path, b"the scripted loader reads no file").unwrap();
    let model = ModelName::new(path.to_str().unwrap());
    let (_, end) = whole(host.warm(&model).await.unwrap()).await;
    assert!(end.is_ok(), "{end:?}");
    let resident = async || {
        let models = host.status().await.unwrap().models.models;
        models.iter().any(|model| model.state == ModelState::Ready)
    };
    assert!(resident().await);
    update("model.keep_alive", "0").await;
    until(async || !resident().await).await;

    // The part that applies them crashes nobody, and what holds is told anew after any restart.
    let root = host.status().await.unwrap().tree;
    assert_eq!(
        root[0].id.as_str(),
        "chat_config",
        "the first child of the root"
    );
    assert!(host.shutdown().await.abandoned.is_empty());
}

#[tokio::test]
async fn answers_over_http_are_by_the_settings_that_hold_now() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scripted.gguf");
    std::fs::write(&path, b"the scripted loader reads no file").unwrap();
    let host = Paraphym::builder()
        .models_dir(dir.path())
        .model(ModelName::new(path.to_str().unwrap()))
        .memory_limit(Bytes::mib(64))
        .loader(Arc::new(ScriptedLoader::new(Answer::Counting)))
        .serve("127.0.0.1:0".parse().unwrap())
        .start()
        .await
        .unwrap();
    let address = host.address().await.unwrap();
    for max_tokens in ["3", "5"] {
        chat_config::client::update(host.config(), set("model.max_tokens", max_tokens))
            .await
            .unwrap();
        let answer = post(
            address,
            r#"{"messages":[{"role":"user","content":"count"}]}"#,
        )
        .await;
        let said = format!("\"completion_tokens\":{max_tokens},");
        assert!(answer.contains(&said), "{answer}");
    }
    assert!(host.shutdown().await.abandoned.is_empty());
}

#[tokio::test]
async fn what_is_asked_over_http_is_kept_nowhere_and_what_is_said_in_a_conversation_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scripted.gguf");
    std::fs::write(&path, b"the scripted loader reads no file").unwrap();
    let host = Paraphym::builder()
        .models_dir(dir.path())
        .model(ModelName::new(path.to_str().unwrap()))
        .conversations(StoreConfig::at(dir.path().join("server.db")))
        .loader(Arc::new(ScriptedLoader::new(Answer::Counting)))
        .serve("127.0.0.1:0".parse().unwrap())
        .start()
        .await
        .unwrap();
    let address = host.address().await.unwrap();
    let listed = async || {
        let wish = ListConversations {
            limit: 10,
            before: None,
        };
        let list = client::ask(host.conversations(), wish).await.unwrap();
        list.conversations.len()
    };
    let answer = post(
        address,
        r#"{"messages":[{"role":"user","content":"count"}],"max_tokens":3}"#,
    )
    .await;
    assert!(answer.contains("\"completion_tokens\":3"), "{answer}");
    assert_eq!(listed().await, 0);
    let mut settings = host.turn_settings();
    settings.sampling.max_tokens = 3;
    let mut turn = host
        .agents()
        .ask(&ConversationId::new("c"), "count", settings)
        .await
        .unwrap();
    while turn.next().await.is_some() {}
    assert_eq!(listed().await, 1);
    assert!(host.shutdown().await.abandoned.is_empty());
}

/// One request to the chat endpoint, and all that comes back.
async fn post(address: SocketAddr, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(start_paused = true)]
async fn what_an_app_chose_holds_and_without_a_file_nothing_is_written() {
    let world = world(speech()).await;
    chat_config::client::update(world.host.config(), set("memory.limit", "32MiB"))
        .await
        .unwrap();
    assert_eq!(world.host.settings().number, 2);
    // Asked after the applier heard of it: a revision later it has been told of both.
    chat_config::client::update(world.host.config(), set("model.seed", "3"))
        .await
        .unwrap();
    let configured = world.host.memory().await.unwrap().configured;
    assert_eq!(configured, Some(Bytes::mib(64)));
    assert_eq!(world.host.turn_settings().sampling.seed, 3);
    assert!(world.host.shutdown().await.abandoned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_bad_settings_file_keeps_the_tree_from_starting_and_names_the_field() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, "[limits]\nanswers = 0\n").unwrap();
    let refused = Paraphym::builder().config_file(&file).start().await;
    let Err(error @ StartError::Settings(_)) = refused else {
        panic!("it started");
    };
    assert!(error.to_string().contains("limits.answers = 0"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_this_build_has_not_got_keeps_the_tree_from_starting_and_names_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    // No build has both.
    let device = if cfg!(feature = "metal") {
        "cuda"
    } else {
        "metal"
    };
    std::fs::write(&file, format!("[model]\ndevice = \"{device}\"\n")).unwrap();
    let refused = Paraphym::builder().config_file(&file).start().await;
    let Err(error @ StartError::Device(_)) = refused else {
        panic!("it started");
    };
    let text = error.to_string();
    assert!(text.contains(&format!("model.device = {device}")), "{text}");
    assert!(text.contains(&format!("--features {device}")), "{text}");
}
