//! What an operator sees of the tokens that are kept.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use common::{Setting, hear, request, user};
use domain::{KeepAlive, Message, ModelName, Prompt};
use paraphym_model_host::Unload;
use telemetry::Metrics;

/// One test alone in its process: the recorder is the process's.
#[tokio::test(start_paused = true)]
async fn what_was_known_and_what_is_kept_is_counted() {
    let metrics = Metrics::install().unwrap();
    let stage = Setting::text("yes")
        .config(|c| c.keep_alive = KeepAlive::Forever)
        .start()
        .await;
    let two = Prompt::Chat(vec![Message::user("one"), Message::user("two")]);
    for prompt in [user("one"), two, user("two")] {
        let mut ask = request("a");
        ask.prompt = prompt;
        hear(stage.ask(ask).await.unwrap()).await.finished();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let shown = |line: &str| {
        let text = metrics.render();
        assert!(text.contains(line), "{line} is not in\n{text}");
    };
    shown("paraphym_tokenised_lookups_total{model=\"m\",reason=\"hit\"} 2");
    shown("paraphym_tokenised_lookups_total{model=\"m\",reason=\"miss\"} 2");
    // "user: one\n" with a token for each byte.
    let each = 340 + 10 + 4 * 10;
    shown(&format!(
        "paraphym_tokenised_bytes{{model=\"m\"}} {}",
        2 * each
    ));
    // The first was used two seconds before the second.
    tokio::time::sleep(Duration::from_secs(9 * 60 + 59)).await;
    shown(&format!("paraphym_tokenised_bytes{{model=\"m\"}} {each}"));
    let model = ModelName::new("m");
    let unload = stage.host.ask(Unload { model }, common::DEADLINE).await;
    unload.unwrap();
    shown("paraphym_tokenised_bytes{model=\"m\"} 0");
    stage.close().await;
}
