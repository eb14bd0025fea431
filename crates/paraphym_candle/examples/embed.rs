//! A local model in an app of your own.
//!
//! ```sh
//! cargo run --release --package paraphym_candle --example embed -- "What is a good name for a cat?"
//! ```
#![allow(clippy::print_stdout, reason = "a program for people")]

use paraphym_candle::{GenerationEvent, Paraphym, RuntimeOptions, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let question = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "Say hello.".into());
    // An app with a runtime calls `paraphym_candle::confine()` first in `main`, and awaits the same there.
    run(&RuntimeOptions::default(), |runtime| async move {
        let host = Paraphym::builder().runtime(runtime).start().await?;
        host.pull_default(&mut |_| {}).await?;
        let mut answer = host.prompt(question).await?;
        while let Some(event) = answer.next().await {
            match event {
                GenerationEvent::Text(text) => print!("{text}"),
                GenerationEvent::Failed(error) => return Err(error.into()),
                _ => {}
            }
        }
        println!();
        host.shutdown().await;
        Ok(())
    })?
}
