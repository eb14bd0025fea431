//! Files that lie about what they are: every one gets a typed error that names what is wrong; none panics or takes wild memory.
//! What is wrong within sound files is in `hostile_weights`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "tests may fail loudly, and tables may be long"
)]

use crate::support;

use std::ops::ControlFlow;

use engine::{LoadError, ModelLoader};
use paraphym_inference::GgufLoader;
use paraphym_inference::fixture::{Field, TinyModel};
use paraphym_inference::header::{Header, HeaderError, Value};
use support::{all_models, float_models, on_disk, with_bytes};

pub(crate) fn load(bytes: &[u8]) -> Result<(), LoadError> {
    let file = with_bytes(bytes);
    GgufLoader::new()
        .load(&file.source, &mut |_| ControlFlow::Continue(()))
        .map(|_| ())
}

/// The error's own words; it must be one about the file's contents.
pub(crate) fn reason(result: Result<(), LoadError>) -> String {
    match result {
        Err(LoadError::Malformed { reason, .. }) => reason,
        Err(LoadError::Unsupported { what, reason, .. }) => format!("{what}: {reason}"),
        other => panic!("{other:?} is no error about the contents"),
    }
}

pub(crate) fn header_bytes(bytes: &[u8]) -> usize {
    let header = Header::read(bytes, bytes.len() as u64).unwrap();
    header.tensors.values().map(|t| t.offset).min().unwrap() as usize
}

#[test]
fn whole_files_load() {
    for (name, model) in all_models().into_iter().chain(float_models()) {
        assert_eq!(load(&model.bytes().unwrap()), Ok(()), "{name}");
    }
    assert_eq!(
        load(&TinyModel::llama().sentencepiece().bytes().unwrap()),
        Ok(())
    );
}

#[test]
fn a_file_cut_at_any_byte_of_the_header_is_refused() {
    let bytes = TinyModel::qwen3().seed(1).bytes().unwrap();
    for length in 0..header_bytes(&bytes) {
        let cut = &bytes[..length];
        let error = Header::read(cut, length as u64).unwrap_err();
        assert!(
            matches!(error, HeaderError::Malformed(_)),
            "cut at {length}: {error:?}"
        );
    }
}

#[test]
fn a_file_cut_inside_the_weights_is_refused() {
    let bytes = TinyModel::llama().seed(1).bytes().unwrap();
    let header = Header::read(bytes.as_slice(), bytes.len() as u64).unwrap();
    let end = header
        .tensors
        .values()
        .map(|t| t.offset + t.bytes)
        .max()
        .unwrap() as usize;
    for length in (header_bytes(&bytes)..end).step_by(997).chain([end - 1]) {
        let text = reason(load(&bytes[..length]));
        assert!(text.contains("ends at byte"), "cut at {length}: {text}");
    }
}

/// Each byte of the header of every kind of model, set to telling values: an error or a sound model, nothing else.
#[test]
fn no_changed_byte_of_the_header_panics() {
    let models = [
        TinyModel::llama().seed(2),
        TinyModel::qwen2().seed(2).sentencepiece(),
    ];
    for model in models {
        let bytes = model.bytes().unwrap();
        let mut refused = 0;
        let end = header_bytes(&bytes);
        for at in 0..end {
            for value in [0x00, 0xff, bytes[at] ^ 0x01, bytes[at] ^ 0x80] {
                let mut changed = bytes.clone();
                changed[at] = value;
                refused +=
                    usize::from(Header::read(changed.as_slice(), changed.len() as u64).is_err());
            }
        }
        assert!(
            refused > end / 4,
            "only {refused} changes of {end} bytes were noticed"
        );
    }
}

