//! What an operator sees of a model: the counts are those of the engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use common::{Setting, hear, request};
use telemetry::Metrics;

/// One test alone in its process: the recorder is the process's.
#[tokio::test(start_paused = true)]
async fn the_numbers_are_those_of_the_engine() {
    let metrics = Metrics::install().unwrap();
    let stage = Setting::text("Eat well.").start().await;
    stage.control.panic_at(2);
    hear(stage.ask(request("a")).await.unwrap())
        .await
        .finished();
    let mut bad = request("b");
    bad.sampling.top_p = 7.0;
    assert!(stage.ask(bad).await.is_err());
    // What `Status` says is the same, and the crash took nothing back.
    let model = stage.models().await.remove(0);
    let totals = model.totals;
    assert_eq!((totals.generated_tokens, totals.prompt_tokens), (3, 22));
    assert_eq!((totals.first_tokens, model.requests.len()), (1, 0));
    // Asking the governor makes its gauges those of this moment.
    assert_eq!(stage.ledger().await.leases.len(), 1);
    let text = metrics.render();
    for line in [
        "paraphym_tokens_generated_total{model=\"m\"} 3",
        // Read again by the second engine.
        "paraphym_tokens_prompt_total{model=\"m\"} 22",
        "paraphym_engine_crashes_total{model=\"m\"} 1",
        "paraphym_step_seconds_count{model=\"m\"} 3",
        "paraphym_time_to_first_token_seconds_count{model=\"m\"} 1",
        "paraphym_requests_refused_total{reason=\"invalid\"} 1",
        "paraphym_sequences_active{model=\"m\"} 0",
        "paraphym_sequences_waiting{model=\"m\"} 0",
        "paraphym_memory_leased_bytes{purpose=\"weights\"} 1048576",
        "paraphym_memory_leased_bytes{purpose=\"conversation\"} 0",
        "paraphym_model_resident_bytes{model=\"m\"} 1048576",
        "paraphym_engine_recoveries_total{model=\"m\"} 1",
        "paraphym_requests_cancelled_total{model=\"m\"} 0",
        "paraphym_queue_wait_seconds_count{model=\"m\"} 1",
        "paraphym_inter_token_seconds_count{model=\"m\"} 2",
        "paraphym_batch_sequences_bucket{model=\"m\",le=\"1\"} 3",
        "paraphym_memory_limit_bytes 67108864",
        "paraphym_memory_pressure 0",
        "paraphym_memory_in_use_ratio{of=\"ledger\"} 0.015",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    stage.close().await;
}
