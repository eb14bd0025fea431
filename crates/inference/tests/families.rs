//! Every family of models in both engines, against the same family written plainly, on tiny files: over texts that are longer
//! than the windows of layers that look only so far, in chunks that end within and between them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests may fail loudly"
)]

use crate::support::family::Family;
use crate::support::subject::Subject;
use crate::support::{all_models, input, on_disk, plan, some_tokens};

use domain::Sampling;
use engine::{Device, ModelLoader, SequenceId};
use paraphym_inference::fixture::{Field, Sizes, TinyModel};
use paraphym_inference::{DeviceLoader, GgufLoader};

/// With 32 bit weights only keys and values, of 16 bits, and the order of additions differ: a share of the largest logit.
const EXACT: f32 = 1e-3;
/// Activations of 8 bits: how far that is from the truth of a real model is measured by `fidelity`.
const ROUNDED: f32 = 0.05;

/// The largest difference of logits along a text, and the largest logit.
fn compare(model: &TinyModel, seed: u32, subject: Subject) -> (f32, f32) {
    let model = subject.of(model);
    let file = on_disk(&model);
    let tokens = some_tokens(211, seed);
    let expected = Family::load(&file.source.path).unwrap().logits(&tokens);
    let (_, mut engine, _) = subject.load(&model);
    engine
        .open(SequenceId(1), plan(256, 0, Sampling::greedy()))
        .unwrap();
    let (mut at, mut worst, mut largest) = (0, 0.0f32, 0.0f32);
    // Windows of 40 and 70 begin within a page, at the next, and at the one behind that.
    for piece in [1, 38, 2, 1, 27, 1, 1, 29, 3, 1, 22, 1, 1, 4, 2, 40, 36, 1] {
        let logits = engine
            .logits(&[input(1, &tokens[at..at + piece], true)])
            .unwrap();
        at += piece;
        for (ours, plain) in logits[0].as_ref().unwrap().iter().zip(&expected[at - 1]) {
            worst = worst.max((ours - *plain as f32).abs());
            largest = largest.max(plain.abs() as f32);
        }
    }
    assert_eq!(at, tokens.len());
    (worst, largest)
}

fn assert_like_plain(name: &str, model: &TinyModel) {
    for (subject, margin) in [
        (Subject::Floats, EXACT),
        (Subject::TensorsOfFloats, EXACT),
        (Subject::Packed, ROUNDED),
        (Subject::Tensors, ROUNDED),
    ] {
        for seed in 0..2 {
            let model = model.clone().seed(u64::from(seed));
            let (worst, largest) = compare(&model, seed, subject);
            println!(
                "{name}, {subject:?}, seed {seed}: logits up to {largest:.2} differ by up to {worst:.6}"
            );
            assert!(
                largest > 1.0,
                "{name}: logits of {largest} would prove nothing"
            );
            assert!(
                worst < margin * largest,
                "{name}, {subject:?}, seed {seed}: off by {worst}"
            );
        }
    }
}

#[test]
fn every_family_is_what_its_paper_says() {
    for (name, model) in all_models() {
        assert_like_plain(name, &model);
    }
}

#[test]
fn what_a_file_may_say_beside_is_heeded() {
    let number = Field::Number;
    let float = Field::Float;
    let cases = [
        (
            "rope by halves of a head",
            TinyModel::phi3().field("phi3.rope.dimension_count", number(8)),
        ),
        (
            "phi for long texts",
            TinyModel::phi3()
                .with_rope_divisors()
                .field("phi3.rope.scaling.type", Field::Text("longrope".to_owned()))
                .field("phi3.rope.scaling.original_context_length", number(300))
                .field("phi3.rope.scaling.attn_factor", float(1.19)),
        ),
        ("llama 3.1", TinyModel::llama().with_rope_divisors()),
        (
            "gemma 3 of long texts",
            TinyModel::gemma3()
                .field("gemma3.rope.scaling.type", Field::Text("linear".to_owned()))
                .field("gemma3.rope.scaling.factor", float(8.0)),
        ),
        (
            "gemma 3 with other heads",
            TinyModel::gemma3().field("gemma3.final_logit_softcapping", float(4.0)),
        ),
        (
            "phi that looks only so far",
            TinyModel::phi3().field("phi3.attention.sliding_window", number(50)),
        ),
        (
            "a granite that never rotates",
            TinyModel::granite().field("granite.rope.scaling.finetuned", Field::Flag(false)),
        ),
        (
            "a granite of few factors",
            TinyModel::granite()
                .without("granite.residual_scale")
                .without("granite.attention.scale"),
        ),
    ];
    for (name, model) in cases {
        assert_like_plain(name, &model);
    }
}

#[test]
fn the_largest_gemmas_have_a_scale_of_their_own() {
    let sized = |layers| Sizes {
        layers,
        head_width: 32,
        ..Sizes::TINY
    };
    assert_like_plain("gemma 2, 27B", &TinyModel::gemma2().sized(sized(46)));
    assert_like_plain("gemma 3, 27B", &TinyModel::gemma3().sized(sized(62)));
}

