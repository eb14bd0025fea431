//! Whole models on each kind of kernel: the same bits from all of them, near what candle's kernels give on the weights as
//! they lie in the file, and a wrong wish refused with the way out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests may fail loudly, and their figures are worth reading"
)]

use crate::support;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::helpers::{Helpers, Share};
use engine::{LoadError, ModelLoader, ModelSource};
use paraphym_inference::cpu::Kind;
use paraphym_inference::fixture::{Sizes, TinyModel};
use paraphym_inference::format::Format;
use paraphym_inference::{Decoder, GgufLoader};
use support::{all_models, bits, float_models, input, on_disk, open, some_tokens};

/// Codes of the formats that are packed: those of blocks, and those that are floats.
const FORMATS: [u32; 11] = [2, 3, 6, 7, 8, 12, 13, 14, 0, 1, 30];
/// Of the formats that are not.
const UNPACKED: [u32; 3] = [10, 11, 15];
/// The share of the largest logit that a result may be off: both round activations to 8 bits, each in its own way, and where
/// weights are of a K format candle's share a scale among 256 columns, ours among 32. How far ours are from the truth is
/// measured by `fidelity`, and the arithmetic of each kernel by the tests beside it.
const ROUNDED: f32 = 0.03;

/// Rows of whole blocks of a K format.
const WIDE: Sizes = Sizes {
    width: 256,
    heads: 4,
    kv_heads: 2,
    head_width: 64,
    feed_forward: 512,
    ..Sizes::TINY
};

/// With weights that are floats nothing is rounded to 8 bits, neither here nor there: only the order of additions differs.
const ADDED: f32 = 1e-4;

fn decoder(loader: &GgufLoader, path: &Path) -> Decoder {
    let source = ModelSource {
        path: path.to_owned(),
    };
    let parts = loader.load_parts(&source, &mut |_| ControlFlow::Continue(()));
    parts.unwrap().1
}

/// Logits of a prompt, then of one token more.
fn logits(loader: &GgufLoader, path: &Path) -> Vec<f32> {
    let mut decoder = decoder(loader, path);
    open(&mut decoder, 1);
    let tokens = some_tokens(14, 3);
    let mut all = Vec::new();
    for piece in [&tokens[..13], &tokens[13..]] {
        let step = decoder.step_logits(&[input(1, piece, true)]).unwrap();
        all.extend(step.into_iter().flatten().flatten());
    }
    all
}