/// Several random bytes at a time, through the whole loader and one step of what still loads.
#[test]
fn no_scrambled_file_panics() {
    let bytes = TinyModel::llama().seed(3).bytes().unwrap();
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut refused, mut loaded) = (0, 0);
    for round in 0..600 {
        let mut changed = bytes.clone();
        // Every third round leaves the header alone.
        let span = if round % 3 == 0 {
            bytes.len()
        } else {
            header_bytes(&bytes)
        };
        for _ in 0..=next(4) {
            changed[next(span)] = next(256) as u8;
        }
        let file = with_bytes(&changed);
        match GgufLoader::new().load_parts(&file.source, &mut |_| ControlFlow::Continue(())) {
            Err(LoadError::Malformed { .. } | LoadError::Unsupported { .. }) => refused += 1,
            Err(other) => panic!("round {round}: {other:?}"),
            Ok((_, mut decoder, _)) => {
                loaded += 1;
                support::open(&mut decoder, 1);
                let logits = decoder
                    .step_logits(&[support::input(1, &[5, 6], true)])
                    .unwrap();
                assert!(logits[0].is_some());
            }
        }
    }
    assert!(
        refused > 50 && loaded > 50,
        "{refused} refused, {loaded} loaded"
    );
}

#[test]
fn what_is_missing_is_named() {
    let tensors = [
        "token_embd.weight",
        "output_norm.weight",
        "blk.1.attn_q.weight",
        "blk.0.ffn_down.weight",
    ];
    let fields = [
        "general.architecture",
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon",
        "tokenizer.ggml.model",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.merges",
    ];
    for name in tensors.iter().chain(&fields) {
        let text = reason(load(&TinyModel::llama().without(name).bytes().unwrap()));
        assert!(
            text.contains(name) && text.contains("missing"),
            "{name}: {text}"
        );
    }
    let text = reason(load(
        &TinyModel::qwen2()
            .without("blk.1.attn_k.bias")
            .bytes()
            .unwrap(),
    ));
    assert!(text.contains("blk.1.attn_k.bias"), "{text}");
    let text = reason(load(
        &TinyModel::qwen3()
            .without("blk.0.attn_q_norm.weight")
            .bytes()
            .unwrap(),
    ));
    assert!(text.contains("blk.0.attn_q_norm.weight"), "{text}");
    let text = reason(load(
        &TinyModel::llama()
            .sentencepiece()
            .without("tokenizer.ggml.scores")
            .bytes()
            .unwrap(),
    ));
    assert!(text.contains("tokenizer.ggml.scores"), "{text}");
}

