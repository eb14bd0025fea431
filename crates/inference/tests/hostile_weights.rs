//! Numbers of files that are whole otherwise: scales, shapes and fields that no sound file has. Each is an error or an answer.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::hostile_files::{header_bytes, load, reason};
use crate::support::{self, all_models, float_models, with_bytes};

use std::ops::ControlFlow;

use engine::{Engine, LoadError, ModelLoader};
use paraphym_inference::GgufLoader;
use paraphym_inference::fixture::{Field, Sizes, TinyModel};
use paraphym_inference::format::Format;
use paraphym_inference::header::Header;
use proptest::prelude::*;

/// One step of what loads, raw and sampled: an answer or an error, nothing else.
fn step_if_sound(bytes: &[u8]) -> Result<(), LoadError> {
    let file = with_bytes(bytes);
    let loader = GgufLoader::new();
    if let Ok(card) = loader.inspect(&file.source) {
        // A file of 100 KB to 1 MB; its tokenizer takes a few.
        let most = 64 << 20;
        assert!(card.load_bytes.0 < most, "{} to load it", card.load_bytes);
    }
    let parts = loader.load_parts(&file.source, &mut |_| ControlFlow::Continue(()));
    let (_, mut decoder, _) = parts?;
    let plan = |sampling| support::plan(8, 2, sampling);
    for (id, sampling) in [
        (1, domain::Sampling::greedy()),
        (2, domain::Sampling::default()),
    ] {
        let id = engine::SequenceId(id);
        if decoder.open(id, plan(sampling)).is_ok() {
            let _ = decoder.step(&[support::input(id.0, &[5, 6], true)]);
        }
    }
    Ok(())
}

/// Infinite, minus infinite, no number twice, the largest, the smallest: of the 16 bits of such a format's floats, or the upper ones.
fn wild_halves(code: u32) -> [u16; 6] {
    match code {
        0 | 30 => [0x7f80, 0xff80, 0x7fc0, 0xffff, 0x7f7f, 0x0001],
        _ => [0x7c00, 0xfc00, 0x7e00, 0xffff, 0x7bff, 0x0001],
    }
}

/// Norms, biases and divisors of every family, with values no sound file has.
#[test]
fn no_vector_is_too_wild_to_load_or_to_step_on() {
    let divided = [TinyModel::llama().with_rope_divisors(), phi_of_long_texts()]
        .map(|model| ("divided", model));
    for (name, model) in all_models().into_iter().chain(divided) {
        let sound = model.bytes().unwrap();
        let header = Header::read(sound.as_slice(), sound.len() as u64).unwrap();
        for wild in wild_halves(0).into_iter().chain([0x0000, 0x8000]) {
            let mut bytes = sound.clone();
            for tensor in header.tensors.values().filter(|t| t.shape.len() == 1) {
                let (from, length) = (tensor.offset as usize, tensor.bytes as usize);
                for value in bytes[from..from + length].chunks_exact_mut(4) {
                    value.copy_from_slice(&(u32::from(wild) << 16).to_le_bytes());
                }
            }
            assert_ne!(bytes, sound, "{name}");
            assert_eq!(step_if_sound(&bytes), Ok(()), "{name} with {wild:x}");
        }
    }
}

fn phi_of_long_texts() -> TinyModel {
    let original = "phi3.rope.scaling.original_context_length";
    TinyModel::phi3()
        .with_rope_divisors()
        .field(original, Field::Number(128))
}

/// Scales of every format that has some, with values no sound file has, in every block of every matrix.
#[test]
fn no_scale_is_too_wild_to_load_or_to_step_on() {
    let sizes = Sizes {
        width: 256,
        heads: 4,
        kv_heads: 2,
        head_width: 64,
        layers: 1,
        feed_forward: 256,
        more_tokens: 0,
    };
    // The format's code, and where its scales lie in a block.
    let formats: [(u32, &[usize]); 11] = [
        (0, &[0]),
        (1, &[0]),
        (2, &[0]),
        (3, &[0, 2]),
        (6, &[0]),
        (7, &[0, 2]),
        (8, &[0]),
        (12, &[0, 2]),
        (13, &[0, 2]),
        (14, &[208]),
        (30, &[0]),
    ];
    for (code, scales) in formats {
        let format = Format::from_code(code).unwrap();
        let model = TinyModel::llama().sized(sizes).weights(format);
        let sound = model.bytes().unwrap();
        let header = Header::read(sound.as_slice(), sound.len() as u64).unwrap();
        let mut changed = 0;
        for wild in wild_halves(code) {
            let mut bytes = sound.clone();
            for tensor in header.tensors.values().filter(|t| t.format == format) {
                let (from, length) = (tensor.offset as usize, tensor.bytes as usize);
                let unit = format.block_bytes() as usize;
                for block in bytes[from..from + length].chunks_exact_mut(unit) {
                    if code == 0 {
                        block.copy_from_slice(&(u32::from(wild) << 16).to_le_bytes());
                        changed += 1;
                        continue;
                    }
                    for at in scales {
                        block[*at..*at + 2].copy_from_slice(&wild.to_le_bytes());
                        changed += 1;
                    }
                }
            }
            assert_eq!(step_if_sound(&bytes), Ok(()), "{format} with {wild:x}");
        }
        assert!(changed > 1000, "{format}: {changed} scales");
    }
}

