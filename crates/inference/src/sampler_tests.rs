//! Tables for every rule of the sampler, and properties that hold for any logits.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_cmp,
    clippy::too_many_lines,
    reason = "tests may fail loudly"
)]

use domain::Sampling;
use engine::SequencePlan;
use proptest::prelude::*;

use super::*;

fn plan(sampling: Sampling) -> SequencePlan {
    SequencePlan {
        capacity_tokens: 100,
        sampling,
        prompt_tokens: 2,
    }
}

/// Everything off but the temperature.
fn plain(temperature: f32) -> Sampling {
    Sampling {
        temperature,
        ..Sampling::greedy()
    }
}

fn chosen(logits: &[f32], held: &[TokenId], sampling: Sampling) -> Result<TokenId, SampleError> {
    let mut logits = logits.to_vec();
    choose(
        &mut logits,
        held,
        &plan(sampling),
        None,
        &mut Candidates::default(),
    )
}

#[test]
fn only_what_is_allowed_is_chosen_whatever_the_penalty() {
    let logits = [5.0, 4.0, -3.0, f32::NAN, 9.0];
    let allowed = |bits: u32, sampling: Sampling| {
        let mut candidates = Candidates::default();
        let held = [0, 0, 2, 2];
        choose(
            &mut logits.clone(),
            &held,
            &plan(sampling),
            Some(&[bits]),
            &mut candidates,
        )
    };
    for temperature in [0.0, 1.0, 2.0] {
        for penalty in [0.5, 1.0, 2.0] {
            let sampling = Sampling {
                repetition_penalty: penalty,
                ..plain(temperature)
            };
            assert_eq!(allowed(0b00100, sampling.clone()), Ok(2));
            assert_eq!(allowed(0b01010, sampling.clone()), Ok(1));
            assert_eq!(allowed(0, sampling.clone()), Err(SampleError::NoCandidate));
        }
    }
    // Tokens beyond the last bit are not allowed.
    let mut many = vec![0.0; 70];
    many[69] = 9.0;
    let chosen = choose(
        &mut many,
        &[],
        &plan(plain(0.0)),
        Some(&[1, 2]),
        &mut Candidates::default(),
    );
    assert_eq!(chosen, Ok(0));
}

