//! Answers from files: documents are made findable, and a turn is shown what fits its question, and cites it.
//!
//! ```sh
//! cargo run --release --package paraphym_candle --features memory --example rag -- 'docs/**/*.md' "How does it end?"
//! ```
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

use std::error::Error;

use paraphym_candle::{ConversationId, Paraphym, RuntimeOptions, TurnEvent, run};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(files), Some(question)) = (words.next(), words.next()) else {
        return Err(
            "say which files and what to ask: rag 'docs/**/*.md' \"How does it end?\"".into(),
        );
    };
    run(&RuntimeOptions::default(), |runtime| async move {
        let host = Paraphym::builder().runtime(runtime).start().await?;
        host.pull_default(&mut |_| {}).await?;
        // Words alone are searched where the embedding model is not here; `ensure_embedding_model` brings it.
        let added = host.add_documents(&[files], |_| {}).await?;
        for refused in &added.refused {
            eprintln!("left out: {}: {}", refused.path, refused.why);
        }
        println!("{} documents", added.documents.len());
        let turn = host.with_documents(host.turn_settings(), &added);
        let conversation = ConversationId::new("questions");
        let mut events = host.ask(&conversation, &question, turn).await?;
        while let Some(event) = events.next().await {
            match event {
                TurnEvent::Recalled { citations, .. } => {
                    for citation in citations {
                        println!("[{:.2}] {}", citation.score, citation.source);
                    }
                }
                TurnEvent::Text(text) => print!("{text}"),
                TurnEvent::Failed(error) => return Err(error.into()),
                _ => {}
            }
        }
        println!();
        host.shutdown().await;
        Ok(())
    })?
}
