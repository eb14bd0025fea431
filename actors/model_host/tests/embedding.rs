//! The embedding lane: who gets vectors, who hears why not, and what it costs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use common::{DEADLINE, Setting, Stage};
use domain::{Bytes, GenerationError, KeepAlive, ModelName};
use paraphym_model_host::client::{EmbedRequest, Embeddings, embed};
use paraphym_model_host::embedding::{CACHE, MOST_TEXTS};
use tokio_util::task::TaskTracker;

fn wish(texts: &[&str]) -> EmbedRequest {
    EmbedRequest {
        model: ModelName::new("e"),
        texts: texts.iter().map(ToString::to_string).collect(),
        keep_alive: None,
    }
}

async fn ask(stage: &Stage, texts: &[&str]) -> Embeddings {
    embed(&stage.host, wish(texts)).await.unwrap()
}

/// Lets everyone who can move do so. Time cannot pass: a gate's thread waits, and the clock with it.
async fn let_others() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

async fn leased(stage: &Stage, purpose: &str) -> Bytes {
    let ledger = stage.ledger().await;
    let leases = ledger.leases.iter().filter(|l| l.purpose == purpose);
    leases.map(|lease| lease.bytes).sum()
}

const WEIGHTS: &str = "the weights of e";

#[tokio::test(start_paused = true)]
async fn texts_become_vectors_in_their_order_and_the_model_is_leased() {
    let stage = Setting::text("").start().await;
    let texts = [
        "the cat sleeps",
        "taxes are due",
        "a cat sleeps",
        "the cat sleeps",
    ];
    let answer = ask(&stage, &texts).await;
    assert_eq!(
        (answer.vectors.len(), answer.dimensions),
        (4, testkit::scripted::DIMENSIONS)
    );
    assert_eq!(answer.vectors[0], answer.vectors[3]);
    let near = cosine(&answer.vectors[0], &answer.vectors[2]);
    assert!(near > cosine(&answer.vectors[0], &answer.vectors[1]));
    // A text that comes twice is made once, and counts twice.
    assert_eq!((answer.tokens, stage.control.counts().embedded), (20, 3));
    assert_eq!(leased(&stage, WEIGHTS).await, Bytes::mib(1));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn one_load_serves_many_and_one_batch_takes_them_together() {
    let stage = Setting::text("").start().await;
    let gate = stage.control.gate_load(2);
    let asks: Vec<_> = (0..8)
        .map(|n| {
            let host = stage.host.clone();
            let text = format!("text number {n}");
            TaskTracker::new().spawn(async move { embed(&host, wish(&[&text])).await })
        })
        .collect();
    stage.control.wait_until(|c| c.loads == 1).await;
    // All of them are at the desk before the model is there.
    let_others().await;
    gate.release();
    for ask in asks {
        assert_eq!(ask.await.unwrap().unwrap().vectors.len(), 1);
    }
    let counts = stage.control.counts();
    assert_eq!((counts.loads, counts.steps, counts.embedded), (1, 1, 8));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_embedded_lately_costs_nothing_and_is_leased_and_swept() {
    let stage = Setting::text("").start().await;
    let first = ask(&stage, &["one", "two"]).await;
    let again = ask(&stage, &["two", "one", "three"]).await;
    assert_eq!(again.vectors[1], first.vectors[0]);
    assert_eq!(again.vectors[0], first.vectors[1]);
    assert_eq!(again.tokens, 9);
    assert_eq!(stage.control.counts().embedded, 3);
    assert_eq!(leased(&stage, CACHE).await, Bytes::mib(1));
    let caches = || async {
        let status = stage.janitor.ask(cache_janitor::Status, DEADLINE).await;
        let caches = status.unwrap().caches.into_iter();
        let held = caches.filter(|cache| cache.name == CACHE);
        held.map(|cache| cache.held.entries).sum::<usize>()
    };
    assert_eq!(caches().await, 3);
    tokio::time::sleep(Duration::from_hours(25)).await;
    assert_eq!(
        (caches().await, leased(&stage, CACHE).await),
        (0, Bytes::ZERO)
    );
    ask(&stage, &["one"]).await;
    assert_eq!(stage.control.counts().embedded, 4);
    stage.close().await;
}

/// Answered from what is kept, a request does not even load the model.
#[tokio::test(start_paused = true)]
async fn what_is_kept_outlives_the_model() {
    let stage = Setting::text("").start().await;
    let mut once = wish(&["one"]);
    once.keep_alive = Some(KeepAlive::NOT);
    embed(&stage.host, once).await.unwrap();
    stage
        .settle("unloaded", |l| {
            l.leases.iter().all(|l| l.purpose != WEIGHTS)
        })
        .await;
    ask(&stage, &["one"]).await;
    assert_eq!(stage.control.counts().loads, 1);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_model_goes_after_keep_alive_and_comes_back() {
    let stage = Setting::text("").start().await;
    ask(&stage, &["one"]).await;
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert_eq!(leased(&stage, WEIGHTS).await, Bytes::mib(1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(leased(&stage, WEIGHTS).await, Bytes::ZERO);
    assert_eq!(stage.control.counts().engines, 0);
    ask(&stage, &["two"]).await;
    assert_eq!(stage.control.counts().loads, 2);
    stage.close().await;
}

/// One MiB for the embedding model, and the other model needs it.
#[tokio::test(start_paused = true)]
async fn an_idle_embedding_model_makes_room_for_who_answers() {
    let stage = Setting::text("hi").memory(Bytes(1_800_000)).start().await;
    ask(&stage, &["one"]).await;
    assert_eq!(leased(&stage, WEIGHTS).await, Bytes::mib(1));
    let heard = common::hear(stage.ask(common::request("r")).await.unwrap()).await;
    assert_eq!(heard.text, "hi");
    assert_eq!(leased(&stage, WEIGHTS).await, Bytes::ZERO);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashed_batch_is_tried_again_once() {
    let stage = Setting::text("").start().await;
    stage.control.panic_next(1);
    assert_eq!(ask(&stage, &["one"]).await.vectors.len(), 1);
    assert_eq!(stage.control.counts().loads, 2);
    stage.control.panic_next(2);
    let crashed = embed(&stage.host, wish(&["two"])).await;
    assert!(
        matches!(&crashed, Err(GenerationError::EngineCrashed { crashes: 2, reason }) if reason.contains("scripted panic")),
        "{crashed:?}"
    );
    // An error of the embedder is a crash as well, and what was made before is still there.
    stage.control.fail_next(1);
    ask(&stage, &["one", "three"]).await;
    assert_eq!(stage.control.counts().embedded, 2 + 2 + 2);
    assert_eq!(leased(&stage, WEIGHTS).await, Bytes::mib(1));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_fails_reaches_everyone_and_the_next_tries_again() {
    let stage = Setting::text("").start().await;
    for fail in [
        |stage: &Stage| stage.control.fail_loads(1),
        |stage: &Stage| stage.control.panic_loads(1),
    ] {
        let gate = stage.control.gate_load(1);
        let loads = stage.control.counts().loads;
        fail(&stage);
        let asks: Vec<_> = (0..3)
            .map(|_| {
                let host = stage.host.clone();
                TaskTracker::new().spawn(async move { embed(&host, wish(&["x"])).await })
            })
            .collect();
        stage.control.wait_until(|c| c.loads == loads + 1).await;
        let_others().await;
        gate.release();
        for ask in asks {
            let failed = ask.await.unwrap();
            assert!(
                matches!(&failed, Err(GenerationError::LoadFailed { reason, .. }) if reason.contains("scripted")),
                "{failed:?}"
            );
        }
    }
    assert_eq!(ask(&stage, &["x"]).await.vectors.len(), 1);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_too_large_or_too_much_is_refused() {
    let stage = Setting::text("").memory(Bytes(1000)).start().await;
    let mut missing = wish(&["x"]);
    missing.model = ModelName::new("missing");
    let refused = embed(&stage.host, missing).await;
    assert!(
        matches!(&refused, Err(GenerationError::ModelNotFound { hint, .. }) if hint == "look elsewhere"),
        "{refused:?}"
    );
    let refused = embed(&stage.host, wish(&vec!["x"; MOST_TEXTS + 1])).await;
    assert!(
        matches!(&refused, Err(GenerationError::Invalid(e)) if e.field == "texts"),
        "{refused:?}"
    );
    let refused = embed(&stage.host, wish(&["x"])).await;
    assert!(
        matches!(
            &refused,
            Err(GenerationError::Unavailable { .. } | GenerationError::MemoryExhausted { .. })
        ),
        "{refused:?}"
    );
    assert_eq!(stage.control.counts().loads, 0);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_said_at_once_and_who_leaves_makes_room() {
    let stage = Setting::text("").config(|c| c.queue = 2).start().await;
    let gate = stage.control.gate_load(1);
    let begin = |text: &'static str| {
        let host = stage.host.clone();
        TaskTracker::new().spawn(async move { embed(&host, wish(&[text])).await })
    };
    let (first, second) = (begin("a"), begin("b"));
    stage.control.wait_until(|c| c.loads == 1).await;
    let_others().await;
    let refused = embed(&stage.host, wish(&["c"])).await;
    assert!(
        matches!(refused, Err(GenerationError::Overloaded { waiting: 2, .. })),
        "{refused:?}"
    );
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    let third = begin("c");
    let_others().await;
    gate.release();
    assert_eq!(first.await.unwrap().unwrap().vectors.len(), 1);
    assert_eq!(third.await.unwrap().unwrap().vectors.len(), 1);
    assert_eq!(stage.control.counts().embedded, 2);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_nobody_waits_for_ends() {
    let stage = Setting::text("").start().await;
    let gate = stage.control.gate_load(1);
    let host = stage.host.clone();
    let asking = TaskTracker::new().spawn(async move { embed(&host, wish(&["a"])).await });
    stage.control.wait_until(|c| c.loads == 1).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    gate.release();
    stage.control.wait_until(|c| c.loads_cancelled == 1).await;
    stage
        .settle("given back", |l| l.leased == Bytes::ZERO)
        .await;
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn two_models_take_turns() {
    let stage = Setting::text("").start().await;
    for model in ["e", "f", "e"] {
        let mut wish = wish(&["x"]);
        wish.model = ModelName::new(model);
        wish.texts[0].push_str(&stage.control.counts().loads.to_string());
        embed(&stage.host, wish).await.unwrap();
        assert_eq!(stage.control.counts().engines, 1);
    }
    assert_eq!(stage.control.counts().loads, 3);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_does_not_end_is_given_up() {
    let stage = Setting::text("").start().await;
    ask(&stage, &["warm"]).await;
    let gate = stage.control.gate_step(2);
    let host = stage.host.clone();
    let asking = TaskTracker::new().spawn(async move { embed(&host, wish(&["stuck"])).await });
    stage.control.wait_until(|c| c.steps == 2).await;
    tokio::time::advance(Duration::from_secs(301)).await;
    let given_up = asking.await.unwrap();
    assert!(
        matches!(given_up, Err(GenerationError::EngineStuck { .. })),
        "{given_up:?}"
    );
    let refused = embed(&stage.host, wish(&["other"])).await;
    assert!(
        matches!(refused, Err(GenerationError::EngineStuck { .. })),
        "{refused:?}"
    );
    gate.release();
    stage.control.wait_until(|c| c.steps == 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ask(&stage, &["other"]).await;
    assert_eq!(stage.control.counts().loads, 1);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_answers_everyone() {
    let mut stage = Setting::text("").start().await;
    let gate = stage.control.gate_step(1);
    let host = stage.host.clone();
    let asking = TaskTracker::new().spawn(async move { embed(&host, wish(&["a"])).await });
    stage.control.wait_until(|c| c.steps == 1).await;
    let scene = stage.scene();
    let stopping = TaskTracker::new().spawn(async move { scene.stop().await });
    let_others().await;
    gate.release();
    assert_eq!(asking.await.unwrap().unwrap().vectors.len(), 1);
    assert_eq!(stopping.await.unwrap().abandoned, []);
    let after = embed(&stage.host, wish(&["a"])).await;
    assert!(
        matches!(after, Err(GenerationError::Unavailable { .. })),
        "{after:?}"
    );
}
