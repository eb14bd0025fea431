//! A model that keeps failing is left alone, tried by one request, and served again once it works.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use common::{DEADLINE, Setting, Stage, counting, hear, request};
use domain::{Bytes, GenerationError};
use paraphym_model_host::{BreakerState, ModelState, Pin};
use testkit::scripted::Answer;

/// The time to come again, of one who is refused because the model rests.
async fn refused(stage: &Stage, seed: u64) -> Duration {
    let refused = stage.ask(counting(seed, 5)).await.unwrap_err();
    let GenerationError::CircuitOpen { retry_after_ms, .. } = refused else {
        panic!("{refused}");
    };
    Duration::from_millis(retry_after_ms)
}

#[tokio::test(start_paused = true)]
async fn crashes_in_a_row_open_the_breaker_for_all_and_one_probe_closes_it() {
    let setting = Setting::new(Answer::Counting).config(|c| {
        c.crash_budget = 100;
        c.breaker_crashes = 3;
        c.max_batch = 1;
    });
    let stage = setting.start().await;
    stage.control.panic_next(3);
    let streams = [stage.count(1, 20).await, stage.count(2, 20).await];
    for stream in streams {
        let heard = hear(stream).await;
        let GenerationError::CircuitOpen { reason, .. } = heard.failed() else {
            panic!("{:?}", heard.end());
        };
        assert!(reason.contains("scripted panic"), "{reason}");
    }
    let model = stage.models().await.remove(0);
    assert_eq!(model.crashes, 3);
    assert!(
        matches!(model.breaker, BreakerState::Open { .. }),
        "{model:?}"
    );
    let wait = refused(&stage, 3).await;
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1));
    // The lane is back: it is the breaker that refuses.
    tokio::time::sleep(wait.saturating_sub(Duration::from_millis(1))).await;
    refused(&stage, 4).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let load = stage.control.gate_load(1);
    let probe = stage.count(5, 20).await;
    assert_eq!(stage.models().await[0].breaker, BreakerState::HalfOpen);
    refused(&stage, 6).await;
    load.release();
    assert_eq!(hear(probe).await.text, Answer::counting(5, 20));
    assert_eq!(stage.models().await[0].breaker, BreakerState::Closed);
    assert_eq!(
        hear(stage.count(7, 20).await).await.text,
        Answer::counting(7, 20)
    );
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_crashes_opens_again_for_longer() {
    let setting = Setting::new(Answer::Counting).config(|c| {
        c.crash_budget = 100;
        c.breaker_crashes = 2;
    });
    let stage = setting.start().await;
    stage.control.panic_next(4);
    hear(stage.count(1, 20).await).await.failed();
    for seconds in [1, 2, 4] {
        let wait = refused(&stage, 9).await;
        assert!(wait > Duration::from_secs(seconds) / 2, "{wait:?}");
        assert!(wait <= Duration::from_secs(seconds), "{wait:?}");
        tokio::time::sleep(wait).await;
        let heard = hear(stage.count(2, 20).await).await;
        if seconds < 4 {
            // One crash is enough for a probe.
            assert!(
                matches!(heard.failed(), GenerationError::CircuitOpen { .. }),
                "{:?}",
                heard.end()
            );
        } else {
            assert_eq!(heard.text, Answer::counting(2, 20));
        }
    }
    assert_eq!(stage.models().await[0].crashes, 4);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_asker_goes_leaves_its_place_to_the_next() {
    let stage = Setting::text("well").start().await;
    stage.control.fail_loads(1);
    hear(stage.ask(request("a")).await.unwrap()).await.failed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // It is let in, and goes while its load is under way: neither success nor failure.
    let load = stage.control.gate_load(1);
    let probe = stage.ask(request("b")).await.unwrap();
    stage.control.wait_until(|c| c.loads == 2).await;
    assert!(stage.ask(request("c")).await.is_err());
    drop(probe);
    let next = stage.ask(request("d")).await.unwrap();
    assert!(stage.ask(request("e")).await.is_err());
    load.release();
    assert_eq!(hear(next).await.text, "well");
    assert_eq!(stage.models().await[0].breaker, BreakerState::Closed);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_load_without_memory_or_without_askers_is_no_failure() {
    let stage = Setting::text("well").memory(Bytes(1000)).start().await;
    for id in ["a", "b"] {
        let heard = hear(stage.ask(request(id)).await.unwrap()).await;
        assert!(
            matches!(heard.failed(), GenerationError::MemoryExhausted { .. }),
            "{:?}",
            heard.end()
        );
    }
    stage.close().await;
    let stage = Setting::text("well").start().await;
    let load = stage.control.gate_load(1);
    drop(stage.ask(request("a")).await.unwrap());
    load.release();
    stage.control.wait_until(|c| c.loads_cancelled == 1).await;
    assert_eq!(
        hear(stage.ask(request("b")).await.unwrap()).await.text,
        "well"
    );
    stage.close().await;
}

/// A pinned model nobody asks for is its own probe.
#[tokio::test(start_paused = true)]
async fn a_pinned_model_is_tried_again_when_its_rest_is_over() {
    let stage = Setting::text("well").start().await;
    stage.control.fail_loads(7);
    let model = request("").model;
    stage.host.ask(Pin { model }, DEADLINE).await.unwrap();
    let mut failed = 0;
    for _ in 0..100_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let model = stage.models().await.remove(0);
        failed += u32::from(matches!(model.state, ModelState::LoadFailed { .. }));
        if model.state == ModelState::Ready {
            break;
        }
    }
    // It rested for more than two minutes in all.
    assert!(failed > 12_000, "{failed}");
    assert_eq!(stage.control.counts().loads, 8);
    let heard = hear(stage.ask(request("a")).await.unwrap()).await;
    assert_eq!(heard.text, "well");
    stage.close().await;
}
