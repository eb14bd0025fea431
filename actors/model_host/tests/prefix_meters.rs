//! What an operator sees of what is kept, and what the janitor knows of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use common::{DEADLINE, Setting, hear, request};
use domain::{Bytes, Prompt};
use telemetry::Metrics;

/// One test alone in its process: the recorder is the process's.
#[tokio::test(start_paused = true)]
async fn what_is_kept_is_counted_and_known_to_the_janitor() {
    let metrics = Metrics::install().unwrap();
    let stage = Setting::text("Eat well.").start().await;
    for prompt in ["x".repeat(100), "x".repeat(100), "y".repeat(50)] {
        let mut ask = request("a");
        ask.prompt = Prompt::Text(prompt);
        hear(stage.ask(ask).await.unwrap()).await.finished();
    }
    // 100 of x with two tokens of the answer, kept once; and as many of y.
    let bytes = (112 + 64) << 10;
    assert_eq!(stage.kv_kept().await, Bytes(bytes));
    let text = metrics.render();
    for line in [
        "paraphym_prefix_lookups_total{model=\"m\",reason=\"hit\"} 1".to_owned(),
        "paraphym_prefix_lookups_total{model=\"m\",reason=\"miss\"} 2".to_owned(),
        "paraphym_prefix_tokens_reused_total{model=\"m\"} 99".to_owned(),
        "paraphym_tokens_prompt_total{model=\"m\"} 151".to_owned(),
        format!("paraphym_prefix_bytes{{model=\"m\"}} {bytes}"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    let caches = stage.janitor.ask(cache_janitor::Status, DEADLINE).await;
    let caches = caches.unwrap().caches;
    let names: Vec<&str> = caches.iter().map(|cache| cache.name.as_str()).collect();
    assert_eq!(
        names,
        ["embeddings", "tokenised prompts of m", "prefix kv of m"]
    );
    // No texts were embedded, and a plain prompt is no chat.
    assert_eq!((caches[0].held.entries, caches[1].held.entries), (0, 0));
    assert_eq!(
        (caches[2].held.entries, caches[2].held.bytes),
        (2, Bytes(bytes))
    );
    assert!(caches[2].asked_next.is_some());
    stage.close().await;
}
