//! Conversations and turns at rest, with a real store in a file: what a process that ends leaves, another goes on with.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use crate::support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use conversation_store::messages::{OpenTurns, ReadTurn, TurnRecord, TurnState};
use domain::{GenerationError, RequestId, ToolOutcome, TurnError, TurnEvent};
use futures_util::future::BoxFuture;
#[cfg(feature = "memory")]
use paraphym_agent_worker::long_term::LongTerm;
use paraphym_agent_worker::recalls::{Recalls, Recollection};
use paraphym_agent_worker::{MemorySettings, TurnSettings};
use support::acted::{Counts, Does, Line, Play, Played, Script, all, id, settings, text};
use tokio::time::sleep;

const MOMENT: Duration = Duration::from_millis(50);

async fn play(script: &Script, tools: Vec<Played>, file: &Path, epoch: i64) -> Play {
    Play::with(script, tools, Some(file), epoch).await
}

async fn turn(play: &Play, turn: &RequestId) -> TurnRecord {
    let store = play.store.as_ref().unwrap();
    let turn = turn.clone();
    conversation_store::client::ask(store, ReadTurn { turn })
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_conversation_goes_on_in_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.sqlite");
    let script = || Script::new([vec![Line::Call("t", "{}")], vec![Line::Text("It is so.")]]);
    let tool = || vec![Played::new("t", Does::Answer("done", MOMENT))];
    let first = play(&script(), tool(), &file, 1).await;
    let stream = first.ask("Go", settings()).await;
    let name = stream.id().clone();
    all(stream).await;
    assert_eq!(turn(&first, &name).await.state, TurnState::Done);
    assert_eq!(turn(&first, &name).await.steps.len(), 4);
    let said = first.history().await;
    first.end().await;

    let words = script();
    let second = play(&words, tool(), &file, 2).await;
    assert_eq!(second.history().await, said);
    let stream = second.ask("More", settings()).await;
    assert_ne!(stream.id(), &name);
    all(stream).await;
    assert_eq!(words.shown(0)[..4], said);
    assert_eq!(words.shown(0)[4], "user: More");
    assert_eq!(second.agents.clear(&id()).await, Ok(8));
    second.end().await;

    let third = play(&script(), tool(), &file, 3).await;
    assert_eq!(third.history().await, [""; 0]);
    let loaded = vec![domain::Message::user("Q"), domain::Message::assistant("A")];
    assert_eq!(third.agents.load(&id(), loaded).await, Ok(2));
    third.end().await;
    let fourth = play(&script(), tool(), &file, 4).await;
    assert_eq!(fourth.history().await, ["user: Q", "assistant: A"]);
    fourth.end().await;
}

/// A swept conversation is read back.
#[tokio::test(start_paused = true)]
async fn what_is_at_rest_is_never_forgotten_by_the_shelf() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.sqlite");
    let script = Script::new([vec![Line::Text("Hello.")]]);
    let play = play(&script, Vec::new(), &file, 1).await;
    all(play.ask("Hi", settings()).await).await;
    // The worker ends, and with the process's other conversations the shelf's place is taken.
    sleep(Duration::from_mins(11)).await;
    for n in 0..300 {
        let other = domain::ConversationId::new(format!("o{n}"));
        let asked = play.agents.ask(&other, "Hi", settings()).await;
        all(asked.unwrap()).await;
    }
    sleep(Duration::from_mins(11)).await;
    assert_eq!(play.history().await, ["user: Hi", "assistant: Hello."]);
    play.end().await;
}

/// A file, two tools that count, and a story with both of them.
struct Lives {
    folder: tempfile::TempDir,
    once: Arc<Counts>,
    again: Arc<Counts>,
}

impl Lives {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            once: Arc::default(),
            again: Arc::default(),
        }
    }

    /// The process of this number.
    async fn process(&self, number: i64) -> Play {
        let script = Script::new([
            vec![
                Line::Text("I look. "),
                Line::Call("once", "{}"),
                Line::Call("again", "{}"),
            ],
            vec![Line::Text("That is all.")],
        ]);
        let again = Played::new("again", Does::Answer("2", MOMENT)).idempotent();
        let tools = vec![
            Played::new("once", Does::Answer("1", MOMENT)).counted(&self.once),
            again.counted(&self.again),
        ];
        let file = self.folder.path().join("c.sqlite");
        play(&script, tools, &file, number).await
    }

    /// The first process begins a turn and ends so many milliseconds later, without a word.
    async fn begin_and_die(&self, after: u64) -> RequestId {
        let first = self.process(1).await;
        let stream = first.ask("Go", settings()).await;
        let name = stream.id().clone();
        sleep(Duration::from_millis(after)).await;
        first.root.stop(Duration::ZERO).await;
        // A dead process writes no more: its last transaction is over when the file is closed, and with that its log gone.
        while self.folder.path().join("c.sqlite-wal").exists() {
            sleep(Duration::from_millis(1)).await;
        }
        name
    }
}

