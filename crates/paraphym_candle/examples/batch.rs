//! Many prompts from a file, one a line, answered several at once, with a progress bar. Nobody floods the model: few more prompts
//! are given than it computes together, and when it says that it is busy, the prompt waits.
//!
//! ```sh
//! seq 1 1000 | sed 's/^/Count on from /' > prompts.txt
//! cargo run --release --package paraphym_candle --example batch -- prompts.txt > answers.jsonl
//! ```
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use paraphym_candle::{
    ContextPolicy, GenerationError, Message, Paraphym, Prompt, Request, RequestId, RuntimeOptions,
    Sampling, run,
};
use serde_json::json;

/// As many as the model computes in one step unless its settings say otherwise; a few more keep it busy.
const AT_ONCE: usize = 10;
/// Tokens of one answer.
const LENGTH: u32 = 24;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args()
        .nth(1)
        .ok_or("say which file: batch prompts.txt")?;
    let prompts = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let prompts: Vec<String> = prompts.lines().map(str::to_owned).collect();
    run(&RuntimeOptions::default(), |runtime| async move {
        let host = Paraphym::builder().runtime(runtime).start().await?;
        host.pull_default(&mut |_| {}).await?;
        // Shown on a terminal alone.
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}, {eta} left")?;
        let bar = ProgressBar::new(prompts.len() as u64).with_style(style);
        let answers = stream::iter(prompts.into_iter().enumerate());
        // Answers come in the order of their prompts.
        let mut answers = answers
            .map(|(number, prompt)| one(&host, number, prompt))
            .buffered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            let (number, text) = answer?;
            println!("{}", json!({"prompt": number, "answer": text}));
            bar.inc(1);
        }
        bar.finish();
        drop(answers);
        host.shutdown().await;
        Ok(())
    })?
}

/// The answer to one prompt.
async fn one(
    host: &Paraphym,
    number: usize,
    prompt: String,
) -> Result<(usize, String), GenerationError> {
    loop {
        let request = Request {
            id: RequestId::new(format!("batch-{number}")),
            model: host.default_model().clone(),
            prompt: Prompt::Chat(vec![Message::user(prompt.clone())]),
            sampling: Sampling {
                max_tokens: LENGTH,
                ..Sampling::greedy()
            },
            context: ContextPolicy::Refuse,
            keep_alive: None,
            tools: paraphym_candle::Tools::default(),
        };
        let answer = match host.generate(request).await {
            Ok(events) => events.collect().await?,
            Err(GenerationError::Overloaded { retry_after_ms, .. }) => {
                tokio::time::sleep(Duration::from_millis(retry_after_ms.max(10))).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        return Ok((number, answer.text));
    }
}
