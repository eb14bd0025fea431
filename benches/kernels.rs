//! Our kernels against candle's block kernels, in one process, turn about: the same model, the same steps. Ours run on one
//! thread, and the fastest of them on two as well.
//!
//! ```sh
//! cargo bench -p paraphym_inference --bench kernels [-- [--portable] [--only=LANE] [--measure=NAME] [MODEL.gguf]]
//! ```
//!
//! Without a path it takes the default model from where models are kept; with `--portable` the portable kernels run, too, which
//! takes long; `--only=avx512` and the like runs one lane, `--measure=prefill` what begins like
//! this, to be looked at with a profiler. The figures of each lane are medians of the rounds in tokens per second; quote the ratios, for a machine's mood
//! changes from minute to minute.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people that measures real time"
)]

use std::error::Error;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use domain::Sampling;
use engine::helpers::Helpers;
use engine::{Beginning, Engine, ModelSource, PrefixId, SequenceId, SequencePlan, StepInput};
use paraphym_inference::cpu::Kind;
use paraphym_inference::{Decoder, GgufLoader};

const MODEL: &str = ".local/share/paraphym/models/SmolLM2-135M-Instruct.Q4_1.gguf";
/// Odd, so that the median is one of them.
const ROUNDS: usize = 3;
const PREFILL: usize = 128;
/// Tokens decoded for one figure.
const DECODED: usize = 24;
const BATCH: u64 = 8;
const MEASURES: [&str; 4] = [
    "prefill 128",
    "decode at 16",
    "decode at 512",
    "decode of 8 at 16",
];

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One way to compute.
struct Lane {
    name: String,
    decoder: Decoder,
    /// Tokens per second, by measure and round.
    figures: [Vec<f64>; MEASURES.len()],
}

fn tokens(count: usize, seed: u64) -> Vec<u32> {
    let of = |index: u64| 1000 + ((index * 7919 + seed * 104_729) % 40_000) as u32;
    (0..count as u64).map(of).collect()
}

fn open(decoder: &mut Decoder, id: u64) -> Outcome<()> {
    let plan = plan();
    Ok(decoder.open(SequenceId(id), plan)?)
}

fn plan() -> SequencePlan {
    SequencePlan {
        capacity_tokens: 640,
        sampling: Sampling::greedy(),
        prompt_tokens: 0,
    }
}

fn prefill(decoder: &mut Decoder, id: u64, count: usize) -> Outcome<()> {
    let input = StepInput {
        sequence: SequenceId(id),
        tokens: tokens(count, id),
        sample: true,
    };
    decoder.step(&[input])?;
    Ok(())
}

/// Tokens per second of all sequences together.
fn decode(decoder: &mut Decoder, ids: std::ops::Range<u64>) -> Outcome<f64> {
    let begin = Instant::now();
    let mut made = 0;
    for turn in 0..DECODED {
        let batch: Vec<StepInput> = ids
            .clone()
            .map(|id| StepInput {
                sequence: SequenceId(id),
                tokens: tokens(1, id + turn as u64),
                sample: true,
            })
            .collect();
        made += decoder.step(&batch)?.len();
    }
    Ok(made as f64 / begin.elapsed().as_secs_f64())
}

fn measure(decoder: &mut Decoder, which: usize) -> Outcome<f64> {
    match which {
        0 => {
            open(decoder, 1)?;
            let begin = Instant::now();
            prefill(decoder, 1, PREFILL)?;
            let rate = PREFILL as f64 / begin.elapsed().as_secs_f64();
            decoder.close(SequenceId(1));
            Ok(rate)
        }
        1 => {
            open(decoder, 1)?;
            prefill(decoder, 1, 16)?;
            let rate = decode(decoder, 1..2)?;
            decoder.close(SequenceId(1));
            Ok(rate)
        }
        2 => {
            let from = Beginning {
                prefix: PrefixId(1),
                tokens: 512,
            };
            decoder.open_from(SequenceId(1), plan(), from)?;
            let rate = decode(decoder, 1..2)?;
            decoder.close(SequenceId(1));
            Ok(rate)
        }
        _ => {
            for id in 1..=BATCH {
                open(decoder, id)?;
                prefill(decoder, id, 16)?;
            }
            let rate = decode(decoder, 1..BATCH + 1)?;
            for id in 1..=BATCH {
                decoder.close(SequenceId(id));
            }
            Ok(rate)
        }
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> Outcome<()> {
    let options = runtime::RuntimeOptions::default();
    runtime::run(&options, |_| async {
        let handle = tokio::runtime::Handle::current();
        let two = NonZeroUsize::MIN.saturating_add(1);
        let helpers = Arc::new(runtime::BlockingHelpers::new(handle, two));
        let all = move || compare(helpers).map_err(|error| error.to_string());
        tokio::task::spawn_blocking(all).await
    })???;
    Ok(())
}

fn compare(helpers: Arc<dyn Helpers>) -> Outcome<()> {
    let named = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let path = match named {
        Some(path) => PathBuf::from(path),
        None => std::env::home_dir().ok_or("no home folder")?.join(MODEL),
    };
    let source = ModelSource { path };
    let portable = std::env::args().any(|word| word == "--portable");
    let said = |flag: &str| std::env::args().find_map(|word| Some(word.strip_prefix(flag)?.to_owned()));
    let (only, measured) = (said("--only="), said("--measure=").unwrap_or_default());
    let kinds = Kind::here().filter(|kind| portable || *kind != Kind::Portable);
    let loaders = [("candle".to_owned(), GgufLoader::unpacked())]
        .into_iter()
        .chain(kinds.map(|kind| (kind.to_string(), GgufLoader::with_kind(kind))))
        .chain([(
            "two threads".to_owned(),
            GgufLoader::new().with_helpers(helpers),
        )]);
    let mut lanes = Vec::new();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    for (name, loader) in loaders.filter(|(name, _)| wanted(name)) {
        let begin = Instant::now();
        let (_, mut decoder, _) = loader.load_parts(&source, &mut |_| ControlFlow::Continue(()))?;
        println!("{name}: loaded in {:.2} s", begin.elapsed().as_secs_f64());
        open(&mut decoder, 1)?;
        prefill(&mut decoder, 1, 512)?;
        decoder.keep(SequenceId(1), PrefixId(1), 512);
        lanes.push(Lane {
            name,
            decoder,
            figures: Default::default(),
        });
    }
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}");
        for lane in &mut lanes {
            for (which, figures) in lane.figures.iter_mut().enumerate() {
                if !MEASURES.get(which).is_some_and(|name| name.starts_with(&measured)) {
                    continue;
                }
                figures.push(measure(&mut lane.decoder, which)?);
            }
        }
    }
    for (which, measure) in MEASURES.iter().enumerate() {
        let of = |lane: &Lane| lane.figures.get(which).map_or(f64::NAN, |f| median(f));
        let base = lanes.first().map_or(f64::NAN, of);
        for lane in &lanes {
            let rate = of(lane);
            println!(
                "{measure:>18} | {:>11} | {rate:8.1} tokens/s | {:6.2} times candle's",
                lane.name,
                rate / base
            );
        }
    }
    Ok(())
}
