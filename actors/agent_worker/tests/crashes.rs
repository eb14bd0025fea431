//! A crash at any step of a seeded answer changes nothing of what the client receives: a hundred steps, each with the engine,
//! the conversation's worker, and both.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use crate::support;

use std::time::Duration;

use domain::{TurnEvent, Usage};
use paraphym_agent_worker::{Config, TurnStream};
use support::{Boom, Scene, hear, settings};
use testkit::scripted::Answer;

const STEPS: u64 = 100;
const TOKENS: u32 = 120;
const SEED: u64 = 421;

fn config() -> Config {
    Config {
        crashes_per_minute: 100_000,
        ..Config::default()
    }
}

async fn crash_worker(scene: &Scene) {
    let crashed = scene.handle().await.ask(Boom, Duration::from_mins(1)).await;
    assert!(crashed.is_err());
}

async fn received(stream: TurnStream) -> (String, Usage) {
    match hear(stream).await {
        (said, TurnEvent::Finished { usage, .. }) => (said, usage),
        (said, other) => panic!("{said:?}, {other:?}"),
    }
}

/// Asks, lets `fault` happen while the answer's step `at` is computed, and returns what was received.
async fn with_fault_at(at: u64, engine: bool, worker: bool) -> (String, Usage) {
    let scene = Scene::start(Answer::Counting, config()).await;
    if engine {
        scene.control.panic_at(at);
    }
    let gate = (worker && !engine).then(|| scene.control.gate_step(at));
    let stream = scene.ask("Count", settings(SEED, TOKENS)).await;
    let heard = received(stream);
    let fault = async {
        if worker {
            scene.control.wait_until(|c| c.steps >= at).await;
            crash_worker(&scene).await;
        }
        drop(gate);
    };
    let (heard, ()) = tokio::join!(heard, fault);
    let history = scene.history().await;
    assert_eq!(
        history,
        ["user: Count".to_owned(), format!("assistant: {}", heard.0)]
    );
    scene.end().await;
    heard
}

#[tokio::test(start_paused = true)]
async fn the_text_is_the_same_wherever_the_engine_crashes() {
    let whole = Answer::counting(SEED, TOKENS);
    for at in 1..=STEPS {
        let (said, usage) = with_fault_at(at, true, false).await;
        assert_eq!(
            (said, usage.completion_tokens),
            (whole.clone(), TOKENS),
            "step {at}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_text_is_the_same_wherever_the_worker_crashes() {
    let whole = Answer::counting(SEED, TOKENS);
    for at in 1..=STEPS {
        let (said, usage) = with_fault_at(at, false, true).await;
        assert_eq!(
            (said, usage.completion_tokens),
            (whole.clone(), TOKENS),
            "step {at}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_text_is_the_same_where_engine_and_worker_crash() {
    let whole = Answer::counting(SEED, TOKENS);
    for at in 1..=STEPS {
        let (said, usage) = with_fault_at(at, true, true).await;
        assert_eq!(
            (said, usage.completion_tokens),
            (whole.clone(), TOKENS),
            "step {at}"
        );
    }
}
