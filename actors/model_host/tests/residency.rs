//! Who stays in memory, for how long, and who goes when room is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod common;

use std::time::Duration;

use common::{Setting, Stage, hear, request};
use domain::{Bytes, KeepAlive};
use paraphym_model_host::{ModelState, Request};
use testkit::scripted::Answer;

const MINUTE: Duration = Duration::from_mins(1);

fn kept(keep_alive: impl Into<Option<KeepAlive>>) -> Request {
    Request {
        keep_alive: keep_alive.into(),
        ..request("kept")
    }
}

async fn answer(stage: &Stage, request: Request) {
    hear(stage.ask(request).await.unwrap()).await.finished();
}

/// When each model goes, in seconds.
async fn expiries(stage: &Stage) -> Vec<Option<u64>> {
    let models = stage.models().await;
    models
        .iter()
        .map(|m| m.expires_in.map(|left| left.as_secs()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_last_requests_wish_holds_and_without_one_the_configured_time() {
    let setting = Setting::text("hi").config(|c| c.keep_alive = (10 * MINUTE).into());
    let stage = setting.start().await;
    for (wish, stays) in [
        (None, Some(10 * MINUTE)),
        (Some(KeepAlive::For(MINUTE)), Some(MINUTE)),
        (Some(KeepAlive::Forever), None),
        (None, Some(10 * MINUTE)),
    ] {
        answer(&stage, kept(wish)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let model = stage.models().await.remove(0);
        let left = model.expires_in.map(|left| left + model.idle_for.unwrap());
        assert_eq!(left, stays, "{wish:?}");
        assert_eq!(
            model.keep_alive,
            stays.map_or(KeepAlive::Forever, KeepAlive::For)
        );
    }
    assert_eq!(stage.control.counts().loads, 1);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_of_zero_lets_the_model_go_with_its_last_answer() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_step(3);
    let first = stage.ask(kept(KeepAlive::NOT)).await.unwrap();
    let second = stage.ask(kept(KeepAlive::NOT)).await.unwrap();
    gate.release();
    hear(first).await.finished();
    hear(second).await.finished();
    stage
        .settle("without leases", |l| l.leased == Bytes::ZERO)
        .await;
    assert_eq!(stage.models().await, []);
    // It is loaded again for whoever asks next.
    answer(&stage, kept(KeepAlive::For(MINUTE))).await;
    assert_eq!(stage.control.counts().loads, 2);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn for_ever_outlasts_a_night_and_a_crash_of_the_engine() {
    let stage = Setting::new(Answer::Counting).start().await;
    stage.control.panic_at(3);
    answer(&stage, kept(KeepAlive::Forever)).await;
    tokio::time::sleep(8 * 60 * MINUTE).await;
    let model = stage.models().await.remove(0);
    assert_eq!((model.state, model.crashes), (ModelState::Ready, 1));
    assert_eq!(expiries(&stage).await, [None]);
    stage.close().await;
}
