//! What is said to a turn while it runs: it is taken in before the next call of the model, through crashes too.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use crate::support;

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use conversation_store::messages::{ReadTurn, StepRecord, TurnState};
use domain::{ConversationId, GenerationError, RequestId, TurnEvent};
use paraphym_agent_worker::{Agents, SteerError, TurnSettings, TurnStream};
use support::acted::{Counts, Does, Line, Play, Played, Script, all, id, settings, text};
use tokio::time::sleep;

const MOMENT: Duration = Duration::from_millis(10);
const FRENCH: &str = "and in French";

async fn steer(play: &Play, turn: &RequestId, text: &str) -> Result<u32, SteerError> {
    play.agents.steer(&id(), turn, text).await
}

async fn until_text(stream: &mut TurnStream) {
    while !matches!(stream.next().await, Some(TurnEvent::Text(_))) {}
}

/// What was taken in, in order, and which call of the model followed.
fn taken_in(events: &[TurnEvent]) -> Vec<(u32, &str, u32)> {
    let mut all = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let TurnEvent::Steered { number, text } = event else {
            continue;
        };
        let call = events[at..].iter().find_map(|event| match event {
            TurnEvent::ModelCalled { number, .. } => Some(*number),
            _ => None,
        });
        all.push((*number, text.as_str(), call.unwrap()));
    }
    all
}

/// What the model is shown of what is remembered: what was said in a row is one message.
fn shown<T: AsRef<str>>(remembered: &[T]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for message in remembered {
        let message = message.as_ref();
        let text = message.strip_prefix("user: ");
        match (text, all.last_mut()) {
            (Some(text), Some(last)) if last.starts_with("user: ") => {
                last.push_str("\n\n");
                last.push_str(text);
            }
            _ => all.push(message.to_owned()),
        }
    }
    all
}

