//! Limits of each model, and limits that change while everything runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use common::{DEADLINE, Setting, Stage, counting, hear};
use domain::{Bytes, FieldError, GenerationError, KeepAlive, ModelName};
use engine::ModelSource;
use paraphym_model_host::{ModelLimits, Request, ResolveModel, SetLimits};
use supervision::AskError;
use testkit::scripted::Answer;

fn to(model: &str, seed: u64) -> Request {
    Request {
        model: ModelName::new(model),
        ..counting(seed, 20)
    }
}

fn own(model: &str, limits: ModelLimits) -> BTreeMap<ModelName, ModelLimits> {
    BTreeMap::from([(ModelName::new(model), limits)])
}

async fn set(stage: &Stage, limits: SetLimits) {
    stage.host.ask(limits, DEADLINE).await.unwrap();
}

/// How many wait for a model of which one answer is held.
async fn overloaded(stage: &Stage, model: &str) -> usize {
    let mut waiting = Vec::new();
    for seed in 0..40 {
        match stage.ask(to(model, seed)).await {
            Ok(stream) => waiting.push(stream),
            Err(GenerationError::Overloaded {
                waiting,
                retry_after_ms,
            }) => {
                assert!(retry_after_ms > 0);
                return waiting;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("never overloaded");
}

/// Two names of one file, and one of another.
struct Names;

impl ResolveModel for Names {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let file = model.as_str().trim_end_matches(":latest");
        let path = PathBuf::from(file);
        Ok(ModelSource { path })
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_has_its_own_limits_under_any_of_its_names() {
    let small = ModelLimits {
        max_batch: Some(1),
        queue: Some(2),
        keep_alive: Some(KeepAlive::NOT),
    };
    let setting = Setting::new(Answer::Counting).config(|c| c.models = own("m:latest", small));
    let stage = setting.resolve(Names).start().await;
    // The file is known as "m" first, for which nothing is said; then as the name that has limits.
    let gate = stage.control.gate_step(3);
    let first = stage.ask(to("m", 1)).await.unwrap();
    stage.control.wait_until(|c| c.steps == 3).await;
    let second = stage.ask(to("m:latest", 2)).await.unwrap();
    assert_eq!(overloaded(&stage, "m").await, 2);
    gate.release();
    for (stream, seed) in [(first, 1), (second, 2)] {
        assert_eq!(hear(stream).await.text, Answer::counting(seed, 20));
    }
    assert_eq!(stage.control.counts().most_open, 1);
    stage
        .settle("without the model", |l| l.leased == Bytes::ZERO)
        .await;
    // Another has the host's.
    let gate = stage.control.gate_load(1);
    assert_eq!(overloaded(&stage, "other").await, 32);
    gate.release();
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn limits_change_at_once_and_take_nothing_from_those_who_are_in() {
    let setting = Setting::new(Answer::Counting).config(|c| c.max_batch = 1);
    let stage = setting.start().await;
    let gate = stage.control.gate_step(3);
    let mut streams = Vec::new();
    for seed in 1..=4 {
        streams.push(stage.ask(to("m", seed)).await.unwrap());
    }
    stage.control.wait_until(|c| c.steps == 3).await;
    // Three wait; one more than the new limit allows: they stay, and the next is refused.
    set(
        &stage,
        SetLimits {
            queue: Some(2),
            ..SetLimits::default()
        },
    )
    .await;
    assert_eq!(overloaded(&stage, "m").await, 3);
    // Two more seats: those who wait get them without anything else happening.
    set(
        &stage,
        SetLimits {
            max_batch: Some(3),
            ..SetLimits::default()
        },
    )
    .await;
    while stage.models().await[0].active < 3 {
        tokio::task::yield_now().await;
    }
    gate.release();
    for (stream, seed) in streams.into_iter().zip(1..) {
        assert_eq!(hear(stream).await.text, Answer::counting(seed, 20));
    }
    assert_eq!(stage.control.counts().most_open, 3);
    // It has been idle for longer than is allowed from now on.
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(stage.ledger().await.leased, Bytes::mib(1));
    let keep_alive = Some(Duration::from_mins(1).into());
    set(
        &stage,
        SetLimits {
            keep_alive,
            ..SetLimits::default()
        },
    )
    .await;
    let now = tokio::time::Instant::now();
    stage
        .settle("without the model", |l| l.leased == Bytes::ZERO)
        .await;
    assert!(now.elapsed() < Duration::from_secs(1));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn with_fewer_places_those_that_are_there_stay_until_another_is_wanted() {
    let stage = Setting::new(Answer::Counting).start().await;
    for model in ["a", "b"] {
        hear(stage.ask(to(model, 1)).await.unwrap())
            .await
            .finished();
    }
    set(
        &stage,
        SetLimits {
            max_models: Some(1),
            ..SetLimits::default()
        },
    )
    .await;
    for model in ["a", "b"] {
        hear(stage.ask(to(model, 2)).await.unwrap())
            .await
            .finished();
    }
    assert_eq!(stage.control.counts().loads, 2);
    hear(stage.ask(to("c", 1)).await.unwrap()).await.finished();
    let left: Vec<String> = stage
        .models()
        .await
        .iter()
        .map(|m| m.name.to_string())
        .collect();
    assert_eq!(left, ["c"]);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_out_of_its_range_is_refused_by_field_and_changes_nothing() {
    let stage = Setting::new(Answer::Counting).start().await;
    let zero = ModelLimits {
        queue: Some(0),
        ..ModelLimits::default()
    };
    let many = (0..1001).map(|n| (ModelName::new(n.to_string()), ModelLimits::default()));
    let nothing = SetLimits {
        keep_alive: Some(KeepAlive::NOT),
        ..SetLimits::default()
    };
    let (max_batch, queue, max_models) = (Some(0), Some(0), Some(0));
    for (limits, field) in [
        (
            SetLimits {
                max_batch,
                ..nothing.clone()
            },
            "max_batch",
        ),
        (
            SetLimits {
                queue,
                ..nothing.clone()
            },
            "queue",
        ),
        (
            SetLimits {
                max_models,
                ..nothing.clone()
            },
            "max_models",
        ),
        (
            SetLimits {
                prefill_chunk: Some(0),
                ..nothing.clone()
            },
            "prefill_chunk",
        ),
        (
            SetLimits {
                models: Some(own("m", zero)),
                ..nothing.clone()
            },
            "models.queue",
        ),
        (
            SetLimits {
                models: Some(many.collect()),
                ..nothing.clone()
            },
            "models",
        ),
    ] {
        let refused = stage.host.ask(limits, DEADLINE).await;
        let Err(AskError::Handler(FieldError { field: named, .. })) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(named, field);
    }
    hear(stage.ask(to("m", 1)).await.unwrap()).await.finished();
    assert_eq!(stage.models().await[0].keep_alive, KeepAlive::default());
    stage.close().await;
}
