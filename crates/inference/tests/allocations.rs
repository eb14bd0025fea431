//! A token takes no memory that was not there before: what a choice works in is kept for the next.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::support;

use allocation_counter::measure;
use domain::Sampling;
use engine::{Engine, SequenceId, TokenId};
use paraphym_inference::fixture::TinyModel;
use paraphym_inference::sampler::{self, Candidates};
use support::{input, load, plan, some_tokens};

fn all_ways() -> [Sampling; 8] {
    let base = Sampling {
        temperature: 0.8,
        ..Sampling::greedy()
    };
    [
        Sampling::greedy(),
        Sampling::default(),
        base.clone(),
        Sampling {
            top_k: 40,
            ..base.clone()
        },
        Sampling {
            top_p: 0.9,
            ..base.clone()
        },
        Sampling {
            min_p: 0.05,
            ..base.clone()
        },
        Sampling {
            repetition_penalty: 1.2,
            frequency_penalty: 0.3,
            ..base.clone()
        },
        // Too cold for the quick way.
        Sampling {
            temperature: 1e-5,
            top_p: 0.9,
            ..base
        },
    ]
}

#[test]
fn a_choice_allocates_nothing() {
    let vocabulary = 49_152u32;
    let number = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 1e6;
    let logits: Vec<f32> = (0..vocabulary).map(number).collect();
    let allowed: Vec<u32> = (0..vocabulary / 32).map(|n| n % 3 * 0x5555_5555).collect();
    let held: Vec<TokenId> = some_tokens(300, 1);
    let mut room = Candidates::default();
    for masked in [false, true] {
        for sampling in all_ways() {
            for seed in 0..20 {
                let sampling = Sampling {
                    seed,
                    ..sampling.clone()
                };
                let (plan, mut logits) = (plan(512, 0, sampling), logits.clone());
                let allowed = masked.then_some(allowed.as_slice());
                let taken = measure(|| {
                    sampler::choose(&mut logits, &held, &plan, allowed, &mut room).unwrap();
                });
                if seed > 0 {
                    assert_eq!(taken.count_total, 0, "{plan:?}");
                }
            }
        }
    }
}

/// Of a step only what it gives back is new.
#[test]
fn a_step_allocates_its_outputs() {
    for guesses in [false, true] {
        let (_, decoder, _) = load(&TinyModel::llama().seed(7));
        let mut decoder = if guesses {
            decoder.with_speculation()
        } else {
            decoder.without_speculation()
        };
        for (id, sampling) in all_ways().into_iter().enumerate() {
            let id = id as u64;
            decoder
                .open(SequenceId(id), plan(512, 20, sampling))
                .unwrap();
            let mut next = some_tokens(20, 1);
            let mut most = 0;
            for turn in 0..150 {
                let batch = [input(id, &next, true)];
                let mut outputs = Vec::new();
                let taken = measure(|| outputs = decoder.step(&batch).unwrap());
                next = vec![outputs[0].token.unwrap()];
                assert!(taken.count_total > 0, "it counts");
                most += u32::from(turn > 10 && taken.count_total > 1);
            }
            assert!(
                most <= 8,
                "{most} steps took more, guesses: {guesses}, sequence {id}"
            );
            decoder.close(SequenceId(id));
        }
    }
}
