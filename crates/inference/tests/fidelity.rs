//! How far the answers of the default model are from those of 32 bit activations, on real text: the mean divergence
//! (Kullback and Leibler) of the next token's distribution, and the perplexity.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests may fail loudly, and their figures are worth reading"
)]

use crate::support::plain::Plain;
use crate::support::{likeliest, model_path, open};

use std::ops::ControlFlow;
use std::path::Path;

use engine::{Engine, ModelSource, SequenceId, StepInput, TextCodec, TokenId};
use paraphym_inference::{Codec, Decoder, GgufLoader, Precision};

/// Tokens of one text that is read, and texts.
const TOKENS: usize = 512;
const TEXTS: usize = 4;

fn load(precision: Precision) -> (Decoder, Codec) {
    let source = ModelSource { path: model_path() };
    let loader = GgufLoader::new().with_precision(precision);
    let (_, decoder, codec) = loader
        .load_parts(&source, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    (decoder, codec)
}

/// The first tokens of this project's decisions, in their order.
fn texts(codec: &Codec) -> Vec<Vec<TokenId>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/adr");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut tokens = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).unwrap();
        tokens.extend(codec.encode_text(&text).unwrap());
        if tokens.len() >= TOKENS * TEXTS {
            break;
        }
    }
    let texts: Vec<_> = tokens
        .chunks_exact(TOKENS)
        .take(TEXTS)
        .map(<[_]>::to_vec)
        .collect();
    assert_eq!(texts.len(), TEXTS);
    texts
}

/// Logarithms of the probabilities.
fn log_probabilities(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - largest).exp()).sum();
    let total = f64::from(largest) + sum.ln();
    logits.iter().map(|x| f64::from(*x) - total).collect()
}

/// Sums over all places.
#[derive(Default)]
struct Sums {
    places: usize,
    divergence: f64,
    /// Of what really came next, with 32 bit activations and with ours.
    surprise: [f64; 2],
    same_likeliest: usize,
}

fn compare(decoder: &mut Decoder, plain: &Plain, texts: &[Vec<TokenId>]) -> Sums {
    let mut sums = Sums::default();
    for text in texts {
        let reference = plain.logits(text).unwrap();
        let id = SequenceId(1);
        open(decoder, 1);
        for (turn, tokens) in text.chunks(64).enumerate() {
            let batch: Vec<_> = tokens
                .iter()
                .map(|token| StepInput {
                    sequence: id,
                    tokens: vec![*token],
                    sample: true,
                })
                .collect();
            let ours = decoder.step_logits(&batch).unwrap();
            for (inside, ours) in ours.into_iter().enumerate() {
                let place = turn * 64 + inside;
                let row: Vec<f32> = reference.get(place).unwrap().to_vec1().unwrap();
                let expected = log_probabilities(&row);
                let got = log_probabilities(&ours.unwrap());
                sums.places += 1;
                let terms = expected.iter().zip(&got).map(|(p, q)| p.exp() * (p - q));
                sums.divergence += terms.sum::<f64>();
                sums.same_likeliest += usize::from(likeliest(&expected) == likeliest(&got));
                if let Some(next) = text.get(place + 1) {
                    sums.surprise[0] -= expected[*next as usize];
                    sums.surprise[1] -= got[*next as usize];
                }
            }
        }
        decoder.close(id);
    }
    sums
}

/// The mean divergence; tells all figures.
fn divergence(precision: Precision) -> f64 {
    let (mut decoder, codec) = load(precision);
    let plain = Plain::load(&model_path()).unwrap();
    let texts = texts(&codec);
    let sums = compare(&mut decoder, &plain, &texts);
    assert_eq!(sums.places, TOKENS * TEXTS);
    let guessed = (sums.places - TEXTS) as f64;
    let [reference, ours] = sums.surprise.map(|sum| (sum / guessed).exp());
    let mean = sums.divergence / sums.places as f64;
    println!(
        "{precision}: divergence {mean:.6}, perplexity {ours:.3} (of 32 bits {reference:.3}), likeliest the same at {} of {}",
        sums.same_likeliest, sums.places
    );
    // A model that says nothing is near any other that says nothing.
    assert!(reference < 100.0, "perplexity {reference}");
    assert!(
        (ours / reference - 1.0).abs() < 0.02,
        "{ours} beside {reference}"
    );
    mean
}

#[test]
fn golden_fast_is_near_what_32_bits_say() {
    let divergence = divergence(Precision::Fast);
    assert!(divergence <= 0.003, "{divergence}");
}

#[test]
fn golden_exact_is_what_32_bits_say() {
    let divergence = divergence(Precision::Exact);
    assert!(divergence <= 0.000_05, "{divergence}");
}
