//! A kept prefix saves work and changes nothing: no bit of any logit, no token, no byte that is not given back.
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
use support::{all_models, bits, input, load, open, plan, some_tokens};

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
fn begun_with_a_prefix_gives_the_same_bits() {
    for (name, model) in all_models() {
        let (_, mut decoder, _) = load(&model);
        let tokens = some_tokens(150, 3);
        let whole: Vec<_> = [1, 63, 64, 65, 127, 128, 149]
            .map(|n: usize| {
                open(&mut decoder, 1);
                let logits = feed(&mut decoder, 1, &tokens[..=n]);
                decoder.close(SequenceId(1));
                (n, logits)
            })
            .into();
        // The kept sequence goes on differently behind token 149, so that what is left of it would be seen.
        let mut other = tokens[..149].to_vec();
        other.extend(some_tokens(40, 9));
        assert_eq!(keep(&mut decoder, &other, 170), 170);
        for (n, whole) in whole {
            open_from(&mut decoder, 1, n as u32).unwrap();
            let again = feed(&mut decoder, 1, &tokens[n..=n]);
            decoder.close(SequenceId(1));
            assert_eq!(again, whole, "{name}: {n} tokens of the prefix");
        }
    }
}

#[test]
fn those_who_share_a_prefix_do_not_hear_each_other() {
    let (_, mut decoder, _) = load(&TinyModel::llama().seed(5));
    let common = some_tokens(100, 1);
    let tails: Vec<Vec<TokenId>> = (0..4).map(|i| some_tokens(70, 20 + i)).collect();
    let alone: Vec<_> = tails
        .iter()
        .map(|tail| {
            open(&mut decoder, 1);
            feed(&mut decoder, 1, &common);
            let logits = feed(&mut decoder, 1, tail);
            decoder.close(SequenceId(1));
            logits
        })
        .collect();
    keep(&mut decoder, &common, 100);
    for id in 0..4 {
        open_from(&mut decoder, id, 100).unwrap();
    }
    // One leaves before it has written, the prefix goes while the others are under way, and so does one of them.
    decoder.close(SequenceId(3));
    let batch = |at: usize| [0, 1, 2].map(|id| input(id, &tails[id as usize][at..=at], true));
    for at in 0..20 {
        decoder.step_logits(&batch(at)).unwrap();
    }
    decoder.forget(KEPT);
    for at in 20..69 {
        decoder.step_logits(&batch(at)).unwrap();
    }
    decoder.close(SequenceId(0));
    for id in [1, 2] {
        let last = feed(&mut decoder, id, &tails[id as usize][69..]);
        assert_eq!(last, alone[id as usize], "sequence {id}");
    }
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

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let (_, mut decoder, _) = load(&TinyModel::llama());
    assert_eq!(decoder.keep(SequenceId(1), KEPT, 10), 0);
    open(&mut decoder, 1);
    assert_eq!(
        decoder.keep(SequenceId(1), KEPT, 10),
        0,
        "it held no tokens"
    );
    assert_eq!(
        open_from(&mut decoder, 1, 1),
        Err(StepError::UnknownPrefix(KEPT))
    );
    keep(&mut decoder, &some_tokens(20, 1), 20);
    let held = decoder.kv_bytes();
    for wanted in [0, 21] {
        let short = StepError::PrefixTooShort {
            prefix: KEPT,
            held: 20,
            wanted,
        };
        assert_eq!(open_from(&mut decoder, 1, wanted), Err(short));
    }
    let from = Beginning {
        prefix: KEPT,
        tokens: 20,
    };
    let narrow = plan(19, 0, Sampling::greedy());
    let over = StepError::CapacityExceeded {
        sequence: SequenceId(1),
        needed: 20,
        capacity: 19,
    };
    assert_eq!(decoder.open_from(SequenceId(1), narrow, from), Err(over));
    open_from(&mut decoder, 1, 20).unwrap();
    assert_eq!(
        open_from(&mut decoder, 1, 20),
        Err(StepError::DuplicateSequence(SequenceId(1)))
    );
    decoder.close(SequenceId(1));
    assert_eq!(decoder.kv_bytes(), held);
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
