//! The real embedding model against values that were computed apart from it, and what a broken folder is answered.
//!
//! The values are those of a forward pass in numpy (64 bit floats, one text at a time, with a `WordPiece` tokenizer of its
//! own), written for this test from the papers' formulas and run once over the same `model.safetensors`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may fail loudly"
)]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Bytes;
use engine::{Embedder, LoadError, LoadedEmbedder, ModelLoader, ModelSource};
use paraphym_inference::GgufLoader;

const FILE: &str = "all-MiniLM-L6-v2/model.safetensors";
/// Sums of 32 bit floats in another order differ by less.
const CLOSE: f32 = 2e-5;

/// `PARAPHYM_TEST_EMBEDDER`, or where the model is kept.
fn model_path() -> PathBuf {
    let path = std::env::var_os("PARAPHYM_TEST_EMBEDDER").map_or_else(
        || {
            let data = std::env::var_os("XDG_DATA_HOME")
                .map(PathBuf::from)
                .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")))
                .expect("neither XDG_DATA_HOME nor a home folder is known");
            data.join("paraphym/models").join(FILE)
        },
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "the embedding model is not at {}: run `cargo xtask test`, which fetches it, or name one in PARAPHYM_TEST_EMBEDDER",
        path.display()
    );
    path
}

fn load() -> LoadedEmbedder {
    let source = ModelSource { path: model_path() };
    let card = GgufLoader::new().inspect_embedder(&source).unwrap();
    let mut fractions = Vec::new();
    let loaded = GgufLoader::new().load_embedder(&source, &mut |fraction| {
        fractions.push(fraction);
        ControlFlow::Continue(())
    });
    let loaded = loaded.unwrap();
    assert_eq!(loaded.card, card);
    assert!(fractions.is_sorted() && fractions.last() == Some(&1.0));
    loaded
}

