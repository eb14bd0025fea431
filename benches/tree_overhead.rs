//! What the tree costs: decoding the same answer by the bare engine loop and through the whole tree, alternately, in
//! one process. The promise is at most 2 %.
//!
//! ```sh
//! cargo bench --package paraphym_benches --bench tree_overhead
//! ```
//!
//! Reads the default model, or the GGUF that `PARAPHYM_TEST_MODEL` names. Prints one line per round and the median of
//! the rounds' ratios; it judges nothing by exit code, because a timing is not a test.

use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use domain::{ConversationId, Message, ModelName, Sampling, TurnEvent};
use engine::{Engine, ModelLoader, ModelSource, SequenceId, SequencePlan, StepInput, TextCodec};
use inference::GgufLoader;
use paraphym_benches::median;
use paraphym_candle::{Paraphym, RuntimeOptions, Store, StoreConfig, TurnSettings, run};
use tokio::time::Instant;

/// Alternations; an odd number, so that the median is one of them.
const ROUNDS: usize = 15;
/// Tokens per answer; long enough that one late wake-up does not decide a round.
const TOKENS: u32 = 64;
/// Prompt tokens per step, as a lane does it.
const CHUNK: usize = 32;
const QUESTION: &str = "Explain in detail how a bicycle stays upright.";

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Box<dyn Error>> {
    let report = run(&RuntimeOptions::default(), |runtime| async move {
        let path = model_path()?;
        // Both from memory of this process, as the bare engine has it.
        let author = chat_config::Author {
            who: "a bench".to_owned(),
            at: SystemTime::UNIX_EPOCH,
        };
        let flags = ["model.packed_copies=false".to_owned()];
        let settings = chat_config::Store::without_file([], &flags, author)?;
        let builder = Paraphym::builder().runtime(runtime).settings(settings);
        let host = builder.start().await?;
        let outcome = compare(&host, path).await;
        host.shutdown().await;
        outcome
    })?;
    report.map_err(|failure: Failure| -> Box<dyn Error> { failure })
}

fn model_path() -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os("PARAPHYM_TEST_MODEL") {
        return Ok(path.into());
    }
    let store = Store::open(StoreConfig::at(None))?;
    Ok(store.resolve(&ModelName::new(paraphym_candle::DEFAULT_MODEL))?)
}

async fn compare(host: &Paraphym, path: PathBuf) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let source = ModelSource { path: path.clone() };
    let load = move || GgufLoader::new().load(&source, &mut |_| ControlFlow::Continue(()));
    let loaded = tokio::task::spawn_blocking(load).await??;
    let tokens = loaded
        .text
        .encode_chat(&[Message::user(QUESTION)], &domain::Tools::default())?;
    let (mut engine, text) = (loaded.engine, loaded.text);
    let model = ModelName::new(path.to_string_lossy());
    // Both sides once unmeasured: pages are touched, the tree's model is loaded.
    through_tree(host, &model, ROUNDS).await?;

    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let sequence = SequenceId(round as u64);
        let (prompt, codec) = (tokens.clone(), text.clone());
        let bare_loop = move || {
            let taken = bare(engine.as_mut(), codec.as_ref(), sequence, &prompt);
            (engine, taken)
        };
        let (home, taken) = tokio::task::spawn_blocking(bare_loop).await?;
        engine = home;
        let bare = taken?;
        let tree = through_tree(host, &model, round).await?;
        let ratio = tree.as_secs_f64() / bare.as_secs_f64();
        writeln!(
            out,
            "round {round:2}: bare {:6.2} ms/token, tree {:6.2} ms/token, ratio {ratio:.4}",
            per_token_ms(bare),
            per_token_ms(tree),
        )?;
        ratios.push(ratio);
    }
    let middle = median(&ratios).ok_or("no round was measured")?;
    writeln!(
        out,
        "median ratio {middle:.4}: the tree costs {:+.2} %",
        (middle - 1.0) * 100.0
    )?;
    Ok(())
}

fn per_token_ms(taken: Duration) -> f64 {
    taken.as_secs_f64() * 1e3 / f64::from(TOKENS - 1)
}

fn sampling() -> Sampling {
    // The end of the turn would cut rounds short; a stop text nobody says keeps the text side as busy as it usually is.
    Sampling {
        max_tokens: TOKENS,
        stop: vec!["\u{1}".to_owned()],
        ..Sampling::greedy()
    }
}

/// From the first token to the last, on this thread.
fn bare(
    engine: &mut dyn Engine,
    text: &dyn TextCodec,
    sequence: SequenceId,
    prompt: &[u32],
) -> Result<Duration, Failure> {
    let prompt_tokens = u32::try_from(prompt.len())?;
    let capacity_tokens = prompt_tokens + TOKENS;
    engine.open(
        sequence,
        SequencePlan {
            capacity_tokens,
            sampling: sampling(),
            prompt_tokens,
        },
    )?;
    let mut next = None;
    let chunks = prompt.chunks(CHUNK).count();
    for (n, chunk) in prompt.chunks(CHUNK).enumerate() {
        let input = StepInput {
            sequence,
            tokens: chunk.to_vec(),
            sample: n + 1 == chunks,
        };
        next = engine
            .step(&[input])?
            .first()
            .and_then(|output| output.token);
    }
    let began = Instant::now();
    let mut said = 0usize;
    for _ in 1..TOKENS {
        let token = next.ok_or("the engine sampled nothing")?;
        said += text.bytes_of(token).len();
        let input = StepInput {
            sequence,
            tokens: vec![token],
            sample: true,
        };
        next = engine
            .step(&[input])?
            .first()
            .and_then(|output| output.token);
    }
    let taken = began.elapsed();
    engine.close(sequence);
    if said == 0 {
        return Err("the answer is empty".into());
    }
    Ok(taken)
}

/// From the first text to the end, through every actor: a turn of a conversation of its own.
async fn through_tree(
    host: &Paraphym,
    model: &ModelName,
    round: usize,
) -> Result<Duration, Failure> {
    let conversation = ConversationId::new(format!("bench-{round}"));
    let settings = TurnSettings {
        sampling: sampling(),
        ..TurnSettings::new(model.clone())
    };
    let mut stream = host.ask(&conversation, QUESTION, settings).await?;
    let mut began = None;
    while let Some(event) = stream.next().await {
        match event {
            TurnEvent::Text(_) => {
                began.get_or_insert_with(Instant::now);
            }
            TurnEvent::Finished { usage, .. } if usage.completion_tokens == TOKENS => {
                let began: Instant = began.ok_or("no text came")?;
                return Ok(began.elapsed());
            }
            TurnEvent::Finished { usage, .. } => {
                return Err(format!(
                    "{} tokens came instead of {TOKENS}",
                    usage.completion_tokens
                )
                .into());
            }
            TurnEvent::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
    Err("the stream ended without an end".into())
}
