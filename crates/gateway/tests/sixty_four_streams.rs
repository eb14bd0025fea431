//! Sixty-four streams at once, and each client reads every piece of its own answer, in order: text that was said once
//! arrives once. How late it arrives is the bench's to say (`benches/edge`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use crate::support;

use std::time::Duration;

use model_host::HostConfig;
use support::{Scene, ask, chat, said};
use testkit::scripted::{Answer, ScriptedLoader};
use tokio::time::interval;

const STREAMS: u32 = 64;
/// A second at 500 tokens a second.
const TOKENS: u32 = 500;
const STEP: Duration = Duration::from_millis(2);
/// Steps that keep the pace: those of the answers, and the few in which the last of them join.
const STEPS: u64 = 700;

#[tokio::test]
async fn sixty_four_streams_at_once_lose_and_reorder_nothing() {
    let host = HostConfig {
        max_batch: STREAMS as usize,
        queue: STREAMS as usize,
        ..HostConfig::default()
    };
    // So small that no machine is short of memory for it.
    let loader = ScriptedLoader::new(Answer::Counting).with_card(|card| {
        card.context_tokens = 4096;
        card.kv_bytes_per_token = domain::Bytes(1);
    });
    let control = loader.control();
    let scene = Scene::with_any(loader, control, host).await.unwrap();
    // The model's pace: a token of every answer with each tick.
    let gates: Vec<_> = (1..=STEPS)
        .map(|step| scene.control.gate_step(step))
        .collect();
    let address = scene.address;
    let reading = (0..STREAMS).map(|seed| {
        let fields = format!(
            r#","stream":true,"max_tokens":{TOKENS},"seed":{}"#,
            seed * 13
        );
        async move { (seed * 13, chat(address, &ask(&fields)).await) }
    });
    let pace = async {
        // However late the last of them comes: until then the first step waits.
        scene.wait_until_accepted(STREAMS as usize).await;
        let mut ticks = interval(STEP);
        for gate in gates {
            ticks.tick().await;
            gate.release();
        }
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(reading), pace);
    for (seed, answer) in answers {
        assert_eq!(
            said(&answer.body),
            Answer::counting(u64::from(seed), TOKENS),
            "{seed}"
        );
        assert!(answer.body.ends_with("data: [DONE]\n\n"), "{seed}");
        let reasons = answer.body.matches(r#""finish_reason":"length""#).count();
        assert_eq!(reasons, 1, "{seed}");
    }
    assert_eq!(scene.control.counts().most_open, STREAMS as usize);
    scene.end().await;
}
