//! How likely the chosen token was, and which were the likeliest: log-softmax of the logits as the model gave them.
//!
//! Computed for those who ask and for nobody else. In double precision, because a vocabulary of 150 000 terms is summed;
//! the highest logit is taken off first, so that no power overflows. A token with a NaN or minus infinity has no chance;
//! one with plus infinity leaves none to the others. What comes out is always a finite number.

use domain::TokenLogprob;
use engine::{Likelihood, TokenId};

/// How likely `token` was by the raw `logits`, and the `most` likeliest.
pub(crate) fn of(logits: &[f32], token: TokenId, most: u32) -> Likelihood {
    let scale = Scale::of(logits);
    let chosen = logits.get(token as usize).copied();
    Likelihood {
        logprob: scale.logprob(chosen.unwrap_or(f32::NEG_INFINITY)),
        likeliest: likeliest(logits, most as usize)
            .into_iter()
            .map(|(token, logit)| (token, scale.logprob(logit)))
            .collect(),
    }
}

/// What turns logits into logarithms of probabilities.
struct Scale {
    highest: f64,
    /// Of the sum of all powers, with the highest taken off.
    log_sum: f64,
}

impl Scale {
    fn of(logits: &[f32]) -> Self {
        let highest = logits
            .iter()
            .copied()
            .map(usable)
            .fold(f32::NEG_INFINITY, f32::max);
        let mut scale = Self {
            highest: f64::from(highest),
            log_sum: 0.0,
        };
        let sum: f64 = logits.iter().map(|logit| scale.below(*logit).exp()).sum();
        scale.log_sum = sum.ln();
        scale
    }

    /// How far a logit is from the highest: 0 or less, never NaN.
    fn below(&self, logit: f32) -> f64 {
        let logit = f64::from(usable(logit));
        if logit == f64::NEG_INFINITY {
            logit
        } else if logit >= self.highest {
            // Infinity minus infinity is not a number.
            0.0
        } else {
            logit - self.highest
        }
    }

    fn logprob(&self, logit: f32) -> f32 {
        let logprob = (self.below(logit) - self.log_sum) as f32;
        if logprob >= TokenLogprob::LEAST {
            // Not -0, which would be written with its sign.
            if logprob < 0.0 { logprob } else { 0.0 }
        } else {
            TokenLogprob::LEAST
        }
    }
}

fn usable(logit: f32) -> f32 {
    if logit.is_nan() {
        f32::NEG_INFINITY
    } else {
        logit
    }
}

/// The `most` highest logits in descending order, the lowest id first among equals. One pass; `most` is small.
fn likeliest(logits: &[f32], most: usize) -> Vec<(TokenId, f32)> {
    let most = most.min(logits.len());
    let mut best: Vec<(TokenId, f32)> = Vec::with_capacity(most);
    for (token, logit) in logits.iter().map(|logit| usable(*logit)).enumerate() {
        let is_better = best.last().is_none_or(|(_, last)| logit > *last);
        if best.len() == most {
            if !is_better || most == 0 {
                continue;
            }
            best.pop();
        }
        let place = best.partition_point(|(_, other)| *other >= logit);
        best.insert(place, (token as TokenId, logit));
    }
    best
}

#[cfg(test)]
#[path = "likelihood_tests.rs"]
mod tests;
