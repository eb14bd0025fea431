//! Our own engine beyond what all keep to: over random samplings and chunks a replayed sequence goes on with the same tokens,
//! and weights of any width keep the same bits.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::support;

use domain::Sampling;
use engine::{Engine, SequenceId, TokenId};
use paraphym_inference::Decoder;
use paraphym_inference::fixture::TinyModel;
use paraphym_inference::format::Format;
use proptest::prelude::*;
use support::{all_models, bits, float_models, input, load, open, plan, some_tokens};

/// Logits after all of `tokens`, given at once.
fn at_once(decoder: &mut Decoder, id: u64, tokens: &[TokenId]) -> Vec<u32> {
    open(decoder, id);
    let all = decoder.step_logits(&[input(id, tokens, true)]).unwrap();
    decoder.close(SequenceId(id));
    bits(all[0].as_ref().unwrap())
}

#[test]
fn half_precision_weights_keep_the_contract() {
    for format in [Format::F16, Format::F32, Format::Q8_0] {
        let (_, mut decoder, _) = load(&TinyModel::llama().seed(3).weights(format));
        let tokens = some_tokens(20, 1);
        let whole = at_once(&mut decoder, 1, &tokens);
        open(&mut decoder, 2);
        for token in &tokens[..19] {
            decoder.step_logits(&[input(2, &[*token], false)]).unwrap();
        }
        let last = decoder
            .step_logits(&[input(2, &tokens[19..], true)])
            .unwrap();
        assert_eq!(bits(last[0].as_ref().unwrap()), whole, "{format}");
    }
}

/// Generates `n` tokens after `prompt`.
fn generate(
    decoder: &mut Decoder,
    id: u64,
    prompt: &[TokenId],
    n: usize,
    sampling: &Sampling,
) -> Vec<TokenId> {
    let plan = plan(512, prompt.len() as u32, sampling.clone());
    decoder.open(SequenceId(id), plan).unwrap();
    let mut made = Vec::new();
    let mut next = prompt.to_vec();
    for _ in 0..n {
        let token = decoder.step(&[input(id, &next, true)]).unwrap()[0]
            .token
            .unwrap();
        made.push(token);
        next = vec![token];
    }
    decoder.close(SequenceId(id));
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A crash anywhere: the sequence is opened again with the same plan, gets prompt and answer so far in other
    /// chunks beside another sequence, and says what it would have said.
    #[test]
    fn a_replayed_sequence_goes_on_with_the_same_tokens(
        seed: u64,
        prompt_length in 1u32..80,
        crash_after in 1usize..16,
        chunk in 1usize..40,
        temperature in prop_oneof![Just(0.0f32), 0.3f32..1.5],
        penalty in 1.0f32..1.5,
        counted in prop_oneof![Just((0.0f32, 0.0f32)), (-0.5f32..2.0, -0.5f32..2.0)],
    ) {
        let (_, mut decoder, _) = load(&TinyModel::llama().seed(seed % 4));
        let sampling = Sampling {
            seed,
            temperature,
            repetition_penalty: penalty,
            frequency_penalty: counted.0,
            presence_penalty: counted.1,
            ..Sampling::default()
        };
        let prompt = some_tokens(prompt_length, 5);
        let expected = generate(&mut decoder, 1, &prompt, 20, &sampling);

        let (_, mut rebuilt, _) = load(&TinyModel::llama().seed(seed % 4));
        rebuilt.open(SequenceId(1), plan(512, prompt_length, sampling)).unwrap();
        open(&mut rebuilt, 2);
        let mut held = prompt;
        held.extend(&expected[..crash_after]);
        let pieces: Vec<_> = held.chunks(chunk).collect();
        let mut token = None;
        for (i, piece) in pieces.iter().enumerate() {
            let batch = [input(2, &[5, 6], true), input(1, piece, i + 1 == pieces.len())];
            token = rebuilt.step(&batch).unwrap()[1].token;
        }
        let mut made = vec![token.unwrap()];
        while crash_after + made.len() < expected.len() {
            let next = [input(1, &made[made.len() - 1..], true)];
            made.push(rebuilt.step(&next).unwrap()[0].token.unwrap());
        }
        prop_assert_eq!(&made, &expected[crash_after..]);
    }
}

#[test]
fn memory_of_the_weights_is_what_the_card_says() {
    for (name, model) in all_models().into_iter().chain(float_models()) {
        let (card, decoder, _) = load(&model);
        assert_eq!(decoder.weights_bytes(), card.weights_bytes, "{name}");
    }
}
