//! The real model against plain 32 bit floats: the first 32 greedy tokens of five prompts, with activations kept exactly.
//!
//! Where a token differs, the reference itself must have been undecided between the two by less than [`MARGIN`].
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests may fail loudly, and their figures are worth reading"
)]

use crate::support::plain::Plain;
use crate::support::{likeliest, model_path, plan};

use std::ops::ControlFlow;

use domain::{Message, Sampling};
use engine::{Engine, ModelSource, SequenceId, StepInput, TextCodec, TokenId};
use paraphym_inference::{Decoder, GgufLoader, Precision};

const TOKENS: usize = 32;
const MARGIN: f32 = 0.05;
const PROMPTS: [&str; 5] = [
    "Give me three tips for staying healthy.",
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Explain in one sentence why the sky is blue.",
    "List the numbers from 1 to 10, then name 3 fruits.",
];

fn answer(decoder: &mut Decoder, prompt: &[TokenId]) -> Vec<TokenId> {
    let id = SequenceId(1);
    let capacity = (prompt.len() + TOKENS) as u32;
    let plan = plan(capacity, prompt.len() as u32, Sampling::greedy());
    decoder.open(id, plan).unwrap();
    let mut made = Vec::new();
    let mut next = prompt.to_vec();
    for _ in 0..TOKENS {
        let step = StepInput {
            sequence: id,
            tokens: next,
            sample: true,
        };
        let token = decoder.step(&[step]).unwrap()[0].token.unwrap();
        made.push(token);
        next = vec![token];
    }
    decoder.close(id);
    made
}

#[test]
fn golden_greedy_tokens_are_those_of_32_bit_floats() {
    let path = model_path();
    let source = ModelSource { path: path.clone() };
    let (_, mut decoder, codec) = GgufLoader::new()
        .with_precision(Precision::Exact)
        .load_parts(&source, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    let plain = Plain::load(&path).unwrap();
    println!("equal of {TOKENS} | margins where not | prompt");
    let mut all_margins = Vec::new();
    for prompt in PROMPTS {
        let mut tokens = codec
            .encode_chat(&[Message::user(prompt)], &domain::Tools::default())
            .unwrap();
        let first = tokens.len() - 1;
        let ours = answer(&mut decoder, &tokens);
        tokens.extend(&ours);
        let reference = plain.logits(&tokens).unwrap();
        let mut margins = Vec::new();
        for (place, token) in ours.into_iter().enumerate() {
            let logits: Vec<f32> = reference.get(first + place).unwrap().to_vec1().unwrap();
            let theirs = likeliest(&logits);
            if theirs != token {
                margins.push(logits[theirs as usize] - logits[token as usize]);
            }
        }
        println!("{:>11} | {margins:?} | {prompt}", TOKENS - margins.len());
        all_margins.extend(margins);
    }
    assert!(
        all_margins.iter().all(|margin| *margin < MARGIN),
        "the reference was sure of another token: {all_margins:?}"
    );
    assert!(
        all_margins.len() < PROMPTS.len() * TOKENS / 10,
        "{} tokens differ",
        all_margins.len()
    );
}

#[test]
fn golden_the_real_tokenizer_is_rebuilt_faithfully() {
    let source = ModelSource { path: model_path() };
    let (card, decoder, codec) = GgufLoader::new()
        .load_parts(&source, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(card.architecture, "llama");
    assert_eq!(card.quantisation, "Q4_1");
    assert_eq!(card.context_tokens, 8192);
    assert_eq!(card.weights_bytes, decoder.weights_bytes());
    // No space is put before the first word; with one it would be 38699.
    assert_eq!(codec.encode_text("Hello").unwrap(), [19556]);
    assert!(codec.ends_turn(2), "<|im_end|>");
    let tokens = codec
        .encode_chat(&[Message::user("Hello")], &domain::Tools::default())
        .unwrap();
    let text: Vec<u8> = tokens
        .iter()
        .flat_map(|t| codec.bytes_of(*t).to_vec())
        .collect();
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.starts_with("system\nYou are a helpful AI assistant"),
        "{text}"
    );
    assert!(text.ends_with("user\nHello\nassistant\n"), "{text}");
    assert_eq!(
        tokens.iter().filter(|t| **t == 1).count(),
        3,
        "three turns are begun"
    );
    assert_eq!(
        tokens.iter().filter(|t| **t == 2).count(),
        2,
        "and two ended"
    );
}
