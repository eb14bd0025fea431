//! Which token comes next: a pure function of logits, the tokens held and the plan. No generator state exists.
//!
//! The order, as most engines apply it:
//!
//! 1. repetition penalty (CTRL, arXiv:1909.05858 §4.1) on tokens generated within the window; then frequency and presence
//!    penalty on all that were generated: `logit -= count * frequency + (count > 0) * presence`, as the OpenAI API's
//!    reference has it, and in this place, before temperature and cuts, as vLLM and llama.cpp do it; then, where the
//!    answer has a form, only the tokens that it allows remain;
//! 2. temperature 0: the likeliest token, the lowest id among equals; done;
//! 3. temperature: probabilities are `softmax(logit / temperature)`;
//! 4. top-k: the k likeliest remain;
//! 5. top-p (arXiv:1904.09751): of those, renormalised, the shortest front whose sum reaches p remains;
//! 6. min-p (arXiv:2407.01082): of those, the ones at least `min_p` times as likely as the likeliest remain;
//! 7. one draw, weighted.
//!
//! Each of 4 to 6 keeps a front of the same descending order, so together they keep the shortest of the three.

mod quick;

use domain::Sampling;
use engine::{SequencePlan, TokenId};

/// Why no token could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// Every logit is NaN or minus infinity.
    #[error("no token has a usable logit: all are NaN or minus infinity")]
    NoCandidate,
}

/// Room for candidates, kept between draws.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    list: Vec<(TokenId, f32)>,
    recent: Vec<TokenId>,
    weights: Vec<f32>,
    highest: Vec<f32>,
}

/// Chooses the token that follows `held`. The penalties are applied to `logits` in place, and so is `allowed`: a bit for
/// each token, the lowest first, and none for those beyond its end.
///
/// # Errors
/// `NoCandidate`.
pub fn choose(
    logits: &mut [f32],
    held: &[TokenId],
    plan: &SequencePlan,
    allowed: Option<&[u32]>,
    candidates: &mut Candidates,
) -> Result<TokenId, SampleError> {
    // A token's life, stop 9: a token is chosen.
    let sampling = &plan.sampling;
    let generated = held.get(plan.prompt_tokens as usize..).unwrap_or_default();
    penalise(
        logits,
        generated,
        sampling.repetition_window as usize,
        sampling.repetition_penalty,
        &mut candidates.recent,
    );
    penalise_counted(
        logits,
        generated,
        sampling.frequency_penalty,
        sampling.presence_penalty,
        &mut candidates.recent,
    );
    if let Some(allowed) = allowed {
        keep_allowed(logits, allowed);
    }
    let temperature = sampling.temperature;
    if temperature.is_nan() || temperature <= 0.0 {
        return likeliest(logits);
    }
    let at = uniform(sampling.seed, generated.len() as u64);
    let highest = quick::highest(logits);
    if highest == f32::NEG_INFINITY {
        return Err(SampleError::NoCandidate);
    }
    // Whichever way it goes, now and later.
    candidates.list.clear();
    candidates.list.reserve(logits.len());
    match quick::chosen(logits, highest, sampling, at, candidates) {
        Some(token) => Ok(token),
        None => plainly(logits, highest, sampling, at, &mut candidates.list),
    }
}

/// Temperature, cuts and draw as the order above has them, one after the other.
fn plainly(
    logits: &[f32],
    highest: f32,
    sampling: &Sampling,
    at: f64,
    list: &mut Vec<(TokenId, f32)>,
) -> Result<TokenId, SampleError> {
    weigh(logits, highest, sampling.temperature, list);
    keep_likeliest(list, sampling.top_k, sampling.top_p);
    truncate_by_probability(list, sampling.top_p, sampling.min_p);
    draw(list, at)
}

/// Divides positive and multiplies negative logits of the distinct tokens among the last `window` generated.
fn penalise(
    logits: &mut [f32],
    generated: &[TokenId],
    window: usize,
    penalty: f32,
    recent: &mut Vec<TokenId>,
) {
    #[expect(clippy::float_cmp, reason = "exactly 1 means off")]
    if penalty == 1.0 {
        return;
    }
    recent.clear();
    recent.extend(generated.iter().rev().take(window));
    recent.sort_unstable();
    recent.dedup();
    for &token in recent.iter() {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = if *logit > 0.0 {
                *logit / penalty
            } else {
                *logit * penalty
            };
        }
    }
}

