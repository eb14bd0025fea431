//! Both engines against candle-transformers' own quantised models, on tiny files of the architectures that it computes as they
//! were trained; its Gemma 3 has the gate of Llama. All are in `families`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::support;

use std::fs::File;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Result, Tensor};
use candle_transformers::models::{
    quantized_llama, quantized_phi3, quantized_qwen2, quantized_qwen3,
};
use domain::Sampling;
use engine::{SequenceId, TokenId};
use paraphym_inference::fixture::{Field, TinyModel};
use paraphym_inference::format::Format;
use support::subject::Subject;
use support::{input, on_disk, plan, some_tokens};

/// With 32 bit weights only keys and values, of 16 bits, and the order of additions differ: a share of the largest logit.
const EXACT: f32 = 5e-4;
/// Both round activations to 8 bits, each in its own way: how far that is from the truth is measured by `fidelity`.
const ROUNDED: f32 = 0.03;

enum Reference {
    Llama(quantized_llama::ModelWeights),
    Qwen2(quantized_qwen2::ModelWeights),
    Qwen3(quantized_qwen3::ModelWeights),
    Phi3(quantized_phi3::ModelWeights),
}

impl Reference {
    fn load(name: &str, path: &std::path::Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let content = Content::read(&mut file)?;
        Ok(match name {
            "llama" => Self::Llama(quantized_llama::ModelWeights::from_gguf(
                content,
                &mut file,
                &Device::Cpu,
            )?),
            "qwen2" => Self::Qwen2(quantized_qwen2::ModelWeights::from_gguf(
                content,
                &mut file,
                &Device::Cpu,
            )?),
            "qwen3" => Self::Qwen3(quantized_qwen3::ModelWeights::from_gguf(
                content,
                &mut file,
                &Device::Cpu,
            )?),
            _ => Self::Phi3(quantized_phi3::ModelWeights::from_gguf(
                false,
                content,
                &mut file,
                &Device::Cpu,
            )?),
        })
    }

    fn logits(&mut self, tokens: &[TokenId], at: usize) -> Result<Vec<f32>> {
        let tokens = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        let logits = match self {
            Self::Llama(model) => model.forward(&tokens, at)?,
            Self::Qwen2(model) => model.forward(&tokens, at)?,
            Self::Qwen3(model) => model.forward(&tokens, at)?,
            Self::Phi3(model) => model.forward(&tokens, at)?,
        };
        logits.flatten_all()?.to_vec1()
    }
}

/// The largest difference over a prefill and three decode steps, and the largest logit.
fn compare(name: &str, model: &TinyModel, seed: u32, subject: Subject) -> (f32, f32) {
    let file = on_disk(model);
    let mut reference = Reference::load(name, &file.source.path).unwrap();
    let (_, mut engine, _) = subject.load(model);
    let wide = plan(512, 0, Sampling::greedy());
    engine.open(SequenceId(1), wide).unwrap();
    let tokens = some_tokens(26, seed);
    let (mut at, mut worst, mut largest) = (0, 0.0f32, 0.0f32);
    for piece in [
        &tokens[..23],
        &tokens[23..24],
        &tokens[24..25],
        &tokens[25..],
    ] {
        let expected = reference.logits(piece, at).unwrap();
        let ours = engine
            .logits(&[input(1, piece, true)])
            .unwrap()
            .remove(0)
            .unwrap();
        assert_eq!(ours.len(), expected.len());
        for (a, b) in ours.iter().zip(&expected) {
            worst = worst.max((a - b).abs());
            largest = largest.max(b.abs());
        }
        at += piece.len();
    }
    (worst, largest)
}

#[test]
fn logits_are_those_of_the_reference() {
    let f32s = Format::F32;
    // Without this field the reference rounds Qwen3's rope to 16 bits.
    let qwen3 = TinyModel::qwen3().field("general.dtype", Field::Number(0));
    let cases = [
        ("llama", TinyModel::llama().weights(f32s), EXACT),
        ("phi3", TinyModel::phi3().weights(f32s), EXACT),
        ("qwen2", TinyModel::qwen2().weights(f32s), EXACT),
        ("qwen3", qwen3.clone().weights(f32s), EXACT),
        ("llama", TinyModel::llama(), ROUNDED),
        ("qwen2", TinyModel::qwen2(), ROUNDED),
        ("qwen3", qwen3, ROUNDED),
    ];
    for (name, model, margin) in cases {
        let subjects = [Subject::Packed, Subject::Tensors];
        for (seed, subject) in (0..3).flat_map(|seed| subjects.map(|subject| (seed, subject))) {
            let model = model.clone().seed(u64::from(seed));
            let (worst, largest) = compare(name, &model, seed, subject);
            println!(
                "{name}, {subject:?}, seed {seed}: logits up to {largest:.2} differ by up to {worst:.6}"
            );
            assert!(
                largest > 2.0,
                "{name}: logits of {largest} would prove nothing"
            );
            assert!(
                worst < margin * largest,
                "{name}, {subject:?}, seed {seed}: off by {worst}"
            );
        }
    }
}