/// Every token that 200 seeds choose.
fn possible(logits: &[f32], sampling: &Sampling) -> Vec<TokenId> {
    let mut all: Vec<TokenId> = (0..200)
        .map(|seed| {
            let sampling = Sampling {
                seed,
                ..sampling.clone()
            };
            chosen(logits, &[0, 0], sampling).unwrap()
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn greedy_takes_the_likeliest_and_the_lowest_id_among_equals() {
    let cases: [(&[f32], Result<TokenId, SampleError>); 6] = [
        (&[1.0, 3.0, 2.0], Ok(1)),
        (&[3.0, 3.0], Ok(0)),
        (&[f32::NAN, 1.0, f32::NAN], Ok(1)),
        (&[1.0, f32::INFINITY], Ok(1)),
        (
            &[f32::NEG_INFINITY, f32::NAN],
            Err(SampleError::NoCandidate),
        ),
        (&[], Err(SampleError::NoCandidate)),
    ];
    for (logits, expected) in cases {
        assert_eq!(
            chosen(logits, &[0, 0], Sampling::greedy()),
            expected,
            "{logits:?}"
        );
    }
}

#[test]
fn the_penalty_looks_at_generated_tokens_within_the_window_only() {
    let logits = [1.0, 0.9, -1.0];
    let penalised = |held: &[TokenId], window| {
        let sampling = Sampling {
            repetition_penalty: 1.5,
            repetition_window: window,
            ..Sampling::greedy()
        };
        chosen(&logits, held, sampling).unwrap()
    };
    assert_eq!(penalised(&[0, 0], 64), 0, "the prompt is not penalised");
    assert_eq!(penalised(&[5, 5, 0], 64), 1);
    assert_eq!(
        penalised(&[5, 5, 0, 1, 1], 2),
        0,
        "token 0 is out of the window"
    );
    assert_eq!(
        penalised(&[5, 5, 0], 0),
        0,
        "a window of 0 looks at nothing"
    );
}

#[test]
fn the_penalty_is_applied_once_per_token_and_by_sign() {
    let mut logits = [2.0, -2.0, 2.0];
    penalise(&mut logits, &[0, 0, 1], 64, 2.0, &mut Vec::new());
    assert_eq!(logits, [1.0, -4.0, 2.0]);
}

#[test]
fn what_was_generated_is_penalised_by_how_often_and_by_whether() {
    // Two tokens of prompt, then 2 three times and 1 once.
    let held = [0, 0, 2, 1, 2, 2];
    for (frequency, presence, expected) in [
        (0.0, 0.0, [1.0, 1.0, 1.0]),
        (0.5, 0.0, [1.0, 0.5, -0.5]),
        (0.0, 0.5, [1.0, 0.5, 0.5]),
        (0.25, 1.0, [1.0, -0.25, -0.75]),
        (-0.5, -2.0, [1.0, 3.5, 4.5]),
    ] {
        let sampling = Sampling {
            frequency_penalty: frequency,
            presence_penalty: presence,
            ..Sampling::greedy()
        };
        let mut logits = [1.0; 3];
        let mut candidates = Candidates::default();
        choose(&mut logits, &held, &plan(sampling), None, &mut candidates).unwrap();
        assert_eq!(logits, expected, "{frequency} {presence}");
    }
}

#[test]
fn the_counted_penalties_come_behind_the_repetition_penalty() {
    let sampling = Sampling {
        repetition_penalty: 2.0,
        frequency_penalty: 0.5,
        presence_penalty: 0.25,
        ..Sampling::greedy()
    };
    let mut logits = [4.0, -4.0];
    let mut candidates = Candidates::default();
    let held = [0, 0, 0, 1, 1];
    choose(&mut logits, &held, &plan(sampling), None, &mut candidates).unwrap();
    assert_eq!(logits, [4.0 / 2.0 - 0.75, -4.0 * 2.0 - 1.25]);
}

#[test]
fn what_is_no_number_and_what_is_no_token_is_penalised_without_harm() {
    let sampling = Sampling {
        frequency_penalty: 2.0,
        presence_penalty: 2.0,
        ..Sampling::greedy()
    };
    let mut logits = [f32::NAN, f32::NEG_INFINITY, f32::MIN, 1.0];
    let held = [9, 9, 0, 1, 2, 3, 4, TokenId::MAX];
    let mut candidates = Candidates::default();
    let chosen = choose(&mut logits, &held, &plan(sampling), None, &mut candidates);
    assert_eq!(chosen, Ok(3));
    assert!(logits[0].is_nan());
    assert_eq!(logits[1..], [f32::NEG_INFINITY, f32::MIN, -3.0]);
}

#[test]
fn each_cut_keeps_its_front() {
    // Probabilities 0.5, 0.3, 0.15, 0.05 in a shuffled order.
    let logits: Vec<f32> = [0.3f32, 0.05, 0.5, 0.15].iter().map(|p| p.ln()).collect();
    let base = plain(1.0);
    let cases = [
        (base.clone(), vec![0, 1, 2, 3]),
        (
            Sampling {
                top_k: 2,
                ..base.clone()
            },
            vec![0, 2],
        ),
        (
            Sampling {
                top_k: 1,
                ..base.clone()
            },
            vec![2],
        ),
        (
            Sampling {
                top_k: 9,
                ..base.clone()
            },
            vec![0, 1, 2, 3],
        ),
        (
            Sampling {
                top_p: 0.45,
                ..base.clone()
            },
            vec![2],
        ),
        (
            Sampling {
                top_p: 0.79,
                ..base.clone()
            },
            vec![0, 2],
        ),
        (
            Sampling {
                top_p: 0.9,
                ..base.clone()
            },
            vec![0, 2, 3],
        ),
        (
            Sampling {
                min_p: 0.2,
                ..base.clone()
            },
            vec![0, 2, 3],
        ),
        (
            Sampling {
                min_p: 0.5,
                ..base.clone()
            },
            vec![0, 2],
        ),
        (
            Sampling {
                min_p: 1.0,
                ..base.clone()
            },
            vec![2],
        ),
        // Top-p is of what top-k left: 0.5 / 0.8 is 0.625.
        (
            Sampling {
                top_k: 2,
                top_p: 0.6,
                ..base.clone()
            },
            vec![2],
        ),
        (
            Sampling {
                temperature: 0.01,
                ..base
            },
            vec![2],
        ),
    ];
    for (sampling, expected) in cases {
        assert_eq!(possible(&logits, &sampling), expected, "{sampling:?}");
    }
}

#[test]
fn the_draw_depends_on_the_seed_and_the_tokens_generated_alone() {
    let logits: Vec<f32> = (0..50).map(|i| (i % 7) as f32 * 0.1).collect();
    let sampling = Sampling {
        seed: 7,
        ..plain(1.0)
    };
    let first = chosen(&logits, &[1, 2, 3], sampling.clone()).unwrap();
    assert_eq!(chosen(&logits, &[9, 8, 4], sampling.clone()), Ok(first));
    let others: Vec<TokenId> = (0..20)
        .map(|n| chosen(&logits, &vec![0; n + 2], sampling.clone()).unwrap())
        .collect();
    assert!(others.iter().any(|token| *token != first), "{others:?}");
}

#[test]
fn draws_are_splitmix64() {
    // The first outputs for seed 1234567, as published with the algorithm's tests.
    let expected: [u64; 3] = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
    ];
    for (n, output) in expected.into_iter().enumerate() {
        let share = (output >> 11) as f64 / (1u64 << 53) as f64;
        assert!(
            (uniform(1_234_567, n as u64) - share).abs() < f64::EPSILON,
            "draw {n}"
        );
    }
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = [0.75f32.ln(), 0.25f32.ln()];
    let zeros = (0..4000)
        .filter(|seed| {
            let sampling = Sampling {
                seed: *seed,
                ..plain(1.0)
            };
            chosen(&logits, &[0, 0], sampling) == Ok(0)
        })
        .count();
    // Four standard deviations of a fair count are 110.
    assert!(zeros.abs_diff(3000) < 110, "{zeros} of 4000");
}

fn any_logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -20.0f32..20.0,
        1 => Just(f32::NAN),
        1 => Just(f32::NEG_INFINITY),
        1 => Just(f32::INFINITY),
        1 => Just(f32::MAX),
        1 => Just(f32::MIN),
    ]
}

