//! A local model in an app of your own, in forty lines.
//!
//! ```sh
//! cargo run --release --package paraphym_candle --example embed -- "What is a good name for a cat?"
//! ```

use std::error::Error;
use std::io::Write;

use paraphym_candle::{GenerationEvent, Paraphym, RuntimeOptions, run};

fn main() -> Result<(), Box<dyn Error>> {
    let question = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "Say hello.".to_owned());
    // An app with a runtime of its own calls `paraphym_candle::confine()` first in `main`, and awaits the same there.
    run(&RuntimeOptions::default(), |runtime| async move {
        let host = Paraphym::builder().runtime(runtime).start().await?;
        let result = answer(&host, &question).await;
        let report = host.shutdown().await;
        assert!(report.abandoned.is_empty(), "nothing was left unfinished");
        result
    })?
}

async fn answer(host: &Paraphym, question: &str) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    host.pull_default(&mut |_| {}).await?;
    let mut stream = host.prompt(question).await?;
    while let Some(event) = stream.next().await {
        match event {
            GenerationEvent::Text(text) => {
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
            GenerationEvent::Finished { reason, usage } => {
                writeln!(
                    out,
                    "\n[{}, {} tokens]",
                    reason.as_str(),
                    usage.completion_tokens
                )?;
            }
            GenerationEvent::Failed(error) => return Err(error.into()),
            GenerationEvent::Queued { .. }
            | GenerationEvent::Loading { .. }
            | GenerationEvent::Prefill { .. }
            | GenerationEvent::ToolCall(_)
            | GenerationEvent::Logprobs(_) => {}
        }
    }
    Ok(())
}
