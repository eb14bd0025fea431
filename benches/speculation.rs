//! Answers with tokens guessed ahead against the same without, in one process, turn about: tokens per second, passes and rows.
//!
//! ```sh
//! cargo bench -p paraphym_inference --bench speculation [-- MODEL.gguf]
//! ```
//!
//! The tokens are compared, for they must be the same. Quote the ratios, for a machine's mood changes from minute to minute.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people that measures real time"
)]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use domain::{Message, Sampling, Tools};
use engine::{Engine, ModelSource, SequenceId, SequencePlan, StepInput, TextCodec, TokenId};
use paraphym_inference::{Decoder, GgufLoader};

const MODEL: &str = ".local/share/paraphym/models/SmolLM2-135M-Instruct.Q4_1.gguf";
/// Odd, so that the median is one of them.
const ROUNDS: usize = 5;
const TOKENS: usize = 120;
const PROMPTS: [(&str, &str); 3] = [
    (
        "a copy",
        "Repeat this text word for word: The lighthouse keeper climbed the narrow stairs every evening before the sun \
         went down. He lit the great lamp, wrote the hour into his book, and watched the ships pass far out on the dark \
         water. In the morning he put out the light, swept the stairs, and slept until noon. Nobody came to see him but \
         the boatman, who brought bread, oil and letters on the first day of each month.",
    ),
    (
        "a list",
        "Count from 1 to 30, each number on a line of its own with its square.",
    ),
    (
        "an essay",
        "Explain in your own words why the sky is blue and the sunset is red.",
    ),
];

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Run {
    tokens: Vec<TokenId>,
    rate: f64,
    passes: u64,
    rows: u64,
}

fn answer(decoder: &mut Decoder, prompt: &[TokenId], sampling: &Sampling) -> Outcome<Run> {
    let id = SequenceId(1);
    let plan = SequencePlan {
        capacity_tokens: u32::try_from(prompt.len() + TOKENS)?,
        sampling: sampling.clone(),
        prompt_tokens: u32::try_from(prompt.len())?,
    };
    decoder.open(id, plan)?;
    let step = |tokens: Vec<TokenId>, decoder: &mut Decoder| -> Outcome<TokenId> {
        let sample = true;
        let sequence = id;
        let outputs = decoder.step(&[StepInput {
            sequence,
            tokens,
            sample,
        }])?;
        Ok(outputs.first().and_then(|o| o.token).ok_or("no token")?)
    };
    let mut tokens = vec![step(prompt.to_vec(), decoder)?];
    let (passes, rows) = (decoder.passes(), decoder.rows());
    let begin = Instant::now();
    while let Some(&last) = tokens.last().filter(|_| tokens.len() < TOKENS) {
        tokens.push(step(vec![last], decoder)?);
    }
    let rate = (TOKENS - 1) as f64 / begin.elapsed().as_secs_f64();
    decoder.close(id);
    Ok(Run {
        tokens,
        rate,
        passes: decoder.passes() - passes,
        rows: decoder.rows() - rows,
    })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> Outcome<()> {
    let named = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let path = match named {
        Some(path) => PathBuf::from(path),
        None => std::env::home_dir().ok_or("no home folder")?.join(MODEL),
    };
    let source = ModelSource { path };
    let load = || GgufLoader::new().load_parts(&source, &mut |_| ControlFlow::Continue(()));
    let (_, guessing, codec) = load()?;
    let (mut guessing, mut plain) = (guessing, load()?.1.without_speculation());
    let warm = Sampling {
        seed: 7,
        ..Sampling::default()
    };
    for (how, sampling) in [("greedy", Sampling::greedy()), ("by default", warm)] {
        for (what, prompt) in PROMPTS {
            let prompt = codec.encode_chat(&[Message::user(prompt)], &Tools::default())?;
            let (mut with, mut without, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            let mut work = (0, 0);
            for _ in 0..ROUNDS {
                let guessed = answer(&mut guessing, &prompt, &sampling)?;
                let told = answer(&mut plain, &prompt, &sampling)?;
                if guessed.tokens != told.tokens {
                    return Err(format!("{what}, {how}: not the same tokens").into());
                }
                work = (guessed.passes, guessed.rows);
                with.push(guessed.rate);
                without.push(told.rate);
                ratios.push(guessed.rate / told.rate);
            }
            println!(
                "{what:>9} {how:>10} | {:6.1} tokens/s, {:6.1} without | {:5.2} times as many | {} tokens in {} passes of {} rows",
                median(with),
                median(without),
                median(ratios),
                TOKENS - 1,
                work.0,
                work.1
            );
        }
    }
    Ok(())
}
