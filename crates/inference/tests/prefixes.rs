//! A kept prefix of our own engine beyond what all keep to: its pages are shared one by one, and over random turns it
//! changes no token.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::support;

use domain::{Bytes, Sampling};
use engine::{Beginning, Engine, PrefixId, SequenceId, StepError, TokenId};
use paraphym_inference::Decoder;
use paraphym_inference::fixture::TinyModel;
use proptest::prelude::*;
use support::{bits, input, load, open, plan, some_tokens};

const KEPT: PrefixId = PrefixId(70);

/// Opens `id` behind the first `tokens` tokens of the kept prefix.
fn open_from(decoder: &mut Decoder, id: u64, tokens: u32) -> Result<(), StepError> {
    let from = Beginning {
        prefix: KEPT,
        tokens,
    };
    decoder.open_from(SequenceId(id), plan(512, 0, Sampling::greedy()), from)
}

/// Feeds `tokens` to an open sequence; the logits behind the last.
fn feed(decoder: &mut Decoder, id: u64, tokens: &[TokenId]) -> Vec<u32> {
    let all = decoder.step_logits(&[input(id, tokens, true)]).unwrap();
    bits(all[0].as_ref().unwrap())
}

/// Feeds `tokens` to a new sequence and keeps the first `kept` of them.
fn keep(decoder: &mut Decoder, tokens: &[TokenId], kept: u32) -> u32 {
    open(decoder, 900);
    feed(decoder, 900, tokens);
    decoder.keep(SequenceId(900), KEPT, kept)
}

#[test]
fn memory_is_shared_and_comes_back() {
    let (card, mut decoder, _) = load(&TinyModel::llama());
    let tokens = some_tokens(200, 1);
    let pages = |n: u32| card.kv_bytes(n * card.kv_page_tokens);
    assert_eq!(keep(&mut decoder, &tokens, 1000), 200);
    assert_eq!(decoder.kv_bytes(), pages(4));
    // Replaced by another that keeps less: the rest is given back.
    assert_eq!(keep(&mut decoder, &tokens, 129), 129);
    assert_eq!(decoder.kv_bytes(), pages(3));
    open_from(&mut decoder, 1, 129).unwrap();
    open_from(&mut decoder, 2, 128).unwrap();
    assert_eq!(decoder.kv_bytes(), pages(3), "nobody has written yet");
    feed(&mut decoder, 1, &[5]);
    assert_eq!(decoder.kv_bytes(), pages(4), "its own copy of the third");
    feed(&mut decoder, 2, &[5]);
    assert_eq!(
        decoder.kv_bytes(),
        pages(5),
        "it needs no copy, a new third"
    );
    decoder.forget(KEPT);
    assert_eq!(decoder.kv_bytes(), pages(4), "two in common, two their own");
    decoder.close(SequenceId(1));
    assert_eq!(decoder.kv_bytes(), pages(3));
    // What began with a prefix can itself be kept.
    assert_eq!(decoder.keep(SequenceId(2), KEPT, 64), 64);
    assert_eq!(decoder.kv_bytes(), pages(1));
    decoder.forget(KEPT);
    decoder.forget(KEPT);
    assert_eq!(decoder.kv_bytes(), Bytes::ZERO);
}

/// A conversation that grows takes its prefix along: once that is forgotten, the page it ends in is its own again.
#[test]
fn growing_on_from_a_prefix_copies_nothing() {
    let (card, mut decoder, _) = load(&TinyModel::llama());
    keep(&mut decoder, &some_tokens(100, 1), 100);
    open_from(&mut decoder, 1, 100).unwrap();
    decoder.forget(KEPT);
    feed(&mut decoder, 1, &[5]);
    assert_eq!(decoder.kv_bytes(), card.kv_bytes(101));
}

/// Says `n` tokens; `last` are the prompt tokens not fed yet.
fn say(decoder: &mut Decoder, id: u64, last: &[TokenId], n: usize) -> Vec<TokenId> {
    let (mut next, mut said) = (last.to_vec(), Vec::new());
    for _ in 0..n {
        let outputs = decoder.step(&[input(id, &next, true)]).unwrap();
        next = vec![outputs[0].token.unwrap()];
        said.push(next[0]);
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Two turns: the second begins anywhere in what the first left, and says what it says from an empty engine.
    #[test]
    fn the_second_turn_says_the_same_with_and_without_reuse(
        seed: u64,
        prompt_length in 2u32..140,
        more in 1u32..80,
        kept_share in 0.0f64..=1.0,
        reused_share in 0.0f64..=1.0,
        chunk in 1usize..50,
        forget_early: bool,
        temperature in prop_oneof![Just(0.0f32), 0.3f32..1.5],
        penalty in 1.0f32..1.5,
    ) {
        let sampling = Sampling { seed, temperature, repetition_penalty: penalty, ..Sampling::default() };
        let model = TinyModel::llama().seed(seed % 4);
        let (_, mut decoder, _) = load(&model);
        let first = some_tokens(prompt_length, 5);
        decoder.open(SequenceId(1), plan(512, prompt_length, sampling.clone())).unwrap();
        let answer = say(&mut decoder, 1, &first, 8);
        let held = prompt_length + 7;
        let wanted = 1 + (kept_share * f64::from(held - 1)) as u32;
        let kept = decoder.keep(SequenceId(1), KEPT, wanted);
        prop_assert_eq!(kept, wanted);

        let mut second = first;
        second.extend(&answer);
        second.extend(some_tokens(more, 6));
        let second_plan = plan(512, second.len() as u32, sampling);
        let (_, mut fresh, _) = load(&model);
        fresh.open(SequenceId(2), second_plan.clone()).unwrap();
        let expected = say(&mut fresh, 2, &second, 12);

        let reused = 1 + (reused_share * f64::from(kept - 1)) as u32;
        let from = Beginning { prefix: KEPT, tokens: reused };
        decoder.open_from(SequenceId(2), second_plan, from).unwrap();
        if forget_early {
            decoder.forget(KEPT);
        }
        let (rest, last) = second[reused as usize..].split_at(second.len() - reused as usize - 1);
        for piece in rest.chunks(chunk) {
            decoder.step(&[input(2, piece, false)]).unwrap();
        }
        prop_assert_eq!(say(&mut decoder, 2, last, 12), expected);
        decoder.close(SequenceId(2));
        decoder.forget(KEPT);
        prop_assert_eq!(decoder.kv_bytes(), Bytes::ZERO);
    }
}
