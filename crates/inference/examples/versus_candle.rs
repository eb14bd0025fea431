//! This engine and candle-transformers' own quantised llama in one process, turn about: tokens per second, and whether
//! the reference agrees with itself when it gets the same prompt at once and token by token.
//!
//! `CANDLE_NUM_THREADS=1 RAYON_NUM_THREADS=1 cargo run --release -p paraphym_inference --example versus_candle -- MODEL.gguf`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people that measures real time"
)]

use std::error::Error;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use domain::{Message, Sampling};
use engine::{Engine, ModelSource, SequenceId, SequencePlan, StepInput, TextCodec, TokenId};
use paraphym_inference::{Decoder, GgufLoader};

const TOKENS: usize = 64;
const PROMPT: &str = "Give me three tips for staying healthy. Explain each of them in detail, name the reasons, \
    tell what happens to those who do not follow them, and say how much time and money each of them takes in a week. \
    Then compare the three tips with each other, say which of them is the most important one, and why you think so. \
    Write in short sentences that a child of ten years would understand.";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn likeliest(logits: &[f32]) -> TokenId {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(token, _)| token as TokenId)
}

/// Greedy tokens and the seconds of prefill and decode.
struct Run {
    tokens: Vec<TokenId>,
    prefill: f64,
    decode: f64,
}

fn greedy(
    prompt: &[TokenId],
    mut step: impl FnMut(&[TokenId]) -> Outcome<TokenId>,
) -> Outcome<Run> {
    let begin = Instant::now();
    let mut tokens = vec![step(prompt)?];
    let prefill = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    while let Some(&last) = tokens.last().filter(|_| tokens.len() < TOKENS) {
        tokens.push(step(&[last])?);
    }
    Ok(Run {
        tokens,
        prefill,
        decode: begin.elapsed().as_secs_f64(),
    })
}

fn ours(decoder: &mut Decoder, prompt: &[TokenId]) -> Outcome<Run> {
    let id = SequenceId(1);
    let plan = SequencePlan {
        capacity_tokens: u32::try_from(prompt.len() + TOKENS)?,
        sampling: Sampling::greedy(),
        prompt_tokens: u32::try_from(prompt.len())?,
    };
    decoder.open(id, plan)?;
    let run = greedy(prompt, |tokens| {
        let input = StepInput {
            sequence: id,
            tokens: tokens.to_vec(),
            sample: true,
        };
        let outputs = decoder.step(&[input])?;
        Ok(outputs.first().and_then(|o| o.token).ok_or("no token")?)
    });
    decoder.close(id);
    run
}

fn theirs(model: &mut ModelWeights, prompt: &[TokenId], at_once: bool) -> Outcome<Run> {
    let mut at = 0;
    greedy(prompt, |tokens| {
        let mut logits = Vec::new();
        for piece in tokens.chunks(if at_once { tokens.len() } else { 1 }) {
            let input = Tensor::new(piece, &Device::Cpu)?.unsqueeze(0)?;
            logits = model.forward(&input, at)?.flatten_all()?.to_vec1()?;
            at += piece.len();
        }
        Ok(likeliest(&logits))
    })
}

fn main() -> Outcome<()> {
    let path = std::env::args().nth(1).ok_or("a GGUF file is needed")?;
    let path = PathBuf::from(path);
    let source = ModelSource { path: path.clone() };
    let (_, mut decoder, codec) =
        GgufLoader::new().load_parts(&source, &mut |_| ControlFlow::Continue(()))?;
    let mut file = File::open(&path)?;
    let content = Content::read(&mut file)?;
    let mut reference = ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
    let prompt = codec.encode_chat(&[Message::user(PROMPT)], &domain::Tools::default())?;
    for round in 0..3 {
        for (name, run) in [
            ("ours", ours(&mut decoder, &prompt)?),
            ("candle", theirs(&mut reference, &prompt, true)?),
        ] {
            println!(
                "round {round}, {name:>6}: prefill of {} {:6.1} tokens/s, decode {:6.1} tokens/s",
                prompt.len(),
                prompt.len() as f64 / run.prefill,
                (TOKENS - 1) as f64 / run.decode
            );
        }
    }
    let at_once = theirs(&mut reference, &prompt, true)?.tokens;
    let one_by_one = theirs(&mut reference, &prompt, false)?.tokens;
    let mine = ours(&mut decoder, &prompt)?.tokens;
    let same = |a: &[TokenId], b: &[TokenId]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
    println!(
        "equal greedy tokens of {TOKENS}: candle at once = candle one by one for {}; ours = candle one by one for {}",
        same(&at_once, &one_by_one),
        same(&mine, &one_by_one)
    );
    Ok(())
}
