//! What every engine keeps to, held against each of them: neither batch nor chunking changes an answer, one that was cut off
//! goes on as it would have, a prefix saves work and changes nothing, and what is refused is refused in the same words.
//!
//! To the bit, but for other chunks of a prompt on a device, where [`Subject::margin`] says how near, and why.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::support::subject::{Subject, Tested};
use crate::support::{all_models, bits, float_models, input, plan, some_tokens};

use domain::{Bytes, Constraint, Sampling};
use engine::{Beginning, PrefixId, SequenceId, StepError, TextCodec, TokenId};
use paraphym_inference::fixture::TinyModel;

const KEPT: PrefixId = PrefixId(70);

/// Runs the whole suite with each engine.
macro_rules! with_every_engine {
    ($($idea:ident)*) => {
        mod packed {
            $(#[test] fn $idea() { super::$idea(super::Subject::Packed); })*
        }
        mod floats {
            $(#[test] fn $idea() { super::$idea(super::Subject::Floats); })*
        }
        mod tensors {
            $(#[test] fn $idea() { super::$idea(super::Subject::Tensors); })*
        }
        mod tensors_of_floats {
            $(#[test] fn $idea() { super::$idea(super::Subject::TensorsOfFloats); })*
        }
    };
}

with_every_engine! {
    chunked_is_at_once
    batched_is_one_by_one
    who_leaves_disturbs_nobody
    cut_off_it_goes_on
    seeded_it_says_the_same_among_others
    begun_with_a_prefix_it_says_the_same
    who_shares_a_prefix_does_not_hear_the_others
    memory_is_what_the_card_says
    memory_of_prefixes_is_never_more_than_counted
    what_a_step_refuses
    what_a_prefix_refuses
    a_form_is_kept_to
    how_likely_changes_no_token
}

fn open(engine: &mut dyn Tested, id: u64) {
    let wide = plan(512, 0, Sampling::greedy());
    engine.open(SequenceId(id), wide).unwrap();
}

/// Feeds `tokens` to an open sequence; the logits behind the last.
fn feed(engine: &mut dyn Tested, id: u64, tokens: &[TokenId]) -> Vec<f32> {
    let all = engine.logits(&[input(id, tokens, true)]).unwrap();
    all.into_iter().next().flatten().unwrap()
}

/// Logits after all of `tokens`, given at once to a new sequence.
fn at_once(engine: &mut dyn Tested, tokens: &[TokenId]) -> Vec<f32> {
    open(engine, 99);
    let logits = feed(engine, 99, tokens);
    engine.close(SequenceId(99));
    logits
}

/// Says `n` tokens; `next` are the prompt tokens not fed yet.
fn say(engine: &mut dyn Tested, id: u64, next: &[TokenId], n: usize) -> Vec<TokenId> {
    let (mut next, mut said) = (next.to_vec(), Vec::new());
    for _ in 0..n {
        let outputs = engine.step(&[input(id, &next, true)]).unwrap();
        next = vec![outputs[0].token.unwrap()];
        said.push(next[0]);
    }
    said
}

/// Everything that changes what is chosen.
fn mixed(seed: u64) -> Sampling {
    Sampling {
        seed,
        temperature: 0.9,
        repetition_penalty: 1.2,
        frequency_penalty: 0.4,
        presence_penalty: 0.3,
        ..Sampling::default()
    }
}

fn chunked_is_at_once(subject: Subject) {
    for (name, model) in all_models().into_iter().chain(float_models()) {
        let (_, mut engine, _) = subject.load(&model);
        // Across the border of a kv page (64) and of the rows of one pass (256).
        for length in [1, 2, 17, 70, 300] {
            let tokens = some_tokens(length, length);
            let whole = at_once(&mut *engine, &tokens);
            for chunk in [1, 3, 64] {
                open(&mut *engine, 2);
                let mut last = Vec::new();
                for piece in tokens.chunks(chunk) {
                    last = feed(&mut *engine, 2, piece);
                }
                engine.close(SequenceId(2));
                let what = format!("{name}: {length} tokens by {chunk}");
                subject.assert_alike(&last, &whole, &what);
            }
        }
    }
}

fn batched_is_one_by_one(subject: Subject) {
    for (name, model) in all_models().into_iter().chain(float_models()) {
        let (_, mut engine, _) = subject.load(&model);
        let prompts: Vec<Vec<TokenId>> = (0..9).map(|i| some_tokens(5 + i * 13, i)).collect();
        let next = |id: usize| [30 + id as TokenId];
        let mut alone = Vec::new();
        for (id, prompt) in prompts.iter().enumerate() {
            open(&mut *engine, 99);
            let first = feed(&mut *engine, 99, prompt);
            let second = feed(&mut *engine, 99, &next(id));
            engine.close(SequenceId(99));
            alone.push((bits(&first), bits(&second)));
        }
        let mut batches = (Vec::new(), Vec::new());
        for (id, prompt) in prompts.iter().enumerate() {
            open(&mut *engine, id as u64);
            batches.0.push(input(id as u64, prompt, true));
            // At different places.
            batches.1.push(input(id as u64, &next(id), true));
        }
        let first = engine.logits(&batches.0).unwrap();
        let second = engine.logits(&batches.1).unwrap();
        for (id, (first, second)) in first.iter().zip(&second).enumerate() {
            let together = (
                bits(first.as_ref().unwrap()),
                bits(second.as_ref().unwrap()),
            );
            assert_eq!(together, alone[id], "{name}: sequence {id}");
        }
    }
}

fn who_leaves_disturbs_nobody(subject: Subject) {
    let (_, mut engine, _) = subject.load(&TinyModel::llama().seed(5));
    let prompts: Vec<Vec<TokenId>> = (0..4).map(|i| some_tokens(20 + i * 30, i)).collect();
    let mut alone = Vec::new();
    for prompt in &prompts {
        let one = plan(512, prompt.len() as u32, mixed(3));
        engine.open(SequenceId(1), one).unwrap();
        alone.push(say(&mut *engine, 1, prompt, 12));
        engine.close(SequenceId(1));
    }
    for (id, prompt) in prompts.iter().enumerate() {
        let one = plan(512, prompt.len() as u32, mixed(3));
        engine.open(SequenceId(id as u64), one).unwrap();
    }
    let mut next = prompts.clone();
    let mut said = vec![Vec::new(); prompts.len()];
    let mut open: Vec<usize> = (0..prompts.len()).collect();
    for turn in 0..12 {
        // One leaves in the middle of its answer, one in the middle of its prompt.
        match turn {
            3 => open.retain(|id| *id != 1),
            7 => open.retain(|id| *id != 3),
            _ => {}
        }
        for gone in (0..prompts.len()).filter(|id| !open.contains(id)) {
            engine.close(SequenceId(gone as u64));
        }
        let batch: Vec<_> = open
            .iter()
            .map(|id| match (*id, turn) {
                (3, _) => input(3, &prompts[3][turn..=turn], false),
                (id, _) => input(id as u64, &next[id], true),
            })
            .collect();
        let outputs = engine.step(&batch).unwrap();
        for (id, output) in open.iter().zip(outputs) {
            assert_eq!(output.sequence, SequenceId(*id as u64));
            assert_eq!(output.token.is_some(), *id != 3);
            if let Some(token) = output.token {
                next[*id] = vec![token];
                said[*id].push(token);
            }
        }
    }
    assert_eq!((&said[0], &said[2]), (&alone[0], &alone[2]));
    assert_eq!(said[1], alone[1][..3]);
    engine.close(SequenceId(0));
    engine.close(SequenceId(2));
    assert_eq!(engine.held(), Bytes::ZERO);
}

/// The engine is lost in the middle of an answer, and another is given prompt and answer so far.
fn cut_off_it_goes_on(subject: Subject) {
    for (seed, length, after) in [(1, 1, 1), (2, 40, 5), (3, 79, 15)] {
        let model = TinyModel::llama().seed(seed);
        let prompt = some_tokens(length, 5);
        let one = plan(512, length, mixed(seed));
        let (_, mut engine, _) = subject.load(&model);
        engine.open(SequenceId(1), one.clone()).unwrap();
        let expected = say(&mut *engine, 1, &prompt, 20);
        let (_, mut rebuilt, _) = subject.load(&model);
        rebuilt.open(SequenceId(1), one.clone()).unwrap();
        // In the same chunks, to the bit and so to the token, on every engine.
        rebuilt.step(&[input(1, &prompt, false)]).unwrap();
        for token in &expected[..after - 1] {
            rebuilt.step(&[input(1, &[*token], false)]).unwrap();
        }
        let rest = say(&mut *rebuilt, 1, &expected[after - 1..after], 20 - after);
        assert_eq!(rest, expected[after..], "seed {seed}");
        // In others, beside another sequence.
        let mut held = prompt;
        held.extend(&expected[..after]);
        let whole = at_once(&mut *rebuilt, &held);
        open(&mut *rebuilt, 2);
        open(&mut *rebuilt, 3);
        let mut last = None;
        for piece in held.chunks(7) {
            let batch = [input(2, &[5, 6], true), input(3, piece, true)];
            last = rebuilt.logits(&batch).unwrap().remove(1);
        }
        subject.assert_alike(&last.unwrap(), &whole, "given again in chunks of 7");
    }
}

fn seeded_it_says_the_same_among_others(subject: Subject) {
    let (_, mut engine, _) = subject.load(&TinyModel::qwen3().seed(9));
    let prompt = some_tokens(30, 2);
    let one = plan(512, 30, mixed(11));
    engine.open(SequenceId(1), one.clone()).unwrap();
    let alone = say(&mut *engine, 1, &prompt, 24);
    let others = alone.iter().filter(|token| **token != alone[0]).count();
    assert!(others > 3, "an answer that repeats itself proves nothing");
    engine.close(SequenceId(1));
    for id in 0..8 {
        let one = plan(512, 30, mixed(if id == 5 { 11 } else { id }));
        engine.open(SequenceId(id), one).unwrap();
    }
    let mut next: Vec<Vec<TokenId>> = (0..8)
        .map(|id| some_tokens(if id == 5 { 30 } else { 3 + id * 9 }, 2))
        .collect();
    let mut said: Vec<TokenId> = Vec::new();
    for _ in 0..24 {
        let batch: Vec<_> = (0..8)
            .map(|id| input(id, &next[id as usize], true))
            .collect();
        for (id, output) in engine.step(&batch).unwrap().into_iter().enumerate() {
            next[id] = vec![output.token.unwrap()];
        }
        said.extend(&next[5]);
    }
    assert_eq!(said, alone);
}

/// Opens `id` behind the first `tokens` tokens of the kept prefix.
fn open_from(engine: &mut dyn Tested, id: u64, tokens: u32) -> Result<(), StepError> {
    let from = Beginning {
        prefix: KEPT,
        tokens,
    };
    engine.open_from(SequenceId(id), plan(512, 0, Sampling::greedy()), from)
}

/// Feeds `tokens` to a new sequence and keeps the first `kept` of them.
fn keep(engine: &mut dyn Tested, tokens: &[TokenId], kept: u32) -> u32 {
    open(engine, 900);
    feed(engine, 900, tokens);
    engine.keep(SequenceId(900), KEPT, kept)
}

fn begun_with_a_prefix_it_says_the_same(subject: Subject) {
    for (name, model) in all_models().into_iter().chain(float_models()) {
        let (_, mut engine, _) = subject.load(&model);
        let tokens = some_tokens(150, 3);
        // The kept sequence goes on differently behind token 149, so that what is left of it would be seen.
        let mut other = tokens[..149].to_vec();
        other.extend(some_tokens(40, 9));
        assert_eq!(keep(&mut *engine, &other, 170), 170);
        for n in [1, 63, 64, 65, 127, 128, 149] {
            let whole = at_once(&mut *engine, &tokens[..=n]);
            open_from(&mut *engine, 1, n as u32).unwrap();
            let again = feed(&mut *engine, 1, &tokens[n..=n]);
            engine.close(SequenceId(1));
            let what = format!("{name}: {n} tokens of the prefix");
            subject.assert_alike(&again, &whole, &what);
        }
        // In the same chunks it is the same to the bit.
        open(&mut *engine, 1);
        feed(&mut *engine, 1, &other);
        let whole = feed(&mut *engine, 1, &[7]);
        keep(&mut *engine, &other, 500);
        open_from(&mut *engine, 2, other.len() as u32).unwrap();
        let again = feed(&mut *engine, 2, &[7]);
        assert_eq!(bits(&again), bits(&whole), "{name}");
    }
}

fn who_shares_a_prefix_does_not_hear_the_others(subject: Subject) {
    let (_, mut engine, _) = subject.load(&TinyModel::llama().seed(5));
    let common = some_tokens(100, 1);
    let tails: Vec<Vec<TokenId>> = (0..4).map(|i| some_tokens(60, 20 + i)).collect();
    let mut alone = Vec::new();
    for tail in &tails {
        open(&mut *engine, 1);
        feed(&mut *engine, 1, &common);
        let mut last = Vec::new();
        for token in tail {
            last = feed(&mut *engine, 1, &[*token]);
        }
        engine.close(SequenceId(1));
        alone.push(bits(&last));
    }
    keep(&mut *engine, &common, 100);
    for id in 0..4 {
        open_from(&mut *engine, id, 100).unwrap();
    }
    // One leaves before it has written, the prefix goes while the others are under way, and so does one of them.
    engine.close(SequenceId(3));
    let batch = |at: usize| [0, 1, 2].map(|id| input(id, &tails[id as usize][at..=at], true));
    for at in 0..20 {
        engine.logits(&batch(at)).unwrap();
    }
    engine.forget(KEPT);
    for at in 20..59 {
        engine.logits(&batch(at)).unwrap();
    }
    engine.close(SequenceId(0));
    for id in [1, 2] {
        let last = feed(&mut *engine, id, &tails[id as usize][59..]);
        assert_eq!(bits(&last), alone[id as usize], "sequence {id}");
    }
}

fn memory_is_what_the_card_says(subject: Subject) {
    for (name, model) in all_models().into_iter().chain(float_models()) {
        let (card, mut engine, _) = subject.load(&model);
        let one = plan(100, 0, Sampling::greedy());
        engine.open(SequenceId(1), one).unwrap();
        assert_eq!(engine.held(), Bytes::ZERO, "taken when it is needed");
        for (tokens, held) in [(1, 1), (63, 64), (1, 65), (35, 100)] {
            let batch = [input(1, &some_tokens(tokens, 0), false)];
            engine.step(&batch).unwrap();
            // Never more than the capacity in pages.
            assert_eq!(engine.held(), card.kv_bytes(held), "{name} holding {held}");
        }
        engine.close(SequenceId(1));
        assert_eq!(engine.held(), Bytes::ZERO);
    }
}

/// Whoever holds a prefix or a sequence counts all of it, whoever goes first.
fn memory_of_prefixes_is_never_more_than_counted(subject: Subject) {
    let (card, mut engine, _) = subject.load(&TinyModel::llama());
    let tokens = some_tokens(200, 1);
    assert_eq!(keep(&mut *engine, &tokens, 1000), 200);
    assert_eq!(engine.held(), card.kv_bytes(200));
    // Replaced by another that keeps less: the rest is given back.
    assert_eq!(keep(&mut *engine, &tokens, 129), 129);
    assert_eq!(engine.held(), card.kv_bytes(129));
    open_from(&mut *engine, 1, 129).unwrap();
    assert_eq!(engine.held(), card.kv_bytes(129), "nobody has written yet");
    open_from(&mut *engine, 2, 60).unwrap();
    let counted = |held: &[u32]| {
        let bytes = held.iter().map(|tokens| card.kv_bytes(*tokens).0);
        Bytes(bytes.sum())
    };
    feed(&mut *engine, 1, &[5]);
    feed(&mut *engine, 2, &[5]);
    assert!(engine.held() <= counted(&[129, 130, 61]));
    engine.forget(KEPT);
    assert!(engine.held() <= counted(&[130, 61]));
    engine.close(SequenceId(1));
    assert_eq!(engine.held(), counted(&[61]));
    // What began with a prefix can itself be kept.
    assert_eq!(engine.keep(SequenceId(2), KEPT, 61), 61);
    open_from(&mut *engine, 3, 61).unwrap();
    engine.forget(KEPT);
    engine.forget(KEPT);
    feed(&mut *engine, 3, &[5]);
    assert_eq!(engine.held(), counted(&[62]), "its own again");
    engine.close(SequenceId(3));
    assert_eq!(engine.held(), Bytes::ZERO);
}

fn what_a_step_refuses(subject: Subject) {
    let (card, mut engine, _) = subject.load(&TinyModel::llama());
    let vocabulary = card.vocabulary;
    let four = || plan(4, 0, Sampling::greedy());
    engine.open(SequenceId(1), four()).unwrap();
    let again = engine.open(SequenceId(1), four());
    assert_eq!(again, Err(StepError::DuplicateSequence(SequenceId(1))));
    let wide = engine.open(SequenceId(2), plan(513, 0, Sampling::greedy()));
    let over = |sequence, needed, capacity| StepError::CapacityExceeded {
        sequence: SequenceId(sequence),
        needed,
        capacity,
    };
    assert_eq!(wide, Err(over(2, 513, 512)));
    let unknown = StepError::UnknownToken {
        token: vocabulary,
        vocabulary,
    };
    let cases = [
        (
            input(2, &[5], true),
            StepError::UnknownSequence(SequenceId(2)),
        ),
        (input(1, &[], true), StepError::EmptyInput(SequenceId(1))),
        (input(1, &[vocabulary], true), unknown),
        (input(1, &[5; 5], true), over(1, 5, 4)),
    ];
    for (wrong, error) in cases {
        assert_eq!(engine.step(&[wrong]), Err(error));
    }
    assert_eq!(engine.step(&[]), Ok(Vec::new()));
    engine.close(SequenceId(7));
    // What was left out of all that was refused is still to be had.
    assert_eq!(say(&mut *engine, 1, &[5, 6, 7], 2).len(), 2);
    assert_eq!(engine.step(&[input(1, &[5], true)]), Err(over(1, 5, 4)));
}

fn what_a_prefix_refuses(subject: Subject) {
    let (_, mut engine, _) = subject.load(&TinyModel::llama());
    assert_eq!(engine.keep(SequenceId(1), KEPT, 10), 0);
    open(&mut *engine, 1);
    let nothing = engine.keep(SequenceId(1), KEPT, 10);
    assert_eq!(nothing, 0, "it held no tokens");
    let unknown = Err(StepError::UnknownPrefix(KEPT));
    assert_eq!(open_from(&mut *engine, 1, 1), unknown);
    keep(&mut *engine, &some_tokens(20, 1), 20);
    let held = engine.held();
    for wanted in [0, 21] {
        let short = StepError::PrefixTooShort {
            prefix: KEPT,
            held: 20,
            wanted,
        };
        assert_eq!(open_from(&mut *engine, 1, wanted), Err(short));
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
    assert_eq!(engine.open_from(SequenceId(1), narrow, from), Err(over));
    open_from(&mut *engine, 1, 20).unwrap();
    let twice = Err(StepError::DuplicateSequence(SequenceId(1)));
    assert_eq!(open_from(&mut *engine, 1, 20), twice);
    engine.close(SequenceId(1));
    assert_eq!(engine.held(), held);
}

fn a_form_is_kept_to(subject: Subject) {
    let (_, mut engine, codec) = subject.load(&TinyModel::llama().seed(2));
    let lark = Constraint::Lark("start: /[0-9]{3,6}/ \"!\"".into());
    let prompt = some_tokens(9, 1);
    for seed in 0..6 {
        let sampling = Sampling {
            constraint: Some(lark.clone()),
            ..mixed(seed)
        };
        engine
            .open(SequenceId(seed), plan(64, 9, sampling))
            .unwrap();
    }
    let mut next = vec![prompt; 6];
    let mut texts = vec![String::new(); 6];
    let mut ended = [false; 6];
    for _ in 0..12 {
        let open: Vec<usize> = (0..6).filter(|id| !ended[*id]).collect();
        let batch: Vec<_> = open
            .iter()
            .map(|id| input(*id as u64, &next[*id], true))
            .collect();
        for (id, output) in open.into_iter().zip(engine.step(&batch).unwrap()) {
            assert_eq!(output.stuck, None);
            let token = output.token.unwrap();
            ended[id] = codec.ends_turn(token);
            texts[id].push_str(std::str::from_utf8(codec.bytes_of(token)).unwrap());
            next[id] = vec![token];
        }
    }
    for text in texts {
        let digits = text.strip_suffix('!').unwrap();
        assert!((3..=6).contains(&digits.len()), "{text}");
        assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
    }
    let none = Sampling {
        constraint: Some(Constraint::Lark("start: (".into())),
        ..Sampling::greedy()
    };
    let refused = engine.open(SequenceId(70), plan(64, 0, none));
    assert!(
        matches!(refused, Err(StepError::Constraint(_))),
        "{refused:?}"
    );
    // Nothing of it was left behind.
    engine
        .open(SequenceId(70), plan(64, 0, Sampling::greedy()))
        .unwrap();
}

fn how_likely_changes_no_token(subject: Subject) {
    let (_, mut engine, _) = subject.load(&TinyModel::llama().seed(7));
    let prompt = some_tokens(9, 1);
    let mut all = Vec::new();
    for logprobs in [None, Some(0), Some(5)] {
        let sampling = Sampling {
            logprobs,
            ..Sampling::greedy()
        };
        engine.open(SequenceId(1), plan(64, 9, sampling)).unwrap();
        let (mut next, mut said) = (prompt.clone(), Vec::new());
        for _ in 0..8 {
            let output = engine.step(&[input(1, &next, true)]).unwrap().remove(0);
            let token = output.token.unwrap();
            assert_eq!(output.likelihood.is_some(), logprobs.is_some());
            if let Some(likelihood) = output.likelihood {
                assert_eq!(Some(likelihood.likeliest.len() as u32), logprobs);
                let first = likelihood.likeliest.first();
                assert!(first.is_none_or(|first| *first == (token, likelihood.logprob)));
            }
            next = vec![token];
            said.push(token);
        }
        engine.close(SequenceId(1));
        all.push(said);
    }
    assert!(all.iter().all(|said| *said == all[0]), "{all:?}");
}