fn in_words() -> Script {
    Script::new([
        vec![Line::Text("It is green tea.")],
        vec![Line::Text("C'est le th\u{e9} vert.")],
    ])
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_told_more_while_it_answers_goes_on_and_answers_that_too() {
    let script = in_words();
    let play = Play::start(&script, Vec::new()).await;
    let mut stream = play.ask("Which tea?", settings()).await;
    let turn = stream.id().clone();
    until_text(&mut stream).await;
    assert_eq!(steer(&play, &turn, FRENCH).await, Ok(1));
    assert_eq!(steer(&play, &turn, "and loud").await, Ok(2));
    let events = all(stream).await;
    assert_eq!(taken_in(&events), [(1, FRENCH, 2), (2, "and loud", 2)]);
    assert!(text(&events).ends_with("is green tea.C'est le th\u{e9} vert."));
    let said = [
        "user: Which tea?",
        "assistant: It is green tea.",
        "user: and in French",
        "user: and loud",
    ];
    assert_eq!(script.shown(1), shown(&said));
    assert_eq!(play.history().await[..4], said);
    assert_eq!(play.history().await.len(), 5);
    // It is over: what is said now is a turn of its own.
    let refused = steer(&play, &turn, "and loud").await;
    assert_eq!(refused, Err(SteerError::Over { turn }));
    play.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_said_while_tools_run_is_read_behind_their_results() {
    let script = Script::new([
        vec![Line::Text("I look. "), Line::Call("t", "{}")],
        vec![Line::Text("Done.")],
    ]);
    let counts = Arc::new(Counts::default());
    let tool = Played::new("t", Does::Answer("42", MOMENT)).counted(&counts);
    let play = Play::start(&script, vec![tool]).await;
    let stream = play.ask("Go", settings()).await;
    let turn = stream.id().clone();
    let say = async {
        counts.began.notified().await;
        steer(&play, &turn, FRENCH).await
    };
    let (answer, said) = tokio::join!(stream.collect(), say);
    assert_eq!(said, Ok(1));
    let answer = answer.unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.before),
        ("Done.", vec!["I look. ".to_owned()])
    );
    assert_eq!((answer.tools.len(), answer.usage.prompt_tokens), (1, 20));
    assert_eq!(
        script.shown(1),
        [
            "user: Go",
            "assistant: I look. ",
            "tool: 42",
            "user: and in French"
        ]
    );
    play.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_waits_is_told_more_before_it_begins() {
    let script = Script::new([vec![Line::Text("Here."), Line::Hang]]);
    let play = Play::start(&script, Vec::new()).await;
    let mut first = play.ask("1", settings()).await;
    until_text(&mut first).await;
    let mut second = play.ask("2", settings()).await;
    let turn = second.id().clone();
    assert_eq!(steer(&play, &turn, FRENCH).await, Ok(1));
    drop(first);
    until_text(&mut second).await;
    assert_eq!(
        script.shown(1),
        ["user: 1", "assistant: Here.", "user: 2\n\nand in French",]
    );
    drop(second);
    play.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_taken_in_is_refused_and_says_what_to_do() {
    let script = Script::new([vec![Line::Text("Here."), Line::Hang]]);
    let play = Play::start(&script, Vec::new()).await;
    let mut stream = play.ask("Go", settings()).await;
    let turn = stream.id().clone();
    until_text(&mut stream).await;
    for number in 1..=8 {
        assert_eq!(steer(&play, &turn, "and more").await, Ok(number));
    }
    let never = RequestId::new("never");
    for (turn, text, words) in [
        (
            &turn,
            "and more",
            "steer = 9 texts that wait is not accepted: use fewer at a time",
        ),
        (
            &turn,
            " ",
            "text = \"\" is not accepted: use a text that is not empty",
        ),
        (
            &turn,
            &*"x".repeat(100_001),
            "text = 100001 characters is not accepted: use a shorter",
        ),
        (
            &never,
            "and more",
            "no turn never waits or runs here: ask anew",
        ),
    ] {
        let refused = steer(&play, turn, text).await.unwrap_err().to_string();
        assert!(refused.starts_with(words), "{refused}");
    }
    let other = ConversationId::new("a/b");
    let refused = play.agents.steer(&other, &turn, "and more").await;
    assert!(matches!(refused, Err(SteerError::Invalid(field)) if field.field == "conversation"));
    assert!(stream.cancel());
    let refused = steer(&play, &turn, "and more").await;
    assert_eq!(refused, Err(SteerError::Over { turn }));
    assert_eq!(
        stream.collect().await.unwrap_err().error,
        GenerationError::Cancelled.into()
    );

    let mut last = TurnSettings { ..settings() };
    last.limits.max_turns = 1;
    let mut stream = play.ask("Go", last).await;
    until_text(&mut stream).await;
    let turn = stream.id().clone();
    let refused = steer(&play, &turn, FRENCH).await;
    assert_eq!(refused, Err(SteerError::LastCall { turn, max_turns: 1 }));
    drop(stream);
    play.end().await;
}

/// When the stream has ended, what the turn was doing has stopped.
#[tokio::test(start_paused = true)]
async fn a_canceller_stops_the_tools_of_its_turn() {
    let script = Script::new([vec![Line::Text("I look. "), Line::Call("t", "{}")]]);
    let counts = Arc::new(Counts::default());
    let tool = Played::new("t", Does::Hang).counted(&counts);
    let play = Play::start(&script, vec![tool]).await;
    let stream = play.ask("Go", settings()).await;
    let canceller = stream.canceller();
    let stop = async {
        counts.began.notified().await;
        canceller.cancel()
    };
    let (collected, stopped) = tokio::join!(stream.collect(), stop);
    assert!(stopped);
    assert_eq!(collected.unwrap_err().text, "I look. ");
    assert_eq!(counts.open.load(Ordering::SeqCst), 0);
    assert_eq!(counts.cancelled.load(Ordering::SeqCst), 1);
    assert_eq!(play.history().await.len(), 3);
    play.end().await;
}

/// A story with a tool and two texts said meanwhile: one during the first answer, one during the second.
fn story() -> (Script, Vec<Played>) {
    let script = Script::new([
        vec![Line::Text("I look all about. "), Line::Call("t", "{}")],
        vec![Line::Text("So it is, I think.")],
        vec![Line::Text("C'est tout.")],
    ]);
    let tool = Played::new("t", Does::Answer("42", MOMENT)).idempotent();
    (script, vec![tool])
}

const TOLD: [&str; 7] = [
    "user: Go",
    "assistant: I look all about. ",
    "tool: 42",
    "user: and in French",
    "assistant: So it is, I think.",
    "user: and short",
    "assistant: C'est tout.",
];

/// Says both where they belong, as soon as the turn has come so far. Whoever drops the events cannot say more.
async fn hear_and_say(agents: &Agents, mut stream: TurnStream) -> Vec<TurnEvent> {
    let turn = stream.id().clone();
    let (mut events, mut call, mut said) = (Vec::new(), 0, 0);
    while let Some(event) = stream.next().await {
        match &event {
            TurnEvent::ModelCalled { number, .. } => call = *number,
            TurnEvent::Text(_) if call == said + 1 && call < 3 => {
                let text = [FRENCH, "and short"][said as usize];
                let told = agents.steer(&id(), &turn, text).await;
                said += u32::from(told.is_ok());
            }
            _ => {}
        }
        events.push(event);
    }
    events
}

/// Whenever the worker crashes, each text is taken in once and in its place.
#[tokio::test(start_paused = true)]
async fn a_crash_of_the_worker_neither_loses_nor_doubles_what_was_said() {
    for at in 0..45 {
        let (script, tools) = story();
        let play = Play::start(&script, tools).await;
        let stream = play.ask("Go", settings()).await;
        let crash = async {
            sleep(Duration::from_millis(at)).await;
            play.crash().await;
        };
        let (events, ()) = tokio::join!(hear_and_say(&play.agents, stream), crash);
        let both = [(1, FRENCH, 2), (2, "and short", 3)];
        assert_eq!(taken_in(&events), both, "at {at} ms");
        assert_eq!(play.history().await, TOLD, "at {at} ms");
        play.end().await;
    }
}

async fn steps(play: &Play, turn: &RequestId) -> Vec<StepRecord> {
    let store = play.store.as_ref().unwrap();
    let turn = turn.clone();
    let read = conversation_store::client::ask(store, ReadTurn { turn }).await;
    read.unwrap()
        .steps
        .into_iter()
        .map(|step| step.record)
        .collect()
}

async fn process(file: &Path, epoch: i64) -> (Play, Script) {
    let (script, tools) = story();
    (Play::with(&script, tools, Some(file), epoch).await, script)
}

/// What is remembered of the story if the process that heard it died after so many whole answers and texts that were written
/// down: what was said during an answer that broke off is read before that is begun again.
fn told_after(answers: usize, texts: usize) -> Vec<&'static str> {
    let [user, look, tool, french, so, short, end] = TOLD;
    match (texts, answers) {
        (0, _) => vec![user, look, tool, so],
        (1, 0) => vec![user, french, look, tool, so],
        (1, _) => vec![user, look, tool, french, so],
        (_, 1) => vec![user, look, tool, french, short, so],
        _ => vec![user, look, tool, french, so, short, end],
    }
}

/// Whenever the process dies: what was written down of what was said is in the turn that is gone on with, in its place.
#[tokio::test(start_paused = true)]
async fn what_was_said_outlives_the_process() {
    let (mut continued, mut found) = (0, [0; 3]);
    for at in 0..45 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.sqlite");
        let (first, _) = process(&file, 1).await;
        let stream = first.ask("Go", settings()).await;
        let turn = stream.id().clone();
        // Whoever listens does not go before the process does: that would be a cancel.
        let mut hearing = pin!(hear_and_say(&first.agents, stream));
        tokio::select! {
            _ = &mut hearing => {}
            () = sleep(Duration::from_millis(at)) => {}
        }
        first.root.stop(Duration::ZERO).await;
        while folder.path().join("c.sqlite-wal").exists() {
            sleep(Duration::from_millis(1)).await;
        }
        let (second, script) = process(&file, 2).await;
        let stream = second
            .agents
            .continue_turn(&id(), settings())
            .await
            .unwrap();
        let Some(stream) = stream else {
            // It had not begun, or had ended.
            second.end().await;
            continue;
        };
        continued += 1;
        let before = steps(&second, &turn).await;
        let of_kind = |step: &&StepRecord| matches!(step, StepRecord::Steered { .. });
        let written = before.iter().filter(of_kind).count();
        found[written] += 1;
        let events = all(stream).await;
        assert!(
            matches!(events.last(), Some(TurnEvent::Finished { .. })),
            "{events:?}"
        );
        let history = second.history().await;
        let answered = |step: &&StepRecord| matches!(step, StepRecord::ModelCalled { .. });
        let expected = told_after(before.iter().filter(answered).count(), written);
        assert_eq!(history, expected, "at {at} ms, {before:?}");
        let last = script.shown(script.asked().len() - 1);
        assert_eq!(last, shown(&history[..history.len() - 1]), "at {at} ms");
        let store = second.store.as_ref().unwrap();
        let read = conversation_store::client::ask(store, ReadTurn { turn }).await;
        assert_eq!(read.unwrap().state, TurnState::Done);
        second.end().await;
    }
    assert!(
        continued > 10 && found.iter().all(|&n| n > 1),
        "{continued} {found:?}"
    );
}
