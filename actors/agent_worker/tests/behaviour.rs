//! Real workers, a real model host, a scripted model, a paused clock.

#![allow(clippy::panic, reason = "helpers of tests")]

use crate::support;

use std::time::Duration;

use domain::{ConversationId, GenerationError, Message, RequestId, TurnError, TurnEvent};
use paraphym_agent_worker::{Config, RunTurn};
use supervision::AskError;
use support::{Boom, Scene, first_text, hear, id, settings};
use testkit::scripted::Answer;
use tokio::sync::mpsc;
use tokio::time::sleep;

fn hello() -> Answer {
    Answer::Text("Hello dear world".to_owned())
}

fn is_cancelled(event: &TurnEvent) -> bool {
    *event == TurnEvent::Failed(GenerationError::Cancelled.into())
}

fn prompt_tokens(event: &TurnEvent) -> u32 {
    match event {
        TurnEvent::Finished { usage, .. } => usage.prompt_tokens,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn turns_run_in_order_and_the_model_hears_the_history() {
    let scene = Scene::start(hello(), Config::default()).await;
    let first = scene.ask("Hi", settings(0, 50)).await;
    let second = scene.ask("More", settings(0, 50)).await;
    let ((said_first, end_first), (said_second, end_second)) =
        tokio::join!(hear(first), hear(second));
    assert_eq!(
        (said_first.as_str(), said_second.as_str()),
        ("Hello dear world", "Hello dear world")
    );
    // The scripted model reads one token per byte of "role: content\n".
    let heard = "user: Hi\n";
    assert_eq!(prompt_tokens(&end_first) as usize, heard.len());
    let heard = "user: Hi\nassistant: Hello dear world\nuser: More\n";
    assert_eq!(prompt_tokens(&end_second) as usize, heard.len());
    assert_eq!(
        scene.history().await,
        [
            "user: Hi",
            "assistant: Hello dear world",
            "user: More",
            "assistant: Hello dear world"
        ]
    );
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_waits_behind_the_running_one_and_hears_its_place() {
    let scene = Scene::start(hello(), Config::default()).await;
    let gate = scene.control.gate_step(1);
    let first = scene.ask("1", settings(0, 50)).await;
    scene.control.wait_until(|c| c.steps == 1).await;
    let mut second = scene.ask("2", settings(0, 50)).await;
    assert_eq!(second.next().await, Some(TurnEvent::Queued { position: 1 }));
    assert_eq!(scene.control.counts().opened, 1);
    gate.release();
    assert_eq!(hear(first).await.0, "Hello dear world");
    assert_eq!(hear(second).await.0, "Hello dear world");
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_stops_compute_within_one_step() {
    let scene = Scene::start(Answer::Counting, Config::default()).await;
    let gate = scene.control.gate_step(5);
    let mut stream = scene.ask("Count", settings(0, 200)).await;
    assert!(first_text(&mut stream).await.starts_with("0 "));
    scene.control.wait_until(|c| c.steps == 5).await;
    drop(stream);
    // The drop travels while the fifth step is held (no time passes while a thread computes).
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.release();
    scene.control.wait_until(|c| c.open_now() == 0).await;
    assert!(
        scene.control.counts().steps <= 6,
        "{:?}",
        scene.control.counts()
    );
    // What was heard before is remembered, and the next turn is answered.
    let (said, _) = hear(scene.ask("Again", settings(7, 2)).await).await;
    assert_eq!(said, "7 8 ");
    assert_eq!(scene.history().await[0], "user: Count");
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_a_waiting_turn_never_asks_the_model() {
    let scene = Scene::start(hello(), Config::default()).await;
    let gate = scene.control.gate_step(1);
    let first = scene.ask("1", settings(0, 50)).await;
    scene.control.wait_until(|c| c.steps == 1).await;
    drop(scene.ask("2", settings(0, 50)).await);
    gate.release();
    hear(first).await;
    assert_eq!(scene.history().await.len(), 2);
    assert_eq!(scene.control.counts().opened, 1);
    scene.end().await;
}

/// From another task, while the reader waits: what was said is kept, and remembered when the stream has ended.
#[tokio::test(start_paused = true)]
async fn a_canceller_stops_compute_within_one_step_and_the_answer_keeps_what_was_said() {
    let scene = Scene::start(Answer::Counting, Config::default()).await;
    let gate = scene.control.gate_step(5);
    let stream = scene.ask("Count", settings(0, 200)).await;
    let canceller = stream.canceller();
    let elsewhere = async {
        scene.control.wait_until(|c| c.steps == 5).await;
        // What was said before the fifth step is on its way.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(canceller.clone().cancel());
    };
    let (collected, ()) = tokio::join!(stream.collect(), elsewhere);
    let unfinished = collected.unwrap_err();
    assert_eq!(unfinished.error, GenerationError::Cancelled.into());
    assert!(unfinished.text.starts_with("0 1 "), "{unfinished:?}");
    let answer = format!("assistant: {}", unfinished.text);
    assert_eq!(scene.history().await, ["user: Count", &answer]);
    assert!(!canceller.cancel(), "it is over");
    gate.release();
    scene.control.wait_until(|c| c.open_now() == 0).await;
    assert!(scene.control.counts().steps <= 6);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_turn_that_waits_ends_at_once_and_never_asks_the_model() {
    let scene = Scene::start(hello(), Config::default()).await;
    let gate = scene.control.gate_step(1);
    let first = scene.ask("1", settings(0, 50)).await;
    scene.control.wait_until(|c| c.steps == 1).await;
    let second = scene.ask("2", settings(0, 50)).await;
    assert!(second.cancel());
    assert!(is_cancelled(&hear(second).await.1));
    gate.release();
    assert_eq!(first.collect().await.unwrap().text, "Hello dear world");
    assert_eq!(scene.history().await.len(), 2);
    assert_eq!(scene.control.counts().opened, 1);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn cancelling_by_name_ends_a_running_and_a_waiting_turn() {
    let scene = Scene::start(Answer::Counting, Config::default()).await;
    let gate = scene.control.gate_step(4);
    let mut running = scene.ask("Count", settings(0, 200)).await;
    assert!(first_text(&mut running).await.starts_with("0 "));
    let waiting = scene.ask("Wait", settings(0, 200)).await;
    assert!(scene.agents.cancel(&id(), waiting.id()).await.unwrap());
    assert!(is_cancelled(&hear(waiting).await.1));
    assert!(scene.agents.cancel(&id(), running.id()).await.unwrap());
    let name = running.id().clone();
    assert!(
        is_cancelled(&hear(running).await.1),
        "the model is still held in its step"
    );
    assert!(
        !scene.agents.cancel(&id(), &name).await.unwrap(),
        "it is over"
    );
    gate.release();
    scene.control.wait_until(|c| c.open_now() == 0).await;
    assert!(scene.control.counts().steps <= 5);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_stall_the_worker() {
    let scene = Scene::start(Answer::Counting, Config::default()).await;
    let stream = scene.ask("Count", settings(0, 900)).await;
    // Nobody reads: the answer stands still once every place but the last event's is taken.
    sleep(Duration::from_secs(5)).await;
    assert!(scene.agents.cancel(&id(), stream.id()).await.unwrap());
    let (said, last) = hear(stream).await;
    assert!(is_cancelled(&last));
    assert!(Answer::counting(0, 900).starts_with(&said) && !said.is_empty());
    assert_eq!(
        scene.history().await[1],
        format!("assistant: {said}"),
        "only what was taken was said"
    );
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_refused_and_bad_input_named() {
    let config = Config {
        waiting_turns: 2,
        ..Config::default()
    };
    let scene = Scene::start(hello(), config).await;
    let gate = scene.control.gate_step(1);
    let mut streams = Vec::new();
    for text in ["1", "2", "3"] {
        streams.push(scene.ask(text, settings(0, 50)).await);
    }
    let refused = scene
        .agents
        .ask(&id(), "4", settings(0, 50))
        .await
        .map(|_| ());
    assert!(
        matches!(refused, Err(GenerationError::Overloaded { waiting: 2, .. })),
        "{refused:?}"
    );
    for (text, settings, field) in [
        (" ".to_owned(), settings(0, 50), "text"),
        ("x".repeat(100_001), settings(0, 50), "text"),
        ("x".to_owned(), settings(0, 0), "max_tokens"),
    ] {
        match scene.agents.ask(&id(), text, settings).await {
            Err(GenerationError::Invalid(error)) => assert_eq!(error.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    gate.release();
    for stream in streams {
        assert_eq!(hear(stream).await.0, "Hello dear world");
    }
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn names_and_channels_that_cannot_be_used_are_refused() {
    let scene = Scene::start(hello(), Config::default()).await;
    for name in ["", "a/b", "a b", &"x".repeat(129)] {
        match scene.agents.conversation(&ConversationId::new(name)).await {
            Err(GenerationError::Invalid(error)) => assert_eq!(error.field, "conversation"),
            other => panic!("{name:?}: {other:?}"),
        }
    }
    let (events, _heard) = mpsc::channel(1);
    let turn = RunTurn {
        id: RequestId::new("t"),
        text: "Hi".into(),
        settings: settings(0, 50),
        events,
    };
    match scene.handle().await.ask(turn, Duration::from_secs(1)).await {
        Err(AskError::Handler(GenerationError::Invalid(error))) => {
            assert_eq!(error.field, "events");
        }
        other => panic!("{other:?}"),
    }
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_ends_and_the_conversation_goes_on_later() {
    let scene = Scene::start(hello(), Config::default()).await;
    hear(scene.ask("Hi", settings(0, 50)).await).await;
    let handle = scene.handle().await;
    sleep(Duration::from_secs(599)).await;
    assert!(
        scene.worker().await.is_some(),
        "it is not idle for long enough"
    );
    sleep(Duration::from_secs(2)).await;
    assert!(
        scene.worker().await.is_none(),
        "the supervisor has forgotten it"
    );
    let late = handle
        .ask(paraphym_agent_worker::ReadHistory, Duration::from_secs(1))
        .await;
    assert!(matches!(late, Err(AskError::Down { .. })), "{late:?}");
    let (_, end) = hear(scene.ask("More", settings(0, 50)).await).await;
    let heard = "user: Hi\nassistant: Hello dear world\nuser: More\n";
    assert_eq!(prompt_tokens(&end) as usize, heard.len());
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_open_turn_is_not_idleness() {
    let config = Config {
        idle: Duration::from_secs(5),
        ..Config::default()
    };
    let scene = Scene::start(Answer::Counting, config).await;
    let stream = scene.ask("Count", settings(0, 900)).await;
    // Nobody reads, so the turn stays open.
    sleep(Duration::from_mins(1)).await;
    let worker = scene.worker().await.unwrap();
    assert!(
        worker.uptime.is_some_and(|up| up >= Duration::from_mins(1)),
        "{worker:?}"
    );
    assert_eq!(hear(stream).await.0, Answer::counting(0, 900));
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn no_message_is_lost_between_two_workers() {
    let config = Config {
        idle: Duration::from_secs(10),
        ..Config::default()
    };
    let scene = Scene::start(hello(), config).await;
    for round in 0..20 {
        let (said, _) = hear(scene.ask("Hi", settings(0, 50)).await).await;
        assert_eq!(said, "Hello dear world", "round {round}");
        // The next ask and the idle stop fall on the same instant.
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(scene.history().await.len(), 40);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_running_turn_goes_on_and_the_waiting_ones_and_the_history_are_kept() {
    let scene = Scene::start(Answer::Counting, Config::default()).await;
    hear(scene.ask("Hi", settings(0, 2)).await).await;
    // Nobody reads it, so it still runs when the worker crashes.
    let running = scene.ask("Run", settings(0, 900)).await;
    let waiting = scene.ask("Wait", settings(5, 2)).await;
    sleep(Duration::from_secs(1)).await;
    let crashed = scene.handle().await.ask(Boom, Duration::from_secs(1)).await;
    assert!(
        matches!(crashed, Err(AskError::Crashed { .. })),
        "{crashed:?}"
    );
    let (said, last) = hear(running).await;
    assert!(matches!(last, TurnEvent::Finished { .. }), "{last:?}");
    assert_eq!(said, Answer::counting(0, 900));
    assert_eq!(hear(waiting).await.0, "5 6 ");
    assert_eq!(
        hear(scene.ask("Next", settings(7, 2)).await).await.0,
        "7 8 "
    );
    let said = format!("assistant: {said}");
    let expected = [
        "user: Hi",
        "assistant: 0 1 ",
        "user: Run",
        &said,
        "user: Wait",
        "assistant: 5 6 ",
        "user: Next",
        "assistant: 7 8 ",
    ];
    assert_eq!(scene.history().await, expected);
    assert_eq!(scene.worker().await.unwrap().restarts, 1);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_crashes_its_worker_again_and_again_is_given_up() {
    let config = Config {
        crashes_per_minute: 100,
        ..Config::default()
    };
    let scene = Scene::start(Answer::Counting, config).await;
    let running = scene.ask("Run", settings(0, 900)).await;
    for _ in 0..paraphym_agent_worker::agent_run::LIVES {
        sleep(Duration::from_secs(1)).await;
        let crashed = scene.handle().await.ask(Boom, Duration::from_mins(5)).await;
        assert!(
            matches!(crashed, Err(AskError::Crashed { .. })),
            "{crashed:?}"
        );
    }
    let (said, last) = hear(running).await;
    assert!(Answer::counting(0, 900).starts_with(&said) && !said.is_empty());
    match last {
        TurnEvent::Failed(TurnError::Generation(GenerationError::Unavailable {
            reason, ..
        })) => assert!(reason.contains("given up"), "{reason}"),
        other => panic!("{other:?}"),
    }
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashed_engine_step_is_not_the_conversations_concern() {
    let scene = Scene::start(hello(), Config::default()).await;
    scene.control.panic_at(2);
    assert_eq!(
        hear(scene.ask("Hi", settings(0, 50)).await).await.0,
        "Hello dear world"
    );
    assert_eq!(scene.worker().await.unwrap().restarts, 0);
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_accepted_turns_finish() {
    let scene = Scene::start(hello(), Config::default()).await;
    let first = scene.ask("1", settings(0, 50)).await;
    let second = scene.ask("2", settings(0, 50)).await;
    let (report, first, second) = tokio::join!(
        scene.root.stop(Duration::from_mins(1)),
        hear(first),
        hear(second)
    );
    assert_eq!(report.abandoned, []);
    assert_eq!(
        (first.0.as_str(), second.0.as_str()),
        ("Hello dear world", "Hello dear world")
    );
}

#[tokio::test(start_paused = true)]
async fn a_turn_cut_by_the_deadline_is_named_and_its_stream_ends() {
    let scene = Scene::start(Answer::Counting, Config::default()).await;
    // Nobody reads, so this turn cannot end by itself.
    let stream = scene.ask("Count", settings(0, 900)).await;
    let report = scene.root.stop(Duration::from_mins(1)).await;
    let what: Vec<&str> = report.abandoned.iter().map(|a| a.what.as_str()).collect();
    assert!(what.contains(&"turn c1/turn-1"), "{what:?}");
    let (_, last) = hear(stream).await;
    assert!(
        matches!(
            last,
            TurnEvent::Failed(TurnError::Generation(GenerationError::Unavailable { .. }))
        ),
        "{last:?}"
    );
    let late = scene
        .agents
        .ask(&id(), "Hi", settings(0, 50))
        .await
        .map(|_| ());
    assert!(
        matches!(late, Err(GenerationError::Unavailable { .. })),
        "{late:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn live_conversations_are_bounded_and_a_seat_comes_back() {
    let config = Config {
        live_conversations: 1,
        ..Config::default()
    };
    let scene = Scene::start(hello(), config).await;
    hear(scene.ask("Hi", settings(0, 50)).await).await;
    let other = ConversationId::new("c2");
    let refused = scene
        .agents
        .ask(&other, "Hi", settings(0, 50))
        .await
        .map(|_| ());
    assert!(
        matches!(refused, Err(GenerationError::Overloaded { .. })),
        "{refused:?}"
    );
    assert_eq!(
        hear(scene.ask("Hi", settings(0, 50)).await).await.0,
        "Hello dear world"
    );
    sleep(Duration::from_secs(601)).await;
    let answered = scene
        .agents
        .ask(&other, "Hi", settings(0, 50))
        .await
        .unwrap();
    assert_eq!(hear(answered).await.0, "Hello dear world");
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn history_can_be_loaded_and_cleared() {
    let scene = Scene::start(hello(), Config::default()).await;
    let loaded = vec![Message::user("Q"), Message::assistant("A")];
    assert_eq!(scene.agents.load(&id(), loaded).await, Ok(2));
    let with_system = with_system_text("Be brief");
    let (_, end) = hear(scene.ask("Hi", with_system).await).await;
    let heard = "system: Be brief\nuser: Q\nassistant: A\nuser: Hi\n";
    assert_eq!(prompt_tokens(&end) as usize, heard.len());
    let refused = scene.agents.load(&id(), vec![Message::system("S")]).await;
    assert!(
        matches!(refused, Err(GenerationError::Invalid(_))),
        "{refused:?}"
    );
    assert_eq!(scene.agents.clear(&id()).await, Ok(4));
    assert_eq!(scene.history().await, Vec::<String>::new());
    scene.end().await;
}

fn with_system_text(system: &str) -> paraphym_agent_worker::TurnSettings {
    paraphym_agent_worker::TurnSettings {
        system: Some(system.to_owned()),
        ..settings(0, 50)
    }
}