async fn open_turns(play: &Play) -> Vec<TurnRecord> {
    let store = play.store.as_ref().unwrap();
    let conversation = id();
    conversation_store::client::ask(store, OpenTurns { conversation })
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_of_the_process_a_turn_is_interrupted_and_continue_picks_it_up() {
    let (mut continued, mut unknown) = (0, 0);
    for at in (0..120).step_by(3) {
        let lives = Lives::new();
        let name = lives.begin_and_die(at).await;
        let second = lives.process(2).await;
        let left = open_turns(&second).await;
        let stream = second
            .agents
            .continue_turn(&id(), settings())
            .await
            .unwrap();
        assert_eq!(stream.is_some(), !left.is_empty(), "at {at} ms");
        let Some(stream) = stream else {
            // It had not begun, or had ended.
            second.end().await;
            continue;
        };
        assert_eq!(left[0].state, TurnState::Interrupted);
        assert_eq!(stream.id(), &name);
        let events = all(stream).await;
        assert!(
            text(&events).ends_with("That is all."),
            "at {at} ms: {events:?}"
        );
        continued += 1;
        unknown += u32::from(events.iter().any(|event| {
            let TurnEvent::ToolEnded { outcome, .. } = event else {
                return false;
            };
            matches!(outcome, ToolOutcome::Unknown(_))
        }));
        assert!(lives.once.begun.load(Ordering::SeqCst) <= 1, "at {at} ms");
        assert_eq!(turn(&second, &name).await.state, TurnState::Done);
        let history = second.history().await;
        assert_eq!(history.len(), 5, "{history:?}");
        assert_eq!(history[..2], ["user: Go", "assistant: I look. "]);
        let more = second.agents.continue_turn(&id(), settings()).await;
        assert!(more.unwrap().is_none());
        second.end().await;
    }
    assert!(continued > 10 && unknown > 3, "{continued} {unknown}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_and_a_cancelled_turn_are_at_rest_as_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.sqlite");
    let failed = GenerationError::EngineCrashed {
        crashes: 3,
        reason: "bad".into(),
    };
    let script = Script::new([vec![Line::Text("I "), Line::Fail(failed)]]);
    let first = play(&script, Vec::new(), &file, 1).await;
    let stream = first.ask("Go", settings()).await;
    let name = stream.id().clone();
    let events = all(stream).await;
    assert!(matches!(
        events.last(),
        Some(TurnEvent::Failed(TurnError::Generation(_)))
    ));
    assert_eq!(turn(&first, &name).await.state, TurnState::Failed);
    first.end().await;

    let script = Script::new([vec![Line::Text("I "), Line::Hang]]);
    let second = play(&script, Vec::new(), &file, 2).await;
    let mut stream = second.ask("Go", settings()).await;
    let name = stream.id().clone();
    while !matches!(stream.next().await, Some(TurnEvent::Text(_))) {}
    second.agents.cancel(&id(), &name).await.unwrap();
    all(stream).await;
    assert_eq!(turn(&second, &name).await.state, TurnState::Cancelled);
    let said = ["user: Go", "assistant: I ", "user: Go", "assistant: I "];
    assert_eq!(second.history().await, said);
    second.end().await;
}

fn remembering() -> TurnSettings {
    TurnSettings {
        memory: Some(MemorySettings {
            remember: true,
            ..MemorySettings::default()
        }),
        ..settings()
    }
}

#[cfg(feature = "memory")]
#[tokio::test(start_paused = true)]
async fn what_was_said_is_remembered_and_recalled_in_another_conversation_and_cited() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.sqlite");
    let script = Script::new([vec![Line::Text("Your cat is called Minka.")]]);
    let mut play = play(&script, Vec::new(), &file, 1).await;
    let store = play.store.clone().unwrap();
    let retrieval = retrieval::Retrieval::new(store, None, retrieval::RetrievalConfig::default());
    let memory = LongTerm::new(retrieval, Arc::new(|| 1_700_000_000_000));
    play.agents = play.agents.clone().with_recalls(Arc::new(memory));
    let events = all(play.ask("My cat is called Minka", remembering()).await).await;
    let recalled = |event: &TurnEvent| matches!(event, TurnEvent::Recalled { .. });
    // Nothing was found, and it is told that words alone were searched.
    assert!(matches!(
        events.iter().find(|event| recalled(event)),
        Some(TurnEvent::Recalled { citations, .. }) if citations.is_empty()
    ));

    let other = domain::ConversationId::new("other");
    let asked = play
        .agents
        .ask(&other, "What is my cat called?", remembering());
    let events = all(asked.await.unwrap()).await;
    let TurnEvent::Recalled {
        citations,
        without_meaning,
    } = &events[0]
    else {
        panic!("{events:?}");
    };
    assert_eq!(citations.len(), 1);
    assert_eq!(
        without_meaning.as_deref(),
        Some("there is no embedding model")
    );
    assert!(citations[0].source.starts_with("memory "), "{citations:?}");
    let shown = script.shown(1);
    assert!(shown[0].starts_with("system: What may help"), "{shown:?}");
    assert!(shown[0].contains("Minka"), "{shown:?}");
    assert_eq!(shown[1], "user: What is my cat called?");
    play.end().await;
}

/// Never answers.
struct Slow;

impl Recalls for Slow {
    fn recall(
        &self,
        _: &domain::ConversationId,
        _: &str,
        _: &MemorySettings,
    ) -> BoxFuture<'static, Result<Recollection, String>> {
        Box::pin(std::future::pending())
    }

    fn remember(
        &self,
        _: &domain::ConversationId,
        _: &str,
        _: &str,
        _: &MemorySettings,
    ) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(std::future::ready(Err("no".to_owned())))
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_takes_too_long_is_gone_without() {
    let script = Script::new([vec![Line::Text("Hello.")]]);
    let mut play = Play::start(&script, Vec::new()).await;
    play.agents = play.agents.clone().with_recalls(Arc::new(Slow));
    let began = tokio::time::Instant::now();
    let events = all(play.ask("Hi", remembering()).await).await;
    assert_eq!(text(&events), "Hello.");
    assert_eq!(
        events[0],
        TurnEvent::Recalled {
            citations: Vec::new(),
            without_meaning: Some("nothing was found within 5s".to_owned()),
        }
    );
    assert_eq!(began.elapsed().as_secs(), 5);
    play.end().await;
}
