//! What the tests of this crate share: tiny models in temporary folders, and steps in few words.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

pub(crate) mod family;
pub(crate) mod plain;
pub(crate) mod subject;

use std::ops::ControlFlow;
use std::path::PathBuf;

use domain::Sampling;
use engine::{Engine, ModelCard, ModelSource, SequenceId, SequencePlan, StepInput, TokenId};
use paraphym_inference::fixture::{Sizes, TinyModel};
use paraphym_inference::format::Format;
use paraphym_inference::{Codec, Decoder, GgufLoader};
use tempfile::TempDir;

/// A tiny model in a file of its own; the folder goes with the value.
pub(crate) struct OnDisk {
    pub(crate) folder: TempDir,
    pub(crate) source: ModelSource,
}

pub(crate) fn on_disk(model: &TinyModel) -> OnDisk {
    with_bytes(&model.bytes().unwrap())
}

pub(crate) fn with_bytes(bytes: &[u8]) -> OnDisk {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    std::fs::write(&path, bytes).unwrap();
    OnDisk {
        folder,
        source: ModelSource { path },
    }
}

/// Waits until the clock of the file system has gone on since a file was changed, as the files say that are made in `folder`.
#[cfg(target_os = "linux")]
pub(crate) fn settle(path: &std::path::Path, folder: &std::path::Path) {
    use std::os::unix::fs::MetadataExt;
    let changed = |path: &std::path::Path| {
        let file = std::fs::metadata(path).unwrap();
        i128::from(file.ctime()) * 1_000_000_000 + i128::from(file.ctime_nsec())
    };
    let (of_file, clock) = (changed(path), folder.join("clock"));
    let now = || {
        std::fs::File::create(&clock).unwrap();
        changed(&clock)
    };
    while now() < of_file + 25_000_000 {}
}

/// `PARAPHYM_TEST_MODEL`, or where the model is kept.
pub(crate) fn model_path() -> PathBuf {
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
    let path = data
        .join("paraphym/models")
        .join("SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(
        path.is_file(),
        "the test model is not at {}: run `cargo xtask test`, which fetches it, or name one in PARAPHYM_TEST_MODEL",
        path.display()
    );
    path
}

pub(crate) fn load(model: &TinyModel) -> (ModelCard, Decoder, Codec) {
    GgufLoader::new()
        .load_parts(&on_disk(model).source, &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

/// One of each family.
pub(crate) fn all_models() -> [(&'static str, TinyModel); 9] {
    [
        ("llama", TinyModel::llama().seed(7)),
        ("qwen2", TinyModel::qwen2().seed(8)),
        ("qwen3", TinyModel::qwen3().seed(9)),
        ("smollm3", TinyModel::smollm3().seed(10)),
        ("granite", TinyModel::granite().seed(11)),
        ("phi3", TinyModel::phi3().seed(12)),
        ("gemma", TinyModel::gemma().seed(13)),
        ("gemma2", TinyModel::gemma2().seed(14)),
        ("gemma3", TinyModel::gemma3().seed(15)),
    ]
}

/// Weights that are floats, all of them, in widths of which blocks of 32 know nothing.
pub(crate) fn float_models() -> [(&'static str, TinyModel); 3] {
    let odd = Sizes {
        width: 51,
        heads: 6,
        kv_heads: 3,
        head_width: 14,
        layers: 2,
        feed_forward: 77,
        more_tokens: 4,
    };
    let floats = |model: TinyModel, code| {
        let format = Format::from_code(code).unwrap();
        model.weights(format).embedding(format)
    };
    let wide = TinyModel::llama().seed(10);
    let odd = |model: TinyModel| model.sized(odd);
    [
        ("F16", floats(wide, 1)),
        ("BF16", floats(odd(TinyModel::qwen3().seed(11)), 30)),
        ("F32", floats(odd(TinyModel::qwen2().seed(12)), 0)),
    ]
}

pub(crate) fn plan(capacity: u32, prompt: u32, sampling: Sampling) -> SequencePlan {
    SequencePlan {
        capacity_tokens: capacity,
        sampling,
        prompt_tokens: prompt,
    }
}

pub(crate) fn input(id: u64, tokens: &[TokenId], sample: bool) -> StepInput {
    StepInput {
        sequence: SequenceId(id),
        tokens: tokens.to_vec(),
        sample,
    }
}

/// `n` tokens that differ from seed to seed.
pub(crate) fn some_tokens(n: u32, seed: u32) -> Vec<TokenId> {
    (0..n).map(|i| 3 + (i * 37 + seed * 101) % 250).collect()
}

pub(crate) fn open(decoder: &mut Decoder, id: u64) {
    decoder
        .open(SequenceId(id), plan(512, 0, Sampling::greedy()))
        .unwrap();
}

/// The first of the largest.
pub(crate) fn likeliest(logits: &[impl PartialOrd]) -> TokenId {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as TokenId
}

pub(crate) fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}
