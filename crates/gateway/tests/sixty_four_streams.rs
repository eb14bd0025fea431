//! Sixty-four streams at once, and each client reads every piece of its own answer, in order: text that was said once
//! arrives once. How late it arrives is the bench's to say (`benches/edge`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod support;

use model_host::HostConfig;
use support::{Scene, ask, chat, said};
use testkit::scripted::Answer;

const STREAMS: u32 = 64;
/// A second at 500 tokens a second.
const TOKENS: u32 = 500;

#[tokio::test]
async fn sixty_four_streams_at_once_lose_and_reorder_nothing() {
    let host = HostConfig {
        max_batch: STREAMS as usize,
        queue: STREAMS as usize,
        ..HostConfig::default()
    };
    let scene = Scene::with_host(Answer::Counting, host, |_| {}).await;
    // All of them are in before anybody is answered to the end.
    let gate = scene.control.gate_step(1);
    let address = scene.address;
    let reading = (0..STREAMS).map(|seed| {
        let fields = format!(
            r#","stream":true,"max_tokens":{TOKENS},"seed":{}"#,
            seed * 13
        );
        async move { (seed * 13, chat(address, &ask(&fields)).await) }
    });
    let opening = async {
        scene.wait_until_accepted(STREAMS as usize).await;
        gate.release();
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(reading), opening);
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
