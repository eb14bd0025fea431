//! The quick way chooses what the plain way chooses, and takes no memory once it has had some.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    reason = "tests may fail loudly; a figure is of real time"
)]

use std::hint::black_box;
use std::time::Instant;

use proptest::prelude::*;

use super::super::{SampleError, keep_allowed, likeliest, penalise, plainly, uniform};
use super::*;

/// As it was before there was a quick way, greedy choice included.
fn reference(logits: &[f32], sampling: &Sampling, at: f64) -> Result<TokenId, SampleError> {
    let usable = logits.iter().copied().filter(|logit| !logit.is_nan());
    let highest = usable.fold(f32::NEG_INFINITY, f32::max);
    if highest == f32::NEG_INFINITY {
        return Err(SampleError::NoCandidate);
    }
    if sampling.temperature <= 0.0 {
        let mut best = (None, f32::NEG_INFINITY);
        for (token, &logit) in logits.iter().enumerate() {
            if logit > best.1 {
                best = (Some(token as TokenId), logit);
            }
        }
        return best.0.ok_or(SampleError::NoCandidate);
    }
    plainly(logits, highest, sampling, at, &mut Vec::new())
}

/// Numbers like a model's: most of them far below a few.
fn like_a_models(count: usize, seed: u64, spread: f32) -> Vec<f32> {
    let number = |n: u64| (0..4).map(|i| uniform(seed, n * 4 + i)).sum::<f64>() as f32 - 2.0;
    let mut logits: Vec<f32> = (0..count as u64).map(|n| number(n) * spread).collect();
    for n in 0..20u64 {
        let at = (uniform(seed ^ 1, n) * count as f64) as usize;
        logits[at] += 4.0 * spread * uniform(seed ^ 2, n) as f32;
    }
    logits
}

fn any_logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        12 => -20.0f32..20.0,
        4 => (0i8..3).prop_map(f32::from),
        2 => (0u32..40).prop_map(|ulp| f32::from_bits(3.0f32.to_bits() + ulp)),
        1 => Just(f32::NAN),
        1 => Just(f32::NEG_INFINITY),
        1 => Just(f32::INFINITY),
        1 => Just(f32::MAX),
        1 => Just(f32::MIN),
        1 => -1000.0f32..1000.0,
    ]
}

fn sampling() -> impl Strategy<Value = Sampling> {
    let temperature = prop_oneof![4 => 0.05f32..2.0, 1 => Just(1.0), 1 => 1e-9f32..0.05];
    let top_k = prop_oneof![Just(0u32), 1u32..90, Just(5000)];
    let top_p = prop_oneof![Just(1.0f32), 0.001f32..=1.0];
    let min_p = prop_oneof![Just(0.0f32), 0.0f32..=1.0, 1e-30f32..1e-3];
    (temperature, top_k, top_p, min_p).prop_map(|(temperature, top_k, top_p, min_p)| Sampling {
        temperature,
        top_k,
        top_p,
        min_p,
        ..Sampling::greedy()
    })
}

