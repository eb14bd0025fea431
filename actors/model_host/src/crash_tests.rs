//! Crashes of the host and of a lane outside a step: nobody who was accepted is lost. Apart, because only messages of
//! the crate's own can make them crash.

use domain::{KeepAlive, ModelName};
use kameo::message::{Context, Message};
use supervision::AskError;
use testkit::scripted::Answer;

use crate::actor::ModelHost;
use crate::lane::Lane;
use crate::messages::{Pin, SetLimits, Unload, UnloadError};

#[path = "../tests/common/mod.rs"]
pub(crate) mod common;

use common::{DEADLINE, Setting, hear};

struct Crash;

impl Message<Crash> for ModelHost {
    type Reply = ();

    async fn handle(&mut self, _: Crash, _: &mut Context<Self, ()>) {
        panic!("scripted crash of the host");
    }
}

impl Message<Crash> for Lane {
    type Reply = ();

    async fn handle(&mut self, _: Crash, _: &mut Context<Self, ()>) {
        panic!("scripted crash of a lane");
    }
}

struct CrashLanes;

impl Message<CrashLanes> for ModelHost {
    type Reply = ();

    async fn handle(&mut self, _: CrashLanes, _: &mut Context<Self, ()>) {
        for (_, lane, _) in self.roster().all() {
            lane.tell(Crash).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_host_loses_no_lane() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_step(3);
    let before = stage.count(10, 20).await;
    stage.control.wait_until(|c| c.steps == 3).await;
    let crashed = stage.host.tell(Crash).await;
    assert!(crashed.is_ok());
    gate.release();
    let after = stage.count(20, 20).await;
    assert_eq!(hear(before).await.text, Answer::counting(10, 20));
    assert_eq!(hear(after).await.text, Answer::counting(20, 20));
    assert_eq!(stage.control.counts().loads, 1);
    assert_eq!(stage.models().await.len(), 1);
    stage.close().await;
}

/// The step under way belongs to the life that crashed: its tokens are not believed, and are sampled again.
#[tokio::test(start_paused = true)]
async fn a_crash_of_a_lane_during_a_step_costs_no_word() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_step(6);
    let stream = stage.count(10, 20).await;
    stage.control.wait_until(|c| c.steps == 6).await;
    stage.host.ask(CrashLanes, DEADLINE).await.unwrap();
    let waiting = stage.count(20, 20).await;
    // The next life loads once the old engine is out of its step.
    gate.release();
    assert_eq!(hear(stream).await.text, Answer::counting(10, 20));
    assert_eq!(hear(waiting).await.text, Answer::counting(20, 20));
    assert_eq!(stage.control.counts().loads, 2);
    stage.close().await;
}

/// Nobody is live: the engine was only loading.
#[tokio::test(start_paused = true)]
async fn a_crash_of_a_lane_during_a_load_loses_no_one() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_load(2);
    let stream = stage.count(10, 20).await;
    stage.control.wait_until(|c| c.loads == 1).await;
    stage.host.ask(CrashLanes, DEADLINE).await.unwrap();
    gate.release();
    assert_eq!(hear(stream).await.text, Answer::counting(10, 20));
    // Had the first load come to its end, nobody would have taken its engine.
    let counts = stage.control.wait_until(|c| c.engines == 1).await;
    assert_eq!(counts.loads, 2);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn limits_outlive_crashes_of_host_and_lane() {
    let stage = Setting::new(Answer::Counting).start().await;
    stage.count(1, 5).await;
    let keep_alive = Some(KeepAlive::Forever);
    let limits = SetLimits {
        keep_alive,
        ..SetLimits::default()
    };
    stage.host.ask(limits, DEADLINE).await.unwrap();
    stage.host.ask(CrashLanes, DEADLINE).await.unwrap();
    assert!(stage.host.tell(Crash).await.is_ok());
    hear(stage.count(2, 5).await).await.finished();
    assert_eq!(stage.models().await[0].keep_alive, KeepAlive::Forever);
    stage.close().await;
}

/// Neither the host nor the lane remembers anything itself; nobody asks for the model.
#[tokio::test(start_paused = true)]
async fn a_pin_outlives_crashes_of_host_and_lane() {
    let stage = Setting::new(Answer::Counting).start().await;
    let model = ModelName::new("m");
    let pin = Pin {
        model: model.clone(),
    };
    stage.host.ask(pin, DEADLINE).await.unwrap();
    stage.control.wait_until(|c| c.engines == 1).await;
    stage.host.ask(CrashLanes, DEADLINE).await.unwrap();
    stage.control.wait_until(|c| c.loads == 2).await;
    assert!(stage.host.tell(Crash).await.is_ok());
    let models = stage.models().await;
    assert!(models[0].pinned, "{models:?}");
    let refused = stage.host.ask(Unload { model }, DEADLINE).await;
    assert!(
        matches!(refused, Err(AskError::Handler(UnloadError::Pinned { .. }))),
        "{refused:?}"
    );
    stage.close().await;
}