proptest! {
    /// Whatever the logits and settings: no panic, never an unusable token, never one outside the top k, never one
    /// less likely than min-p allows; an error only when nothing is usable.
    #[test]
    fn no_excluded_token_is_ever_chosen(
        logits in prop::collection::vec(any_logit(), 0..60),
        held in prop::collection::vec(0u32..60, 2..40),
        seed: u64,
        temperature in 0.0f32..2.0,
        top_k in 0u32..70,
        top_p in 0.001f32..=1.0,
        min_p in 0.0f32..=1.0,
        penalty in 0.5f32..2.0,
    ) {
        let sampling = Sampling {
            temperature, top_k, top_p, min_p, seed,
            repetition_penalty: penalty,
            ..Sampling::greedy()
        };
        let mut after = logits.clone();
        let result = choose(&mut after, &held, &plan(sampling.clone()), None, &mut Candidates::default());
        let usable = after.iter().any(|l| !l.is_nan() && *l > f32::NEG_INFINITY);
        prop_assert_eq!(result.is_ok(), usable);
        if let Ok(token) = result {
            let logit = after[token as usize];
            prop_assert!(!logit.is_nan() && logit > f32::NEG_INFINITY);
            let better = after.iter().filter(|l| **l > logit).count();
            if top_k > 0 {
                prop_assert!(better < top_k as usize, "{} are better, top_k is {}", better, top_k);
            }
            let best = after.iter().copied().filter(|l| !l.is_nan()).fold(f32::NEG_INFINITY, f32::max);
            if temperature == 0.0 {
                prop_assert_eq!(better, 0);
            } else if logit < best {
                prop_assert!(((logit - best) / temperature).exp() >= min_p);
            }
        }
    }

    /// A positive penalty lowers what was generated and nothing else, more the oftener; a penalty of zero changes no bit.
    #[test]
    fn penalties_lower_what_was_repeated(
        logits in prop::collection::vec(any_logit(), 1..40),
        held in prop::collection::vec(0u32..50, 2..60),
        frequency in prop_oneof![Just(0.0f32), Just(-0.0), 0.01f32..=2.0],
        presence in prop_oneof![Just(0.0f32), Just(-0.0), 0.01f32..=2.0],
    ) {
        let sampling = Sampling {
            frequency_penalty: frequency,
            presence_penalty: presence,
            ..Sampling::greedy()
        };
        let mut after = logits.clone();
        let penalised = choose(&mut after, &held, &plan(sampling), None, &mut Candidates::default());
        for (token, (before, after)) in logits.iter().zip(&after).enumerate() {
            let count = held[2..].iter().filter(|other| **other == token as TokenId).count();
            if count == 0 || (frequency == 0.0 && presence == 0.0) {
                prop_assert_eq!(before.to_bits(), after.to_bits());
            } else if before.abs() < 100.0 {
                let off = f64::from(frequency) * count as f64 + f64::from(presence);
                let expected = f64::from(*before) - off;
                prop_assert!(after < before && (f64::from(*after) - expected).abs() < 1e-4);
            }
        }
        if frequency == 0.0 && presence == 0.0 {
            prop_assert_eq!(penalised, chosen(&logits, &held, Sampling::greedy()));
        }
    }
}
