//! Steps and loads that do not end: told, given up, and taken back when they end after all. A thread that is held keeps a
//! paused clock from going by itself, so these tests move it by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use common::{DEADLINE, Setting, Stage, counting, hear};
use domain::{Bytes, GenerationError, RequestId};
use paraphym_model_host::{Cancel, ModelState, Unload, UnloadError};
use supervision::AskError;
use testkit::scripted::Answer;

/// Lets so much time pass, and everyone act on it.
async fn pass(stage: &Stage, seconds: u64) -> ModelState {
    tokio::time::advance(Duration::from_secs(seconds)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    stage.models().await.remove(0).state
}

fn is_stuck(error: &GenerationError) -> bool {
    matches!(error, GenerationError::EngineStuck { seconds: 300.., .. })
}

#[tokio::test(start_paused = true)]
async fn a_step_that_does_not_end_is_told_then_given_up_and_the_engine_that_comes_home_serves_on() {
    let setting = Setting::new(Answer::Counting).config(|c| c.max_batch = 2);
    let stage = setting.start().await;
    let (first, gate) = (stage.control.gate_step(1), stage.control.gate_step(8));
    let leaves = stage.count(1, 30).await;
    let stays = stage.count(2, 30).await;
    while stage.models().await[0].active < 2 {
        tokio::task::yield_now().await;
    }
    first.release();
    stage.control.wait_until(|c| c.steps == 8).await;
    let waits = stage.count(3, 30).await;
    assert_eq!(pass(&stage, 29).await, ModelState::Ready);
    let elapsed = Duration::from_secs(30);
    assert_eq!(pass(&stage, 1).await, ModelState::Stuck { elapsed });
    // Who is cancelled need not wait for the step.
    let id = RequestId::new("count-1");
    assert!(stage.host.ask(Cancel { id }, DEADLINE).await.unwrap());
    assert_eq!(*hear(leaves).await.failed(), GenerationError::Cancelled);
    let model = counting(0, 1).model;
    let refused = stage.host.ask(Unload { model }, DEADLINE).await;
    assert!(
        matches!(
            refused,
            Err(AskError::Handler(UnloadError::Unavailable { .. }))
        ),
        "{refused:?}"
    );
    // The others wait, until nobody would.
    assert!(matches!(pass(&stage, 269).await, ModelState::Stuck { .. }));
    let model = stage.models().await.remove(0);
    // The one who waited may have the seat that was left; it is not in the step.
    assert_eq!(model.active + model.waiting, 2);
    pass(&stage, 1).await;
    for stream in [stays, waits] {
        let heard = hear(stream).await;
        assert!(is_stuck(heard.failed()), "{:?}", heard.end());
    }
    let refused = stage.ask(counting(4, 5)).await.unwrap_err();
    assert!(is_stuck(&refused), "{refused}");
    // What the thread computes with is still leased.
    let two = Bytes(2 * (48 << 10));
    assert_eq!(
        stage.ledger().await.leased,
        Bytes::mib(1).saturating_add(two)
    );
    gate.release();
    stage
        .settle("with the weights alone", |l| l.leases.len() == 1)
        .await;
    let heard = hear(stage.count(5, 30).await).await;
    assert_eq!(heard.text, Answer::counting(5, 30));
    assert_eq!(stage.control.counts().loads, 1);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_that_ends_in_time_costs_no_word() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_step(5);
    let stream = stage.count(1, 30).await;
    stage.control.wait_until(|c| c.steps == 5).await;
    assert!(matches!(pass(&stage, 200).await, ModelState::Stuck { .. }));
    gate.release();
    assert_eq!(hear(stream).await.text, Answer::counting(1, 30));
    assert_eq!(stage.models().await[0].state, ModelState::Ready);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_does_not_end_is_told_then_given_up_and_begun_anew_when_it_ends() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_load(2);
    let stream = stage.count(1, 30).await;
    stage.control.wait_until(|c| c.loads == 1).await;
    while stage.models().await[0].state != (ModelState::Loading { fraction: 0.25 }) {
        tokio::task::yield_now().await;
    }
    let elapsed = Duration::from_secs(30);
    assert_eq!(pass(&stage, 30).await, ModelState::Stuck { elapsed });
    pass(&stage, 270).await;
    let heard = hear(stream).await;
    assert!(is_stuck(heard.failed()), "{:?}", heard.end());
    let refused = stage.ask(counting(2, 5)).await.unwrap_err();
    assert!(is_stuck(&refused), "{refused}");
    // Nobody waits for it: it ends at the next tensor.
    gate.release();
    stage.control.wait_until(|c| c.loads_cancelled == 1).await;
    stage
        .settle("without leases", |l| l.leases.is_empty())
        .await;
    let heard = hear(stage.count(3, 30).await).await;
    assert_eq!(heard.text, Answer::counting(3, 30));
    assert_eq!(stage.control.counts().loads, 2);
    stage.close().await;
}
