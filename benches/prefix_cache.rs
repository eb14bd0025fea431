//! What a kept prompt saves: the time to the first words of the first and of the second turn of a conversation of a
//! thousand tokens, through the whole tree, in one process, alternately. The promise is at least five times sooner.
//!
//! ```sh
//! cargo bench --package paraphym_benches --bench prefix_cache
//! ```
//!
//! Reads the default model, or the GGUF that `PARAPHYM_TEST_MODEL` names; without either a model of the fixture's, and
//! says so. Each round is a conversation of its own whose first words no other has, so its first turn finds nothing but
//! the model's standing instructions. Exits with 1 if the median of the rounds' ratios is below five: both sides of a
//! ratio share the machine's mood, and the margin is wide.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{ConversationId, ModelName, Sampling, TurnEvent, Usage};
use inference::fixture::{Sizes, TinyModel};
use paraphym_benches::median;
use paraphym_candle::{Paraphym, RuntimeOptions, Store, StoreConfig, TurnSettings, run};
use tokio::time::Instant;

/// Alternations; an odd number, so that the median is one of them.
const ROUNDS: usize = 3;
/// What the first turn's prompt holds at least.
const TOKENS: u32 = 1000;
/// A prompt may be longer than that by a note or two, and both answers must fit behind it.
const ANSWER: u32 = 16;
/// How much sooner the second turn starts, at least.
const PROMISE: f64 = 5.0;
const NEXT: &str = "And what follows from that?";

type Failure = Box<dyn Error + Send + Sync>;

/// The start of one turn.
struct Started {
    after: Duration,
    usage: Usage,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("paraphym-prefix-cache-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = model_path(&folder);
    let copies = folder.clone();
    let report = run(&RuntimeOptions::default(), |runtime| async move {
        let builder = Paraphym::builder().runtime(runtime).copies_dir(copies);
        let host = builder.start().await?;
        let outcome = compare(&host, path?).await;
        host.shutdown().await;
        outcome
    });
    std::fs::remove_dir_all(&folder)?;
    report?.map_err(|failure: Failure| -> Box<dyn Error> { failure })
}

fn model_path(folder: &Path) -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os("PARAPHYM_TEST_MODEL") {
        return Ok(path.into());
    }
    let store = Store::open(StoreConfig::at(None))?;
    match store.resolve(&ModelName::new(paraphym_candle::DEFAULT_MODEL)) {
        Ok(path) => Ok(path),
        Err(error) => {
            writeln!(
                std::io::stderr(),
                "{error}; a model of random weights stands in, so only the ratio means anything"
            )?;
            let path = folder.join("fixture.gguf");
            let sizes = Sizes {
                width: 256,
                heads: 8,
                kv_heads: 2,
                head_width: 32,
                layers: 12,
                feed_forward: 768,
                more_tokens: 0,
            };
            TinyModel::llama().sized(sizes).context(2048).write(&path)?;
            Ok(path)
        }
    }
}

async fn compare(host: &Paraphym, path: PathBuf) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let model = ModelName::new(path.to_string_lossy());
    // Loads the model, and measures what a note takes.
    let few = ask(host, &model, "few", &notes("first of all", 4))
        .await?
        .usage;
    let more = ask(host, &model, "more", &notes("second of all", 12))
        .await?
        .usage;
    let eight = more.prompt_tokens.saturating_sub(few.prompt_tokens).max(8);
    let count = 4 + (TOKENS.saturating_sub(few.prompt_tokens) * 8).div_ceil(eight) + 1;

    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let conversation = format!("bench-{round}");
        let text = notes(&format!("{round}, a new matter"), count);
        let first = ask(host, &model, &conversation, &text).await?;
        let second = ask(host, &model, &conversation, NEXT).await?;
        if first.usage.prompt_tokens < TOKENS {
            return Err(format!("the prompt has only {} tokens", first.usage.prompt_tokens).into());
        }
        let ratio = first.after.as_secs_f64() / second.after.as_secs_f64();
        writeln!(
            out,
            "round {round}: first turn {}, second turn {}, ratio {ratio:.1}",
            told(&first),
            told(&second),
        )?;
        ratios.push(ratio);
    }
    let middle = median(&ratios).ok_or("no round was measured")?;
    writeln!(out, "median ratio {middle:.1}: promised are {PROMISE}")?;
    if middle < PROMISE {
        return Err("the second turn starts too late".into());
    }
    Ok(())
}

fn told(started: &Started) -> String {
    let Started { after, usage } = started;
    format!(
        "{:7.1} ms ({} tokens, {} of them kept)",
        after.as_secs_f64() * 1e3,
        usage.prompt_tokens,
        usage.cached_tokens
    )
}

/// So many notes for a model to read; what they begin with makes them different from all others.
fn notes(begin: &str, count: u32) -> String {
    let note =
        |n| format!(" Note {n}: the river rose in the night and the old mill stood in water.");
    format!("{begin}.{}", (1..=count).map(note).collect::<String>())
}

/// A turn, up to its end; timed up to its first words.
async fn ask(
    host: &Paraphym,
    model: &ModelName,
    conversation: &str,
    text: &str,
) -> Result<Started, Failure> {
    let settings = TurnSettings {
        sampling: Sampling {
            max_tokens: ANSWER,
            ..Sampling::greedy()
        },
        ..TurnSettings::new(model.clone())
    };
    let asked = Instant::now();
    let conversation = ConversationId::new(conversation);
    let mut stream = host.ask(&conversation, text, settings).await?;
    let mut first = None;
    while let Some(event) = stream.next().await {
        match event {
            TurnEvent::Text(_) => {
                first.get_or_insert_with(|| asked.elapsed());
            }
            TurnEvent::Finished { usage, .. } => {
                let after = first.ok_or("no text came")?;
                return Ok(Started { after, usage });
            }
            TurnEvent::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
    Err("the stream ended without an end".into())
}