/// Takes off each generated token's logit `frequency` for each time that it was generated, and `presence` once.
fn penalise_counted(
    logits: &mut [f32],
    generated: &[TokenId],
    frequency: f32,
    presence: f32,
    sorted: &mut Vec<TokenId>,
) {
    if frequency == 0.0 && presence == 0.0 {
        return;
    }
    sorted.clear();
    sorted.extend_from_slice(generated);
    sorted.sort_unstable();
    for equals in sorted.chunk_by(|a, b| a == b) {
        let token = equals.first().map(|token| *token as usize);
        if let Some(logit) = token.and_then(|token| logits.get_mut(token)) {
            *logit -= (equals.len() as f32).mul_add(frequency, presence);
        }
    }
}

/// Leaves nothing of tokens without a bit.
fn keep_allowed(logits: &mut [f32], allowed: &[u32]) {
    let words = allowed.iter().copied().chain(std::iter::repeat(0));
    for (group, word) in logits.chunks_mut(32).zip(words) {
        match word {
            u32::MAX => {}
            0 => group.fill(f32::NEG_INFINITY),
            _ => {
                for (bit, logit) in group.iter_mut().enumerate() {
                    if word >> bit & 1 == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}

/// The likeliest token; the lowest id among equals; never a NaN.
fn likeliest(logits: &[f32]) -> Result<TokenId, SampleError> {
    let highest = quick::highest(logits);
    if highest == f32::NEG_INFINITY {
        return Err(SampleError::NoCandidate);
    }
    #[expect(clippy::float_cmp, reason = "the highest is one of them, bit for bit")]
    let place = logits.iter().position(|logit| *logit == highest);
    let token = place.map(|token| token as TokenId);
    token.ok_or(SampleError::NoCandidate)
}

/// Lists every token with a usable logit and its weight, 1 for the likeliest.
fn weigh(logits: &[f32], highest: f32, temperature: f32, list: &mut Vec<(TokenId, f32)>) {
    list.clear();
    for (token, &logit) in logits.iter().enumerate() {
        // Equality first: infinity minus infinity is not a number.
        #[expect(clippy::float_cmp, reason = "the highest is one of them, bit for bit")]
        let weight = if logit == highest {
            1.0
        } else {
            ((logit - highest) / temperature).exp()
        };
        if weight > 0.0 {
            list.push((token as TokenId, weight));
        }
    }
}

/// Brings the likeliest to the front in descending order, the lower id first among equals, and cuts after `top_k`
/// (0: no cut). Without a cut and with `top_p` 1 no order is needed and none is made.
fn keep_likeliest(list: &mut Vec<(TokenId, f32)>, top_k: u32, top_p: f32) {
    let descending =
        |a: &(TokenId, f32), b: &(TokenId, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let k = top_k as usize;
    if k > 0 && k < list.len() {
        // Finding the k first costs one pass; only they are sorted.
        list.select_nth_unstable_by(k - 1, descending);
        list.truncate(k);
    } else if top_p >= 1.0 {
        return;
    }
    list.sort_unstable_by(descending);
}

/// Cuts by top-p (needs descending order unless `top_p` is 1), then by min-p.
fn truncate_by_probability(list: &mut Vec<(TokenId, f32)>, top_p: f32, min_p: f32) {
    if top_p < 1.0 {
        let total: f64 = list.iter().map(|(_, w)| f64::from(*w)).sum();
        let enough = total * f64::from(top_p);
        let mut sum = 0.0;
        let mut kept = 0;
        for (_, weight) in list.iter() {
            // The token that crosses the line is kept; so at least one is.
            kept += 1;
            sum += f64::from(*weight);
            if sum >= enough {
                break;
            }
        }
        list.truncate(kept);
    }
    // The likeliest weighs 1.
    list.retain(|(_, weight)| *weight >= min_p.min(1.0));
}

/// The token at the share `at` (0 to 1) of the summed weights.
fn draw(list: &[(TokenId, f32)], at: f64) -> Result<TokenId, SampleError> {
    let total: f64 = list.iter().map(|(_, w)| f64::from(*w)).sum();
    let mut left = at * total;
    for (token, weight) in list {
        left -= f64::from(*weight);
        if left < 0.0 {
            return Ok(*token);
        }
    }
    // Rounding may leave a crumb past the last one.
    list.last()
        .map(|(token, _)| *token)
        .ok_or(SampleError::NoCandidate)
}

/// Draw number `n` of a seed, in `0..1`: output `n` of `SplitMix64` (Steele, Lea, Flood, "Fast splittable pseudorandom
/// number generators", OOPSLA 2014, with the constants of <https://prng.di.unimi.it/splitmix64.c>). Its state only
/// ever counts up by a constant, so any draw can be had without those before it.
fn uniform(seed: u64, n: u64) -> f64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // The 53 bits a double can hold.
    (z >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