fn compare(logits: &[f32], sampling: &Sampling, at: f64, room: &mut Candidates) {
    let expected = reference(logits, sampling, at);
    let most = highest(logits);
    if let Some(token) = chosen(logits, most, sampling, at, room) {
        assert_eq!(Ok(token), expected, "{sampling:?} at {at}");
    }
    assert_eq!(most == f32::NEG_INFINITY, expected.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_logits_make_the_same_choice(
        logits in prop::collection::vec(any_logit(), 0..300),
        sampling in sampling(),
        at in 0.0f64..1.0,
    ) {
        compare(&logits, &sampling, at, &mut Candidates::default());
        prop_assert_eq!(likeliest(&logits), reference(&logits, &Sampling::greedy(), at));
    }

    #[test]
    fn a_mask_leaves_what_has_a_bit(
        words in prop::collection::vec(prop_oneof![Just(0u32), Just(u32::MAX), any::<u32>()], 0..4),
        count in 0usize..140,
    ) {
        let mut logits = vec![1.0; count];
        keep_allowed(&mut logits, &words);
        for (token, logit) in logits.iter().enumerate() {
            let bit = words.get(token / 32).is_some_and(|word| word >> (token % 32) & 1 == 1);
            prop_assert_eq!(*logit > 0.0, bit, "{}", token);
        }
    }

    #[test]
    fn ties_make_the_same_choice(
        logits in prop::collection::vec((0u32..6).prop_map(|ulp| f32::from_bits(2.0f32.to_bits() + ulp)), 1..200),
        sampling in sampling(),
        at in 0.0f64..1.0,
    ) {
        compare(&logits, &sampling, at, &mut Candidates::default());
    }
}

#[test]
fn whole_vocabularies_make_the_same_choice_and_mostly_quickly() {
    let (mut quick, mut all) = (0, 0);
    let mut room = Candidates::default();
    for seed in 0..60 {
        let logits = like_a_models(8_192, seed, 3.0);
        for (top_k, top_p, min_p) in [
            (0, 1.0, 0.0),
            (40, 1.0, 0.0),
            (0, 0.9, 0.0),
            (0, 1.0, 0.05),
            (40, 0.95, 0.05),
            (0, 0.9, 0.05),
        ] {
            for temperature in [0.2, 0.7, 1.0, 1.5] {
                let sampling = Sampling {
                    temperature,
                    top_k,
                    top_p,
                    min_p,
                    ..Sampling::greedy()
                };
                let at = uniform(seed, 99);
                compare(&logits, &sampling, at, &mut room);
                let most = highest(&logits);
                quick += u32::from(chosen(&logits, most, &sampling, at, &mut room).is_some());
                all += 1;
            }
        }
    }
    assert!(quick * 100 > all * 95, "{quick} of {all} were quick");
}

/// `cargo test … -- --ignored --nocapture nanoseconds`: the plain way and the quick one, turn about, medians of rounds.
#[test]
#[ignore = "a figure, not a test: nothing is asserted but that both choose alike"]
fn nanoseconds_of_a_choice() {
    let logits = like_a_models(49_152, 3, 3.0);
    let allowed: Vec<u32> = (0..1536u32)
        .map(|n| if n % 3 == 0 { 0 } else { !n })
        .collect();
    let generated: Vec<TokenId> = (0..300).map(|n| n * 131 % 49_152).collect();
    let base = Sampling {
        temperature: 0.8,
        ..Sampling::greedy()
    };
    let cases = [
        ("greedy", Sampling::greedy(), false),
        ("temperature", base.clone(), false),
        (
            "top-k 40",
            Sampling {
                top_k: 40,
                ..base.clone()
            },
            false,
        ),
        (
            "top-p 0.9",
            Sampling {
                top_p: 0.9,
                ..base.clone()
            },
            false,
        ),
        (
            "min-p 0.05",
            Sampling {
                min_p: 0.05,
                ..base.clone()
            },
            false,
        ),
        (
            "penalties",
            Sampling {
                repetition_penalty: 1.1,
                ..base.clone()
            },
            false,
        ),
        ("mask, greedy", Sampling::greedy(), true),
        ("mask, top-k 40", Sampling { top_k: 40, ..base }, true),
    ];
    let mut room = Candidates::default();
    let mut list = Vec::new();
    for (name, sampling, masked) in cases {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for round in 0..41 {
            let plan = engine::SequencePlan {
                capacity_tokens: 512,
                sampling: Sampling {
                    seed: round,
                    ..sampling.clone()
                },
                prompt_tokens: 0,
            };
            let at = uniform(round, generated.len() as u64);
            let (mut old, mut new) = (logits.clone(), logits.clone());
            let begin = Instant::now();
            penalise(
                &mut old,
                &generated,
                64,
                sampling.repetition_penalty,
                &mut Vec::new(),
            );
            if masked {
                for (token, logit) in old.iter_mut().enumerate() {
                    if allowed[token / 32] >> (token % 32) & 1 == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
            let expected = if sampling.temperature > 0.0 {
                let usable = old.iter().copied().filter(|logit| !logit.is_nan());
                let most = usable.fold(f32::NEG_INFINITY, f32::max);
                plainly(&old, most, &sampling, at, &mut list)
            } else {
                reference(&old, &sampling, at)
            };
            before.push(begin.elapsed().as_nanos());
            let begin = Instant::now();
            let allowed = masked.then_some(allowed.as_slice());
            let made = super::super::choose(&mut new, &generated, &plan, allowed, &mut room);
            after.push(begin.elapsed().as_nanos());
            assert_eq!(black_box(made), expected);
        }
        before.sort_unstable();
        after.sort_unstable();
        let (before, after) = (before[20], after[20]);
        println!(
            "{name:>15} | {before:>9} ns before | {after:>8} ns after | {:.1} times",
            before as f64 / after as f64
        );
    }
}