fn embed(embedder: &mut dyn Embedder, texts: &[&str]) -> Vec<(Arc<[f32]>, u32)> {
    let texts: Vec<Arc<str>> = texts.iter().map(|text| Arc::from(*text)).collect();
    let answers = embedder.embed(&texts).unwrap();
    answers.into_iter().map(|e| (e.vector, e.tokens)).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[test]
fn real_model_gives_the_values_computed_apart_from_it() {
    let LoadedEmbedder { card, mut embedder } = load();
    assert_eq!((card.dimensions, card.max_tokens), (384, 256));
    let long = "word ".repeat(400);
    let cases: [(&str, u32, [f32; 8], f32); 4] = [
        (
            "A cat sits on the mat.",
            9,
            [
                0.126_535, -0.032_851, -0.029_06, 0.044_407, -0.043_445, 0.032_097, 0.048_111,
                0.027_675,
            ],
            0.078_616,
        ),
        (
            "",
            2,
            [
                -0.118_838, 0.048_299, -0.002_548, -0.011_011, 0.051_951, 0.010_292, 0.115_433,
                0.000_701,
            ],
            0.629_072,
        ),
        (
            "Crème brûlée, naïve café: 北京 is far!",
            16,
            [
                0.105_236, -0.018_201, 0.014_293, -0.034_585, 0.004_566, 0.014_957, 0.037_517,
                -0.039_161,
            ],
            0.210_044,
        ),
        // Cut at 256 tokens.
        (
            &long,
            256,
            [
                -0.008_124, -0.095_586, -0.038_673, 0.049_662, -0.043_794, 0.023_72, -0.018_142,
                -0.020_207,
            ],
            -0.785_965,
        ),
    ];
    let together: Vec<&str> = cases.iter().map(|case| case.0).collect();
    let batch = embed(embedder.as_mut(), &together);
    for ((text, tokens, first, sum), in_batch) in cases.iter().zip(&batch) {
        let alone = embed(embedder.as_mut(), &[text]);
        for (vector, seen) in [&alone[0], in_batch] {
            assert_eq!((vector.len(), seen), (384, tokens));
            for (x, expected) in vector.iter().zip(first) {
                assert!(
                    (x - expected).abs() < CLOSE,
                    "{text:.20}: {x} for {expected}"
                );
            }
            let all: f32 = vector.iter().sum();
            assert!(
                (all - sum).abs() < 384.0 * CLOSE,
                "{text:.20}: {all} for {sum}"
            );
            assert!((cosine(vector, vector) - 1.0).abs() < CLOSE);
        }
    }
}

#[test]
fn real_model_brings_like_sentences_near() {
    let mut loaded = load();
    let texts = [
        "A cat sits on the mat.",
        "A kitten is resting on a rug.",
        "The central bank raised interest rates.",
        "Interest rates went up again.",
    ];
    let vectors = embed(loaded.embedder.as_mut(), &texts);
    for (a, b, expected) in [
        (0, 1, 0.655_289),
        (0, 2, -0.008_358),
        (0, 3, 0.022_273),
        (1, 2, -0.110_238),
        (1, 3, -0.021_634),
        (2, 3, 0.701_991),
    ] {
        let cosine = cosine(&vectors[a].0, &vectors[b].0);
        assert!((cosine - expected).abs() < 1e-4, "{a} and {b}: {cosine}");
    }
}

#[test]
fn real_model_may_be_broken_in_any_file_and_says_which() {
    let good = model_path();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let path = at("model.safetensors");
    let source = ModelSource { path: path.clone() };
    let lay = |name: &str| {
        fs::copy(good.with_file_name(name), at(name)).unwrap();
    };
    let refused = || {
        GgufLoader::new()
            .inspect_embedder(&source)
            .unwrap_err()
            .to_string()
    };
    assert!(refused().contains("config.json"), "{}", refused());
    lay("config.json");
    assert!(refused().contains("model.safetensors"), "{}", refused());
    // Only the header and what it points to need be there.
    lay("model.safetensors");
    assert!(refused().contains("tokenizer.json"), "{}", refused());
    lay("tokenizer.json");
    let card = GgufLoader::new().inspect_embedder(&source).unwrap();
    assert!(
        card.resident_bytes() > Bytes(90_000_000) && card.most_bytes() < Bytes(200_000_000),
        "{card:?}"
    );
    let cancelled = GgufLoader::new().load_embedder(&source, &mut |_| ControlFlow::Break(()));
    assert_eq!(cancelled.err(), Some(LoadError::Cancelled));

    let config = fs::read_to_string(at("config.json")).unwrap();
    for (from, to) in [
        ("\"hidden_size\": 384", "\"hidden_size\": 385"),
        ("\"hidden_size\": 384", "\"hidden_size\": 0"),
        ("\"vocab_size\": 30522", "\"vocab_size\": 30523"),
        ("\"num_hidden_layers\": 6", "\"num_hidden_layers\": 1000"),
        ("\"num_attention_heads\": 12", "\"num_attention_heads\": 0"),
        ("\"model_type\": \"bert\"", "\"model_type\": \"t5\""),
        ("{", ""),
    ] {
        let broken = config.replacen(from, to, 1);
        assert_ne!(broken, config);
        fs::write(at("config.json"), broken).unwrap();
        let error = GgufLoader::new().inspect_embedder(&source);
        assert!(error.is_err(), "{to}");
    }
    // More layers than there are is told when the weights are read.
    let more = config.replacen("\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7", 1);
    fs::write(at("config.json"), more).unwrap();
    let error = GgufLoader::new().load_embedder(&source, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(error.err(), Some(LoadError::Malformed { .. })));
    fs::write(at("config.json"), &config).unwrap();
    cut(&path, 80_000_000);
    assert!(refused().contains("does not fit"), "{}", refused());
    cut(&path, 5);
    assert!(refused().contains("model.safetensors"), "{}", refused());
}

fn cut(path: &Path, bytes: u64) {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(bytes)
        .unwrap();
}
