//! How likely a token was, through a whole model: by the raw logits whatever the sampler does to them, in any batch, and
//! no token is another for it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::support;

use domain::Sampling;
use engine::{Engine, Likelihood, SequenceId, TokenId};
use paraphym_inference::Decoder;
use paraphym_inference::fixture::TinyModel;
use support::{input, load, plan, some_tokens};

/// Everything that changes logits before a token is chosen.
fn mixed(logprobs: Option<u32>) -> Sampling {
    Sampling {
        temperature: 0.8,
        repetition_penalty: 1.3,
        presence_penalty: 0.7,
        frequency_penalty: 0.4,
        seed: 11,
        logprobs,
        ..Sampling::default()
    }
}

fn greedy(logprobs: Option<u32>) -> Sampling {
    Sampling {
        logprobs,
        ..Sampling::greedy()
    }
}

fn generate(
    decoder: &mut Decoder,
    prompt: &[TokenId],
    sampling: Sampling,
) -> Vec<(TokenId, Option<Likelihood>)> {
    let plan = plan(512, prompt.len() as u32, sampling);
    decoder.open(SequenceId(1), plan).unwrap();
    let (mut made, mut next) = (Vec::new(), prompt.to_vec());
    for _ in 0..24 {
        let output = decoder.step(&[input(1, &next, true)]).unwrap().remove(0);
        next = vec![output.token.unwrap()];
        made.push((next[0], output.likelihood));
    }
    decoder.close(SequenceId(1));
    made
}

#[test]
fn asking_changes_no_token_and_the_greedy_one_is_the_first() {
    let (_, mut decoder, _) = load(&TinyModel::llama().seed(7));
    let prompt = some_tokens(9, 1);
    for sampling in [greedy, mixed] {
        let silent = generate(&mut decoder, &prompt, sampling(None));
        assert!(silent.iter().all(|(_, likelihood)| likelihood.is_none()));
        for most in [0, 1, 5, 20] {
            let told = generate(&mut decoder, &prompt, sampling(Some(most)));
            let tokens = |all: &[(TokenId, Option<Likelihood>)]| -> Vec<TokenId> {
                all.iter().map(|(token, _)| *token).collect()
            };
            assert_eq!(tokens(&told), tokens(&silent));
            for (token, likelihood) in told {
                let likelihood = likelihood.unwrap();
                assert_eq!(likelihood.likeliest.len(), most as usize);
                if sampling(None).temperature <= 0.0 && most > 0 {
                    assert_eq!(likelihood.likeliest[0], (token, likelihood.logprob));
                }
            }
        }
    }
}

/// Log-softmax of what `step_logits` gives, said again in the plainest way.
#[test]
fn it_is_of_the_logits_before_the_sampler_touched_them() {
    let model = TinyModel::qwen3().seed(9);
    let (_, mut decoder, _) = load(&model);
    let (_, mut raw, _) = load(&model);
    let prompt = some_tokens(9, 1);
    raw.open(SequenceId(1), plan(512, 0, Sampling::greedy()))
        .unwrap();
    let mut next = prompt.clone();
    let mut seconds = 0;
    for (token, likelihood) in generate(&mut decoder, &prompt, mixed(Some(3))) {
        let logits = raw.step_logits(&[input(1, &next, true)]).unwrap()[0]
            .take()
            .unwrap();
        let sum: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        let logprob = |token: TokenId| f64::from(logits[token as usize]) - sum.ln();
        let likelihood = likelihood.unwrap();
        for (token, said) in [(token, likelihood.logprob)]
            .iter()
            .chain(&likelihood.likeliest)
        {
            assert!(
                (f64::from(*said) - logprob(*token)).abs() < 1e-5,
                "{token}: {said}"
            );
        }
        let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert!(logits[likelihood.likeliest[0].0 as usize] >= best);
        seconds += usize::from(token != likelihood.likeliest[0].0);
        next = vec![token];
    }
    assert!(
        seconds > 0,
        "penalties and chance chose the likeliest each time"
    );
}

/// More sequences than rows of logits are made at once, and only some of them ask.
#[test]
fn in_a_batch_each_hears_its_own() {
    let (_, mut decoder, _) = load(&TinyModel::llama().seed(7));
    let asks = |id: u64| (!id.is_multiple_of(3)).then_some(id as u32 % 5);
    let ids = 0..40u64;
    let prompts: Vec<Vec<TokenId>> = ids
        .clone()
        .map(|id| some_tokens(4 + id as u32, 3))
        .collect();
    let alone: Vec<_> = ids
        .clone()
        .map(|id| generate(&mut decoder, &prompts[id as usize], mixed(asks(id))).remove(0))
        .collect();
    for id in ids.clone() {
        let prompt = prompts[id as usize].len() as u32;
        decoder
            .open(SequenceId(id), plan(512, prompt, mixed(asks(id))))
            .unwrap();
    }
    let batch: Vec<_> = ids
        .clone()
        .map(|id| input(id, &prompts[id as usize], true))
        .collect();
    let together = decoder.step(&batch).unwrap();
    for (output, (token, likelihood)) in together.iter().zip(alone) {
        assert_eq!(
            output.likelihood.is_some(),
            asks(output.sequence.0).is_some()
        );
        assert_eq!(
            (output.token, &output.likelihood),
            (Some(token), &likelihood)
        );
    }
}