#[test]
fn what_contradicts_itself_or_is_unknown_is_named() {
    let text = |t: &str| Field::Text(t.to_owned());
    let cases = [
        (
            "general.architecture",
            text("mamba"),
            "llama, qwen2, qwen3, smollm3",
        ),
        ("tokenizer.ggml.model", text("bert"), "gpt2"),
        ("tokenizer.ggml.pre", text("viking"), "smollm"),
        (
            "tokenizer.ggml.token_type",
            Field::Ints(vec![1, 2]),
            "token_type",
        ),
        (
            "tokenizer.ggml.eos_token_id",
            Field::Number(9999),
            "eos_token_id",
        ),
        (
            "tokenizer.ggml.merges",
            Field::Texts(vec!["ab".to_owned()]),
            "merges",
        ),
        (
            "tokenizer.ggml.merges",
            Field::Texts(vec!["no such".to_owned()]),
            "tokenizer",
        ),
        (
            "tokenizer.ggml.tokens",
            Field::Texts(vec!["a".to_owned()]),
            "token_type",
        ),
        ("tokenizer.chat_template", text("{% if %}"), "chat template"),
        (
            "llama.embedding_length",
            Field::Number(96),
            "token_embd.weight",
        ),
        (
            "llama.embedding_length",
            Field::Number(0),
            "embedding_length",
        ),
        (
            "llama.attention.head_count",
            Field::Number(u32::MAX),
            "head_count",
        ),
        ("llama.attention.head_count", Field::Number(3), "head_count"),
        ("llama.attention.head_count", Field::Number(0), "head_count"),
        (
            "llama.attention.head_count_kv",
            Field::Number(3),
            "kv heads",
        ),
        (
            "llama.attention.key_length",
            Field::Number(1 << 20),
            "wider than",
        ),
        (
            "llama.attention.key_length",
            Field::Number(u32::MAX),
            "key_length",
        ),
        (
            "llama.feed_forward_length",
            Field::Number(0),
            "feed_forward_length",
        ),
        (
            "llama.feed_forward_length",
            Field::Number(1 << 20),
            "ffn_gate.weight",
        ),
        (
            "llama.embedding_length",
            Field::Number(1 << 20),
            "token_embd.weight",
        ),
        ("llama.context_length", Field::Number(0), "context_length"),
        (
            "llama.context_length",
            Field::Number(u32::MAX),
            "context_length",
        ),
        (
            "llama.rope.freq_base",
            Field::Float(f32::INFINITY),
            "freq_base",
        ),
        ("llama.rope.freq_base", Field::Float(0.0), "freq_base"),
        (
            "llama.attention.head_count_kv",
            Field::Number(0),
            "kv heads",
        ),
        ("llama.attention.key_length", Field::Number(0), "key_length"),
        (
            "llama.attention.value_length",
            Field::Number(8),
            "value head",
        ),
        (
            "llama.rope.dimension_count",
            Field::Number(17),
            "dimension_count",
        ),
        ("llama.rope.scaling.type", text("yarn"), "linear"),
        ("llama.block_count", Field::Number(3), "blk.2."),
        ("llama.block_count", Field::Number(u32::MAX), "block_count"),
        ("llama.context_length", text("many"), "context_length"),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Field::Float(f32::NAN),
            "epsilon",
        ),
        ("llama.expert_count", Field::Number(8), "dense"),
        ("general.alignment", Field::Number(0), "alignment"),
        ("general.alignment", Field::Number(48), "alignment"),
    ];
    for (name, value, expected) in cases {
        let model = TinyModel::llama().field(name, value.clone());
        let text = reason(load(&model.bytes().unwrap()));
        assert!(text.contains(expected), "{name} = {value:?}: {text}");
        // What the header can tell is told before anything is loaded.
        let inspected = GgufLoader::new().inspect(&on_disk(&model).source);
        let in_load_only =
            text.contains("tokenizer:") || text.contains("template") || text.contains("no pair");
        assert!(
            inspected.is_err() || in_load_only,
            "inspect let {name} = {value:?} pass"
        );
    }
}

