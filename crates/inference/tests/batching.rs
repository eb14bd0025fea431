//! The engine's contract: neither batch nor chunking changes a bit, and a sequence opened anew goes on as before.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::support;

use domain::{Bytes, Sampling};
use engine::{Engine, SequenceId, StepError, TokenId};
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
fn one_by_one_chunked_and_at_once_give_the_same_bits() {
    for (name, model) in all_models().into_iter().chain(float_models()) {
        let (_, mut decoder, _) = load(&model);
        // Across the border of a kv page (64) and of the rows of one pass (256).
        for length in [1, 2, 17, 70, 300] {
            let tokens = some_tokens(length, length);
            let whole = at_once(&mut decoder, 1, &tokens);
            for chunk in [1, 3, 64] {
                open(&mut decoder, 2);
                let mut last = None;
                for piece in tokens.chunks(chunk) {
                    last = decoder.step_logits(&[input(2, piece, true)]).unwrap()[0].take();
                }
                decoder.close(SequenceId(2));
                assert_eq!(
                    bits(&last.unwrap()),
                    whole,
                    "{name}: {length} tokens by {chunk}"
                );
            }
        }
    }
}

#[test]
fn batched_with_others_gives_the_same_bits() {
    for (name, model) in all_models().into_iter().chain(float_models()) {
        let (_, mut decoder, _) = load(&model);
        let prompts: Vec<Vec<TokenId>> = (0..9).map(|i| some_tokens(5 + i * 13, i)).collect();
        let alone: Vec<Vec<u32>> = prompts
            .iter()
            .map(|p| at_once(&mut decoder, 99, p))
            .collect();
        let mut batch = Vec::new();
        for (id, prompt) in prompts.iter().enumerate() {
            open(&mut decoder, id as u64);
            batch.push(input(id as u64, prompt, true));
        }
        let together = decoder.step_logits(&batch).unwrap();
        for (id, logits) in together.iter().enumerate() {
            assert_eq!(
                bits(logits.as_ref().unwrap()),
                alone[id],
                "{name}: sequence {id}"
            );
        }
        // And again, each one token further, at different positions.
        let batch: Vec<_> = (0..9)
            .map(|id| input(id, &[30 + id as u32], true))
            .collect();
        let together = decoder.step_logits(&batch).unwrap();
        for (id, logits) in together.iter().enumerate() {
            let mut longer = prompts[id].clone();
            longer.push(30 + id as u32);
            let alone = at_once(&mut decoder, 99, &longer);
            assert_eq!(
                bits(logits.as_ref().unwrap()),
                alone,
                "{name}: sequence {id}, next"
            );
        }
    }
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
fn what_a_step_refuses() {
    let (card, mut decoder, _) = load(&TinyModel::llama());
    let vocabulary = card.vocabulary;
    decoder
        .open(SequenceId(1), plan(4, 0, Sampling::greedy()))
        .unwrap();
    assert_eq!(
        decoder.open(SequenceId(1), plan(4, 0, Sampling::greedy())),
        Err(StepError::DuplicateSequence(SequenceId(1)))
    );
    assert_eq!(
        decoder.open(SequenceId(2), plan(513, 0, Sampling::greedy())),
        Err(StepError::CapacityExceeded {
            sequence: SequenceId(2),
            needed: 513,
            capacity: 512
        })
    );
    let cases = [
        (
            input(2, &[5], true),
            StepError::UnknownSequence(SequenceId(2)),
        ),
        (input(1, &[], true), StepError::EmptyInput(SequenceId(1))),
        (
            input(1, &[vocabulary], true),
            StepError::UnknownToken {
                token: vocabulary,
                vocabulary,
            },
        ),
        (
            input(1, &[5; 5], true),
            StepError::CapacityExceeded {
                sequence: SequenceId(1),
                needed: 5,
                capacity: 4,
            },
        ),
    ];
    for (wrong, error) in cases {
        assert_eq!(decoder.step(&[wrong]), Err(error));
    }
    assert_eq!(decoder.step(&[]), Ok(Vec::new()));
    decoder.close(SequenceId(7));
}

#[test]
fn memory_is_what_the_card_says() {
    for (name, model) in all_models().into_iter().chain(float_models()) {
        let (card, mut decoder, _) = load(&model);
        assert_eq!(decoder.weights_bytes(), card.weights_bytes, "{name}");
        assert_eq!(decoder.kv_bytes(), Bytes::ZERO);
        decoder
            .open(SequenceId(1), plan(100, 0, Sampling::greedy()))
            .unwrap();
        assert_eq!(
            decoder.kv_bytes(),
            Bytes::ZERO,
            "pages are taken when they are needed"
        );
        for (tokens, held) in [(1, 1), (63, 64), (1, 65), (35, 100)] {
            decoder
                .step(&[input(1, &some_tokens(tokens, 0), false)])
                .unwrap();
            assert_eq!(
                decoder.kv_bytes(),
                card.kv_bytes(held),
                "{name} holding {held}"
            );
        }
        assert_eq!(
            decoder.kv_bytes(),
            card.kv_bytes(100),
            "never more than the capacity in pages"
        );
        decoder.close(SequenceId(1));
        assert_eq!(decoder.kv_bytes(), Bytes::ZERO);
    }
}
