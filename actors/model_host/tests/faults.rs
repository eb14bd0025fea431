//! Engines that crash, models that do not load, memory that is not there: every asker hears of it, once, and the next
//! one is served.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use common::{DEADLINE, Setting, counting, hear, hear_words, request};
use domain::{Bytes, FinishReason, GenerationError, ModelName};
use paraphym_model_host::{GenerationStream, ModelState};
use supervision::ChildId;
use testkit::scripted::Answer;

async fn hear_all(streams: Vec<GenerationStream>) -> Vec<common::Heard> {
    let mut all = Vec::new();
    for stream in streams {
        all.push(hear(stream).await);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_step_costs_no_word() {
    for step in [1, 2, 3, 8, 15] {
        let stage = Setting::new(Answer::Counting).start().await;
        stage.control.panic_at(step);
        let mut streams = Vec::new();
        for seed in [10, 20, 30] {
            streams.push(stage.count(seed, 15).await);
        }
        let heard = hear_all(streams).await;
        for (heard, seed) in heard.iter().zip([10, 20, 30]) {
            assert_eq!(
                heard.text,
                Answer::counting(seed, 15),
                "panic in step {step}"
            );
            assert_eq!(heard.finished().0, FinishReason::Length);
        }
        assert_eq!(stage.models().await[0].crashes, 1);
        assert_eq!(stage.control.counts().loads, 2);
        assert_eq!(stage.kv_leased().await, Bytes::ZERO);
        stage.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_in_a_step_costs_no_word() {
    let stage = Setting::new(Answer::Counting).start().await;
    let mut stream = stage.count(5, 20).await;
    let mut heard = common::Heard::default();
    hear_words(&mut stream, &mut heard, 3).await;
    stage.control.fail_next(1);
    let rest = hear(stream).await;
    assert_eq!(heard.text + &rest.text, Answer::counting(5, 20));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_during_a_crash_are_served() {
    let setting = Setting::new(Answer::Counting).config(|c| c.max_batch = 1);
    let stage = setting.start().await;
    stage.control.panic_at(4);
    let mut streams = Vec::new();
    for seed in [1, 2, 3] {
        streams.push(stage.count(seed, 6).await);
    }
    stage.control.wait_until(|c| c.steps == 4).await;
    streams.push(stage.count(4, 6).await);
    for (heard, seed) in hear_all(streams).await.iter().zip(1..) {
        assert_eq!(heard.text, Answer::counting(seed, 6));
    }
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_crashes_the_engine_again_and_again_is_given_up() {
    let stage = Setting::new(Answer::Counting).start().await;
    stage.control.panic_next(3);
    let heard = hear(stage.count(1, 5).await).await;
    let GenerationError::EngineCrashed { crashes, reason } = heard.failed() else {
        panic!("{:?}", heard.end());
    };
    assert_eq!(*crashes, 3);
    assert!(reason.contains("scripted panic"), "{reason}");
    let next = hear(stage.count(2, 5).await).await;
    assert_eq!(next.text, Answer::counting(2, 5));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_engine_answers_with_nothing_is_given_up_too() {
    let stage = Setting::new(Answer::Counting).start().await;
    stage.control.silence_next(3);
    let heard = hear(stage.count(1, 5).await).await;
    let GenerationError::EngineCrashed { crashes, reason } = heard.failed() else {
        panic!("{:?}", heard.end());
    };
    assert_eq!(*crashes, 3);
    assert!(reason.contains("no token"), "{reason}");
    let next = hear(stage.count(2, 5).await).await;
    assert_eq!(next.text, Answer::counting(2, 5));
    stage.close().await;
}

/// The one whose prompt begins with `!` crashes every engine at its third token; the others were in the same batch.
#[tokio::test(start_paused = true)]
async fn only_the_guilty_request_fails() {
    let stage = Setting::new(Answer::Counting).start().await;
    stage.control.poison(b'!', 2);
    let mut streams = Vec::new();
    for seed in [100, 200, 300] {
        streams.push(stage.count(seed, 40).await);
    }
    let mut guilty = counting(7, 40);
    guilty.prompt = domain::Prompt::Text("! boom".to_owned());
    let guilty = hear(stage.ask(guilty).await.unwrap()).await;
    assert_eq!(guilty.text, Answer::counting(7, 2));
    assert!(
        matches!(
            guilty.failed(),
            GenerationError::EngineCrashed { crashes: 3, .. }
        ),
        "{:?}",
        guilty.end()
    );
    for (heard, seed) in hear_all(streams).await.iter().zip([100, 200, 300]) {
        assert_eq!(heard.text, Answer::counting(seed, 40));
    }
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_sequence_the_engine_has_no_room_for_fails_alone() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_step(2);
    let first = stage.count(1, 10).await;
    stage.control.wait_until(|c| c.steps == 2).await;
    stage.control.refuse_opens(1);
    let second = stage.count(2, 10).await;
    gate.release();
    let heard = hear(second).await;
    assert!(
        heard.failed().to_string().contains("no memory"),
        "{:?}",
        heard.end()
    );
    assert_eq!(hear(first).await.text, Answer::counting(1, 10));
    assert_eq!(stage.control.counts().loads, 1);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_load_is_told_to_all_who_wait_and_tried_again_later() {
    let stage = Setting::text("well").start().await;
    stage.control.fail_loads(2);
    let gate = stage.control.gate_load(0);
    let mut streams = Vec::new();
    for id in ["a", "b", "c"] {
        streams.push(stage.ask(request(id)).await.unwrap());
    }
    gate.release();
    for heard in hear_all(streams).await {
        let GenerationError::LoadFailed { model, reason } = heard.failed() else {
            panic!("{:?}", heard.end());
        };
        assert_eq!(*model, ModelName::new("m"));
        assert!(reason.contains("scripted failure"), "{reason}");
    }
    let refused = stage.ask(request("d")).await.unwrap_err();
    let GenerationError::CircuitOpen {
        retry_after_ms,
        reason,
        ..
    } = refused
    else {
        panic!("{refused}");
    };
    assert!((1..=1000).contains(&retry_after_ms), "{retry_after_ms}");
    assert!(reason.contains("scripted failure"), "{reason}");
    let now = stage.models().await[0].state.clone();
    assert!(matches!(now, ModelState::LoadFailed { .. }), "{now:?}");
    assert_eq!(stage.control.counts().loads, 1);
    // The second failure in a row is remembered twice as long.
    tokio::time::sleep(Duration::from_millis(1001)).await;
    hear(stage.ask(request("e")).await.unwrap()).await.failed();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(stage.ask(request("f")).await.is_err());
    tokio::time::sleep(Duration::from_millis(501)).await;
    let heard = hear(stage.ask(request("g")).await.unwrap()).await;
    assert_eq!(heard.text, "well");
    assert_eq!(stage.control.counts().loads, 3);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_model_is_forgotten_in_the_end() {
    let stage = Setting::text("well").start().await;
    stage.control.fail_loads(1);
    hear(stage.ask(request("a")).await.unwrap()).await.failed();
    assert_eq!(stage.models().await.len(), 1);
    tokio::time::sleep(Duration::from_secs(62)).await;
    assert_eq!(stage.models().await, []);
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_loading_is_a_failed_load() {
    let stage = Setting::text("well").start().await;
    stage.control.panic_loads(1);
    let heard = hear(stage.ask(request("a")).await.unwrap()).await;
    assert!(
        heard.failed().to_string().contains("scripted panic"),
        "{:?}",
        heard.end()
    );
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_come_back_fails_its_answers() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_step(5);
    let stream = stage.count(1, 50).await;
    stage.control.wait_until(|c| c.steps == 5).await;
    stage.control.panic_next(1);
    stage.control.fail_loads(1);
    gate.release();
    let heard = hear(stream).await;
    assert!(matches!(heard.failed(), GenerationError::LoadFailed { .. }));
    assert_eq!(heard.text, Answer::counting(1, 4));
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn weights_that_do_not_fit_name_needed_and_available() {
    let stage = Setting::text("never").memory(Bytes(1000)).start().await;
    let heard = hear(stage.ask(request("a")).await.unwrap()).await;
    assert_eq!(
        *heard.failed(),
        GenerationError::MemoryExhausted {
            purpose: "the weights of m".to_owned(),
            needed: Bytes::mib(1),
            available: Bytes(1000),
        }
    );
    assert_eq!(stage.control.counts().loads, 0);
    // It is not remembered: the next one asks again.
    hear(stage.ask(request("b")).await.unwrap()).await.failed();
    stage.close().await;
}

/// A sequence takes 112 KiB: 11 + 100 tokens, in pages of 16, at 1 KiB.
const SEQUENCE: u64 = 112 << 10;

#[tokio::test(start_paused = true)]
async fn kv_memory_that_does_not_fit_names_needed_and_available() {
    let memory = Bytes(common::MIB + SEQUENCE - 1);
    let stage = Setting::text("never").memory(memory).start().await;
    let heard = hear(stage.ask(request("a")).await.unwrap()).await;
    let GenerationError::MemoryExhausted {
        needed, available, ..
    } = heard.failed()
    else {
        panic!("{:?}", heard.end());
    };
    assert_eq!(
        (*needed, *available),
        (Bytes(SEQUENCE), Bytes(SEQUENCE - 1))
    );
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_fit_beside_others_waits_for_them() {
    let memory = Bytes(common::MIB + 2 * SEQUENCE);
    let stage = Setting::new(Answer::Counting).memory(memory).start().await;
    let mut streams = Vec::new();
    for seed in 1..=5 {
        streams.push(stage.count(seed * 10, 100).await);
    }
    for (heard, seed) in hear_all(streams).await.iter().zip(1..) {
        assert_eq!(heard.text, Answer::counting(seed * 10, 100));
    }
    assert_eq!(stage.control.counts().most_open, 2);
    stage.close().await;
}

fn to(model: &str, seed: u64) -> paraphym_model_host::Request {
    let mut request = counting(seed, 20);
    request.model = ModelName::new(model);
    request
}

#[tokio::test(start_paused = true)]
async fn the_model_idle_longest_makes_room_and_an_answering_one_does_not() {
    let memory = Bytes(2 * common::MIB + 4 * SEQUENCE);
    let stage = Setting::new(Answer::Counting).memory(memory).start().await;
    for model in ["old", "new"] {
        hear(stage.ask(to(model, 1)).await.unwrap()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    hear(stage.ask(to("third", 1)).await.unwrap())
        .await
        .finished();
    let names = |models: Vec<paraphym_model_host::ModelStatus>| {
        let names = models.into_iter().filter(|m| m.state == ModelState::Ready);
        names.map(|m| m.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(stage.models().await), ["new", "third"]);
    // Both answer: nobody can make room.
    let steps = stage.control.counts().steps;
    let gates = [1, 2].map(|n| stage.control.gate_step(steps + n));
    let first = stage.ask(to("new", 3)).await.unwrap();
    let second = stage.ask(to("third", 4)).await.unwrap();
    let heard = hear(stage.ask(to("fourth", 5)).await.unwrap()).await;
    assert!(
        matches!(heard.failed(), GenerationError::MemoryExhausted { .. }),
        "{:?}",
        heard.end()
    );
    drop(gates);
    assert_eq!(hear(first).await.text, Answer::counting(3, 20));
    assert_eq!(hear(second).await.text, Answer::counting(4, 20));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_down_for_good_leaves_no_stream_open() {
    let stage = Setting::new(Answer::Counting).config(|c| c.drain = Duration::ZERO);
    let mut stage = stage.start().await;
    let gate = stage.control.gate_step(3);
    let live = stage.count(1, 50).await;
    stage.control.wait_until(|c| c.steps == 3).await;
    let lanes = ChildId::new(paraphym_model_host::LANE_SUPERVISOR_ID);
    let root = stage.root().supervisor();
    let (heard, ended) = tokio::join!(hear(live), root.terminate_child(&lanes));
    ended.unwrap();
    // The engine still computes with all of it.
    assert_eq!(stage.ledger().await.leased, Bytes(common::MIB + (64 << 10)));
    gate.release();
    stage.control.wait_until(|c| c.engines == 0).await;
    assert!(
        matches!(heard.failed(), GenerationError::Unavailable { .. }),
        "{:?}",
        heard.end()
    );
    let refused = stage.ask(counting(2, 5)).await.unwrap_err();
    assert!(
        matches!(refused, GenerationError::Unavailable { .. }),
        "{refused}"
    );
    stage
        .settle("without leases", |l| l.leased == Bytes::ZERO)
        .await;
    stage.scene().stop_within(DEADLINE).await;
}

/// Every lane crashes without end: the lane supervisor gives up and is started anew. No stream is forgotten, and the
/// next question is answered.
#[tokio::test(start_paused = true)]
async fn lanes_that_crash_without_end_take_their_supervisor_down_and_no_further() {
    let setting = Setting::new(Answer::Counting).config(|c| c.crash_budget = 1000);
    let stage = setting.memory(Bytes::mib(1024)).start().await;
    stage.control.panic_next(10_000);
    let mut streams = Vec::new();
    for lane in 0..16 {
        let request = to(&format!("model-{lane}"), lane);
        streams.push(stage.ask(request).await.unwrap());
    }
    for heard in hear_all(streams).await {
        let error = heard.failed();
        assert!(
            matches!(error, GenerationError::Unavailable { .. }),
            "{error}"
        );
    }
    stage.control.panic_next(0);
    stage
        .settle("without leases", |l| l.leased == Bytes::ZERO)
        .await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let next = hear(stage.ask(to("model-1", 5)).await.unwrap()).await;
    assert_eq!(next.text, Answer::counting(5, 20));
    stage.close().await;
}