/// A tensor's shape as it is written, and another.
#[test]
fn shapes_that_do_not_match_are_refused() {
    let sound = TinyModel::llama().seed(4).bytes().unwrap();
    let name = b"blk.1.ffn_down.weight";
    let at = sound.windows(name.len()).position(|w| w == name).unwrap() + name.len();
    let (first, second) = (at + 4, at + 12);
    let size = |at: usize| u64::from_le_bytes(sound[at..at + 8].try_into().unwrap());
    assert_eq!((size(first), size(second)), (128, 64));
    for (columns, rows, expected) in [
        (64, 128, "has the shape"),
        (128, 32, "has the shape"),
        (32, 64, "has the shape"),
        (128, 1 << 40, "ends at byte"),
        (1 << 63, 2, "impossible dimension"),
        (1 << 62, 3, "ends at byte"),
        (u64::MAX, u64::MAX, "impossible dimension"),
        (128, 0, "impossible dimension"),
        (127, 64, "multiple of"),
    ] {
        let mut bytes = sound.clone();
        bytes[first..first + 8].copy_from_slice(&u64::to_le_bytes(columns));
        bytes[second..second + 8].copy_from_slice(&u64::to_le_bytes(rows));
        let text = reason(load(&bytes));
        assert!(text.contains(expected), "{rows} x {columns}: {text}");
    }
}

/// Floats are no blocks, so any width is one; it must be the model's all the same.
#[test]
fn shapes_of_floats_that_do_not_match_are_refused() {
    for (name, model) in float_models() {
        let sound = model.bytes().unwrap();
        let tensor = b"blk.1.ffn_down.weight";
        let at = sound.windows(tensor.len()).position(|w| w == tensor);
        let at = at.unwrap() + tensor.len() + 4;
        let size = |at: usize| u64::from_le_bytes(sound[at..at + 8].try_into().unwrap());
        let (columns, rows) = (size(at), size(at + 8));
        for (columns, rows, expected) in [
            (columns - 1, rows, "has the shape"),
            (columns, rows - 1, "has the shape"),
            (1, 1, "has the shape"),
            (columns, 1 << 40, "ends at byte"),
            (1 << 62, 3, "too large"),
            (1 << 61, 4, "too large"),
            (0, rows, "impossible dimension"),
        ] {
            let mut bytes = sound.clone();
            bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(columns));
            bytes[at + 8..at + 16].copy_from_slice(&u64::to_le_bytes(rows));
            let text = reason(load(&bytes));
            assert!(
                text.contains(expected),
                "{name}, {rows} x {columns}: {text}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(800) })]

    /// Numbers of several widths written anywhere, the header more often than the weights.
    #[test]
    fn no_overwritten_field_panics_or_takes_wild_memory(
        which in 0usize..12,
        writes in prop::collection::vec(
            (
                0.0f64..1.0,
                any::<bool>(),
                prop_oneof![
                    any::<u64>(),
                    prop::sample::select(vec![0, 1, 2, 3, 0x7f, 0xff, 1 << 20, 1 << 31, 1 << 32, 1 << 62, 1 << 63, u64::MAX]),
                ],
                prop::sample::select(vec![1usize, 2, 4, 8]),
            ),
            1..4,
        ),
    ) {
        let models: Vec<_> = all_models().into_iter().chain(float_models()).collect();
        let model = models[which % models.len()].1.clone();
        let mut bytes = model.bytes().unwrap();
        let header = header_bytes(&bytes);
        for (place, in_header, value, width) in writes {
            let span = if in_header { header } else { bytes.len() };
            let at = ((span - width) as f64 * place) as usize;
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        match step_if_sound(&bytes) {
            Ok(()) | Err(LoadError::Malformed { .. } | LoadError::Unsupported { .. }) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }
}