#[test]
fn all_kinds_give_the_same_bits_and_nearly_those_of_candle() {
    let mut wrong = Vec::new();
    for code in FORMATS {
        let format = Format::from_code(code).unwrap();
        for (name, model) in all_models() {
            let file = on_disk(&model.sized(WIDE).weights(format));
            let path = &file.source.path;
            let portable = logits(&GgufLoader::with_kind(Kind::Portable), path);
            for kind in Kind::here() {
                let other = logits(&GgufLoader::with_kind(kind), path);
                assert_eq!(bits(&other), bits(&portable), "{name} {format} on {kind}");
            }
            let candle = logits(&GgufLoader::unpacked(), path);
            let off = portable.iter().zip(&candle).map(|(a, b)| (a - b).abs());
            let off = off.fold(0.0, f32::max);
            let largest = candle.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            println!("{name} {format}: logits up to {largest:.2} differ by up to {off:.5}");
            assert!(largest > 2.0, "logits of {largest} would prove nothing");
            if off >= ROUNDED * largest {
                wrong.push(format!("{name} {format}: off by {off}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn floats_of_any_width_have_the_same_bits_on_all_kinds_and_nearly_those_of_plain_sums() {
    for (name, model) in float_models() {
        let file = on_disk(&model);
        let path = &file.source.path;
        let portable = logits(&GgufLoader::with_kind(Kind::Portable), path);
        for kind in Kind::here() {
            let other = logits(&GgufLoader::with_kind(kind), path);
            assert_eq!(bits(&other), bits(&portable), "{name} on {kind}");
        }
        let plain = logits(&GgufLoader::unpacked(), path);
        let off = portable.iter().zip(&plain).map(|(a, b)| (a - b).abs());
        let off = off.fold(0.0, f32::max);
        let largest = plain.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        println!("{name}: logits up to {largest:.2} differ by up to {off:.7}");
        assert!(largest > 2.0, "logits of {largest} would prove nothing");
        assert!(off < ADDED * largest, "{name}: off by {off}");
    }
}

/// Counts how often it is called, and never comes.
#[derive(Debug, Default)]
struct Called(AtomicUsize);

impl Helpers for Called {
    fn threads(&self) -> usize {
        3
    }

    fn call(&self, _: Share) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether others are asked to help with a step of this model. Its card must count them, or must not.
fn is_shared(name: &str, model: &TinyModel) -> bool {
    let (file, helpers) = (on_disk(model), Arc::new(Called::default()));
    let alone = GgufLoader::new().inspect(&file.source).unwrap();
    let helped = GgufLoader::new().with_helpers(Arc::<Called>::clone(&helpers));
    let card = helped.inspect(&file.source).unwrap();
    let mut decoder = decoder(&helped, &file.source.path);
    let loading = helpers.0.load(Ordering::Relaxed);
    open(&mut decoder, 1);
    let step = decoder.step_logits(&[input(1, &[5, 6], true)]).unwrap();
    assert!(
        step[0].as_ref().unwrap().iter().all(|x| x.is_finite()),
        "{name}"
    );
    let is_shared = helpers.0.load(Ordering::Relaxed) > loading;
    let counted = card.work_bytes > alone.work_bytes;
    assert_eq!(counted, is_shared, "{name}: what the card counts");
    is_shared
}

#[test]
fn threads_share_what_is_packed_and_an_embedding_that_is_only_looked_up_does_not_matter() {
    let format = |code| Format::from_code(code).unwrap();
    for (name, model) in all_models() {
        let model = model.sized(WIDE);
        for code in FORMATS {
            let with = model.clone().weights(format(code));
            assert!(is_shared(name, &with), "{name}, weights {code}");
            let all = with.embedding(format(code));
            assert!(is_shared(name, &all), "{name}, all {code}");
        }
        for code in UNPACKED {
            let with = model.clone().weights(format(code));
            assert!(!is_shared(name, &with), "{name}, weights {code}");
            // Of these models only two have an output of their own.
            let looked_up = model.clone().embedding(format(code));
            let shared = is_shared(name, &looked_up);
            let own = matches!(name, "qwen2" | "phi3");
            assert_eq!(shared, own, "{name}, embedding {code}");
        }
    }
}

#[test]
fn a_kind_that_is_not_there_is_refused_when_a_model_is_loaded() {
    let test = "kernels::a_kind_that_is_not_there_is_refused_when_a_model_is_loaded";
    let Some(wish) = std::env::var_os("PARAPHYM_CPU").filter(|wish| !wish.is_empty()) else {
        // The environment of this process is not to be changed: a second one is asked, once for each wish.
        for wish in ["sse9", "AVX2", "portable"] {
            let second = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test, "--nocapture", "--test-threads=1"])
                .env("PARAPHYM_CPU", wish)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&second.stdout);
            assert!(second.status.success(), "{said}");
            assert!(said.contains("1 passed"), "{said}");
        }
        return;
    };
    let wish = wish.into_string().unwrap();
    let file = on_disk(&TinyModel::llama());
    let loaded = GgufLoader::new().load(&file.source, &mut |_| ControlFlow::Continue(()));
    if Kind::here().any(|kind| kind.name() == wish) {
        assert!(loaded.is_ok());
        return;
    }
    let error = loaded.map(|_| ()).unwrap_err();
    assert!(matches!(error, LoadError::Unsupported { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(&format!("PARAPHYM_CPU={wish}")), "{said}");
    assert!(said.contains("it can be portable"), "{said}");
}