#[test]
fn a_text_is_no_longer_than_the_model_was_made_for() {
    let context = |model: &TinyModel| {
        let (card, _, _) = Subject::Packed.load(model);
        card.context_tokens
    };
    let original = |model: TinyModel| {
        model.field(
            "phi3.rope.scaling.original_context_length",
            Field::Number(128),
        )
    };
    assert_eq!(context(&TinyModel::phi3()), 512);
    assert_eq!(context(&original(TinyModel::phi3())), 512);
    assert_eq!(
        context(&original(TinyModel::phi3().with_rope_divisors())),
        128
    );
    let window = |name: &str| {
        (
            format!("{name}.attention.sliding_window"),
            Field::Number(200),
        )
    };
    let (name, tokens) = window("llama");
    assert_eq!(context(&TinyModel::llama().field(&name, tokens)), 200);
    let (name, tokens) = window("phi3");
    assert_eq!(context(&TinyModel::phi3().field(&name, tokens)), 512);
    // Layers that look only so far are no bound where others look further.
    assert_eq!(context(&TinyModel::gemma2()), 512);
    assert_eq!(context(&TinyModel::gemma3()), 512);
}

/// Files whose fields say something wrong, and what is named.
fn wrong_fields() -> [(TinyModel, &'static str); 11] {
    let number = Field::Number;
    let float = Field::Float;
    [
        (
            TinyModel::granite().field("granite.logit_scale", float(0.0)),
            "granite.logit_scale",
        ),
        (
            TinyModel::granite().without("granite.logit_scale"),
            "granite.logit_scale",
        ),
        (
            TinyModel::granite().field("granite.residual_scale", float(f32::NAN)),
            "granite.residual_scale",
        ),
        (
            TinyModel::gemma2().field("gemma2.attn_logit_softcapping", float(-1.0)),
            "gemma2.attn_logit_softcapping",
        ),
        (
            TinyModel::gemma2().field("gemma2.final_logit_softcapping", float(f32::INFINITY)),
            "gemma2.final_logit_softcapping",
        ),
        (
            TinyModel::gemma3().field("gemma3.attention.sliding_window", number(u32::MAX)),
            "gemma3.attention.sliding_window",
        ),
        (
            TinyModel::gemma3().field(
                "gemma3.attention.sliding_window_pattern",
                Field::Ints(vec![1, 0]),
            ),
            "gemma3.attention.sliding_window_pattern",
        ),
        (
            TinyModel::gemma3().field("gemma3.rope.freq_base_swa", float(0.0)),
            "gemma3.rope.freq_base_swa",
        ),
        (
            TinyModel::phi3().with_rope_divisors(),
            "phi3.rope.scaling.original_context_length",
        ),
        (
            TinyModel::gemma2().field("gemma2.final_logit_softcapping", float(1e38)),
            "gemma2.final_logit_softcapping",
        ),
        (
            TinyModel::llama().field("llama.rope.scaling.attn_factor", float(0.0)),
            "llama.rope.scaling.attn_factor",
        ),
    ]
}

/// Files whose tensors are not those that the fields ask for, and what is named.
fn wrong_tensors() -> [(TinyModel, &'static str); 8] {
    let number = Field::Number;
    [
        (
            TinyModel::gemma3().without("blk.1.post_ffw_norm.weight"),
            "blk.1.post_ffw_norm.weight",
        ),
        (
            TinyModel::phi3().without("blk.0.attn_qkv.weight"),
            "blk.0.attn_qkv.weight",
        ),
        (
            TinyModel::phi3().field("phi3.attention.head_count_kv", number(1)),
            "blk.0.attn_qkv.weight",
        ),
        (
            TinyModel::phi3().field("phi3.feed_forward_length", number(1 << 19)),
            "blk.0.ffn_down.weight",
        ),
        (
            TinyModel::phi3()
                .with_rope_divisors()
                .field("phi3.rope.scaling.original_context_length", number(64))
                .field("phi3.rope.dimension_count", number(8)),
            "rope_factors_short.weight",
        ),
        (
            TinyModel::phi3().field("phi3.rope.scaling.type", Field::Text("longrope".to_owned())),
            "rope_factors_short.weight",
        ),
        (
            TinyModel::llama().with_tensor("blk.1.attn_output.bias", &[64]),
            "blk.1.attn_output.bias",
        ),
        (
            TinyModel::phi3().with_tensor("output.bias", &[271]),
            "output.bias",
        ),
    ]
}

#[test]
fn what_a_file_says_wrong_is_named() {
    for (model, named) in wrong_fields().into_iter().chain(wrong_tensors()) {
        let file = on_disk(&model);
        let loaders: [&dyn ModelLoader; 2] =
            [&GgufLoader::new(), &DeviceLoader::new(Device::Cpu).unwrap()];
        for loader in loaders {
            let error = loader.inspect(&file.source).unwrap_err().to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}
