//! What becomes of keys and values: `fast` keeps what values are made of as `exact` does, and keys in a byte.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::ops::ControlFlow;

use domain::Sampling;
use engine::{Engine, ModelSource, SequenceId, SequencePlan, StepInput};

use crate::fixture::TinyModel;
use crate::{GgufLoader, Precision};

/// Keys and values of the first layer, which all begin with the same rows of the embedding, of 20 tokens.
fn first_layer(precision: Precision, source: &ModelSource) -> [Vec<u16>; 2] {
    let loader = GgufLoader::new().with_precision(precision);
    let parts = loader.load_parts(source, &mut |_| ControlFlow::Continue(()));
    let mut decoder = parts.unwrap().1;
    let plan = SequencePlan {
        capacity_tokens: 64,
        sampling: Sampling::greedy(),
        prompt_tokens: 20,
    };
    decoder.open(SequenceId(1), plan).unwrap();
    let tokens = (3..23).collect();
    let input = StepInput {
        sequence: SequenceId(1),
        tokens,
        sample: true,
    };
    decoder.step(&[input]).unwrap();
    let caches = decoder.shared.caches();
    let (head_width, cache) = (decoder.model().blueprint.head_width, &caches[0]);
    let keys = cache.keys(0, 1, 0).flatten().take(16 * head_width);
    let values = cache.values(0, 1, 0).flatten().take(20 * head_width);
    [
        keys.map(|x| x.to_bits()).collect(),
        values.map(|x| x.to_bits()).collect(),
    ]
}

#[test]
fn values_are_as_exact_as_they_can_be_and_keys_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    TinyModel::llama().seed(4).write(&path).unwrap();
    let source = ModelSource { path };
    let [fast_keys, fast_values] = first_layer(Precision::Fast, &source);
    let [exact_keys, exact_values] = first_layer(Precision::Exact, &source);
    assert!(fast_values.iter().any(|bits| *bits != 0));
    assert_eq!(fast_values, exact_values);
    assert_ne!(
        fast_keys, exact_keys,
        "then this would prove nothing of values either"
    );
}