/// A header by hand: each claim is absurd in its own way.
#[test]
fn absurd_claims_are_refused_before_memory_is_taken() {
    let start = |tensors: u64, fields: u64| {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(fields.to_le_bytes());
        bytes
    };
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    let mut cases: Vec<(Vec<u8>, &str)> = vec![
        (b"GGML\x03\0\0\0".to_vec(), "GGUF"),
        (b"GGUF\x09\0\0\0".to_vec(), "version 9"),
        (b"GGUF\x00\0\0\x03".to_vec(), "version"),
        (start(u64::MAX, 0), "tensors"),
        (start(0, u64::MAX), "metadata fields"),
        (start(60_000, 60_000), "remain"),
    ];
    let mut long_name = start(0, 1);
    long_name.extend(u64::MAX.to_le_bytes());
    long_name.resize(100, 0);
    cases.push((long_name, "name of metadata field 0"));
    for (kind, claim) in [(8u32, "text"), (9, "array")] {
        let mut bytes = start(0, 1);
        text(&mut bytes, "general.name");
        bytes.extend(kind.to_le_bytes());
        if kind == 9 {
            bytes.extend(8u32.to_le_bytes());
        }
        bytes.extend((u64::MAX / 16).to_le_bytes());
        bytes.resize(200, 0);
        cases.push((
            bytes,
            if claim == "text" {
                "`general.name` needs"
            } else {
                "`general.name`"
            },
        ));
    }
    let mut nested = start(0, 1);
    text(&mut nested, "deep");
    nested.extend(9u32.to_le_bytes());
    nested.extend(9u32.to_le_bytes());
    nested.extend(1u64.to_le_bytes());
    nested.resize(200, 0);
    cases.push((nested, "array of arrays"));
    for (dimensions, code, offset, expected) in [
        (vec![u64::MAX, 2], 0u32, 0u64, "dimension"),
        (vec![0], 0, 0, "dimension"),
        (vec![32; 5], 0, 0, "dimensions"),
        (vec![33], 3, 0, "multiple of 32"),
        (vec![32], 9, 0, "weight format 9"),
        (vec![1 << 40, 1 << 20], 0, 0, "ends at byte"),
        (vec![32], 0, u64::MAX - 31, "offset"),
        (vec![32], 0, 1, "alignment"),
        (vec![1 << 62], 0, 0, "too large"),
    ] {
        let mut bytes = start(1, 0);
        text(&mut bytes, "some.weight");
        bytes.extend((dimensions.len() as u32).to_le_bytes());
        for size in dimensions {
            bytes.extend(u64::to_le_bytes(size));
        }
        bytes.extend(code.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes.resize(300, 0);
        cases.push((bytes, expected));
    }
    for (bytes, expected) in cases {
        let text = reason(load(&bytes));
        assert!(text.contains(expected), "wanted {expected:?}, got {text:?}");
    }
}

#[test]
fn twins_and_overlaps_are_refused() {
    let header = |second: &str, offset: u64| {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(2u64.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        for (name, offset) in [("a", 0), (second, offset)] {
            bytes.extend((name.len() as u64).to_le_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend(1u32.to_le_bytes());
            bytes.extend(64u64.to_le_bytes());
            bytes.extend(0u32.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(1000, 0);
        bytes
    };
    let told = |bytes: Vec<u8>| {
        Header::read(bytes.as_slice(), 1000)
            .unwrap_err()
            .to_string()
    };
    assert!(told(header("a", 256)).contains("twice"));
    assert!(told(header("b", 224)).contains("overlap"));
    assert!(Header::read(header("b", 256).as_slice(), 1000).is_ok());
}

#[test]
fn no_file_a_folder_and_a_cancelled_load() {
    let file = on_disk(&TinyModel::llama());
    let loader = GgufLoader::new();
    let folder = engine::ModelSource {
        path: file.folder.path().to_owned(),
    };
    let nowhere = engine::ModelSource {
        path: file.folder.path().join("none.gguf"),
    };
    for source in [folder, nowhere] {
        assert!(matches!(loader.inspect(&source), Err(LoadError::Io { .. })));
    }
    let mut told = Vec::new();
    loader
        .load(&file.source, &mut |share| {
            told.push(share);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(told.is_sorted() && told.len() >= 20, "{told:?}");
    assert!((told[told.len() - 1] - 1.0).abs() < 1e-6, "{told:?}");
    for stop_at in [1, 5, told.len()] {
        let mut calls = 0;
        let result = loader.load(&file.source, &mut |_| {
            calls += 1;
            if calls == stop_at {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(result.map(|_| ()), Err(LoadError::Cancelled));
        assert_eq!(calls, stop_at);
    }
}

/// What a card does not count is not kept: arrays that nobody asks for.
#[test]
fn arrays_that_nobody_asks_for_are_skipped() {
    let model = TinyModel::llama()
        .field("other.texts", Field::Texts(vec!["one".to_owned(); 300]))
        .field("other.ints", Field::Ints(vec![7; 300]))
        .field("other.floats", Field::Floats(vec![0.5; 300]));
    let bytes = model.bytes().unwrap();
    let header = Header::read(bytes.as_slice(), bytes.len() as u64).unwrap();
    for name in ["other.texts", "other.ints", "other.floats"] {
        assert_eq!(
            header.fields[name],
            Value::OtherArray { length: 300 },
            "{name}"
        );
    }
    assert!(matches!(
        header.fields["tokenizer.ggml.tokens"],
        Value::Texts(_)
    ));
    assert_eq!(load(&bytes), Ok(()));
}
