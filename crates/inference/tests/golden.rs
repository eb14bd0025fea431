//! The real model against candle-transformers' own quantised llama: the first 32 greedy tokens of five prompts.
//!
//! Where a token differs, the reference itself must have been undecided between the two by less than [`MARGIN`]; the
//! comparison then goes on from the reference's token.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may fail loudly"
)]

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use domain::{Message, Sampling};
use engine::{Engine, ModelSource, SequenceId, SequencePlan, StepInput, TextCodec, TokenId};
use paraphym_inference::{Decoder, GgufLoader};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const TOKENS: usize = 32;
const MARGIN: f32 = 0.05;
const PROMPTS: [&str; 5] = [
    "Give me three tips for staying healthy.",
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Explain in one sentence why the sky is blue.",
    "List the numbers from 1 to 10, then name 3 fruits.",
];

/// `PARAPHYM_TEST_MODEL`, or where the model is kept.
fn model_path() -> PathBuf {
    if let Some(path) = std::env::var_os("PARAPHYM_TEST_MODEL") {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "PARAPHYM_TEST_MODEL is {}, and there is no such file",
            path.display()
        );
        return path;
    }
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")))
        .expect("neither XDG_DATA_HOME nor a home folder is known");
    let path = data.join("paraphym/models").join(FILE);
    assert!(
        path.is_file(),
        "the test model is not at {}: run `cargo xtask test`, which fetches it, or name one in PARAPHYM_TEST_MODEL",
        path.display()
    );
    path
}

struct Reference(ModelWeights);

impl Reference {
    fn load(path: &Path) -> Self {
        let mut file = File::open(path).unwrap();
        let content = Content::read(&mut file).unwrap();
        Self(ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap())
    }

    fn logits(&mut self, tokens: &[TokenId], at: usize) -> Vec<f32> {
        let tokens = Tensor::new(tokens, &Device::Cpu)
            .unwrap()
            .unsqueeze(0)
            .unwrap();
        let logits = self.0.forward(&tokens, at).unwrap();
        logits.flatten_all().unwrap().to_vec1().unwrap()
    }
}

fn likeliest(logits: &[f32]) -> TokenId {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as TokenId
}

/// How many of [`TOKENS`] greedy tokens are equal, and the margins where they are not.
fn compare(
    decoder: &mut Decoder,
    reference: &mut Reference,
    prompt: &[TokenId],
) -> (usize, Vec<f32>) {
    let id = SequenceId(1);
    let plan = SequencePlan {
        capacity_tokens: (prompt.len() + TOKENS) as u32,
        sampling: Sampling::greedy(),
        prompt_tokens: prompt.len() as u32,
    };
    decoder.open(id, plan).unwrap();
    let (mut equal, mut margins) = (0, Vec::new());
    let mut next = prompt.to_vec();
    let mut at = 0;
    for _ in 0..TOKENS {
        let step = StepInput {
            sequence: id,
            tokens: next.clone(),
            sample: true,
        };
        let ours = decoder.step(&[step]).unwrap()[0].token.unwrap();
        // One token at a time: for many rows at once the reference's attention adds in another order than for one, and
        // what it says of a prompt then depends on how the prompt was cut. Ours may not, so one order must be chosen.
        let mut logits = Vec::new();
        for token in &next {
            logits = reference.logits(&[*token], at);
            at += 1;
        }
        let theirs = likeliest(&logits);
        if ours == theirs {
            equal += 1;
        } else {
            margins.push(logits[theirs as usize] - logits[ours as usize]);
        }
        next = vec![theirs];
    }
    decoder.close(id);
    (equal, margins)
}

#[test]
fn golden_greedy_tokens_are_those_of_the_reference() {
    let path = model_path();
    let source = ModelSource { path: path.clone() };
    let (_, mut decoder, codec) = GgufLoader::new()
        .load_parts(&source, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    let mut reference = Reference::load(&path);
    println!("equal of {TOKENS} | margins where not | prompt");
    let mut all_margins = Vec::new();
    for prompt in PROMPTS {
        let tokens = codec
            .encode_chat(&[Message::user(prompt)], &domain::Tools::default())
            .unwrap();
        let (equal, margins) = compare(&mut decoder, &mut reference, &tokens);
        println!("{equal:>11} | {margins:?} | {prompt}");
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

/// Where ours and the reference that read the prompt at once differ: place, ours, its margin, what the reference says
/// that read the same tokens one at a time.
struct Difference {
    place: usize,
    ours: TokenId,
    margin: f32,
    one_by_one: TokenId,
}

fn differences_at_once(
    decoder: &mut Decoder,
    at_once: &mut Reference,
    one_by_one: &mut Reference,
    prompt: &[TokenId],
) -> Vec<Difference> {
    let id = SequenceId(2);
    let plan = SequencePlan {
        capacity_tokens: (prompt.len() + TOKENS) as u32,
        sampling: Sampling::greedy(),
        prompt_tokens: prompt.len() as u32,
    };
    decoder.open(id, plan).unwrap();
    let mut differences = Vec::new();
    let mut next = prompt.to_vec();
    let mut at = 0;
    for place in 0..TOKENS {
        let step = StepInput {
            sequence: id,
            tokens: next.clone(),
            sample: true,
        };
        let ours = decoder.step(&[step]).unwrap()[0].token.unwrap();
        let logits = at_once.logits(&next, at);
        let mut patient = Vec::new();
        for token in &next {
            patient = one_by_one.logits(&[*token], at);
            at += 1;
        }
        let theirs = likeliest(&logits);
        if ours != theirs {
            differences.push(Difference {
                place,
                ours,
                margin: logits[theirs as usize] - logits[ours as usize],
                one_by_one: likeliest(&patient),
            });
        }
        next = vec![theirs];
    }
    decoder.close(id);
    differences
}

/// Reading a prompt at once, the reference adds its attention in another order, and rounding activations to 8 bits makes
/// more of it. Every token in which ours then differs is one in which the reference differs from itself.
#[test]
fn golden_where_the_reference_reads_the_prompt_at_once_it_differs_from_itself_and_not_from_us() {
    let path = model_path();
    let source = ModelSource { path: path.clone() };
    let (_, mut decoder, codec) = GgufLoader::new()
        .load_parts(&source, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    let (mut at_once, mut one_by_one) = (Reference::load(&path), Reference::load(&path));
    for prompt in PROMPTS {
        let tokens = codec
            .encode_chat(&[Message::user(prompt)], &domain::Tools::default())
            .unwrap();
        let found = differences_at_once(&mut decoder, &mut at_once, &mut one_by_one, &tokens);
        println!("{} of {TOKENS} differ | {prompt}", found.len());
        for difference in found {
            let Difference {
                place,
                ours,
                margin,
                one_by_one,
            } = difference;
            println!(
                "    place {place}: ours {ours}, margin {margin:.4}, reference one by one {one_by_one}"
            );
            assert!(
                ours == one_by_one || margin < MARGIN,
                "place {place} of {prompt:?}: ours {ours}, the reference {one_by_one} one by one, margin {margin}"
            );
        }
    }
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
