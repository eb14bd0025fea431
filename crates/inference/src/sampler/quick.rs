//! The same choice in less time: exact weights only for tokens that can remain, sums of all others by an exponential that is
//! done for many numbers at once.
//!
//! That exponential differs from the exact one in the last bit at most. Wherever a choice hangs on less than a wide multiple
//! of that there is none here, and the plain way is gone. So no choice is another one.

use domain::Sampling;
use engine::TokenId;

use super::{Candidates, draw, keep_likeliest, truncate_by_probability};
use crate::cpu::exponential;

/// How far apart two powers have to be so that rounding cannot turn them round.
const APART: f32 = 1e-4;
/// Below this power weights lose digits, and then are nothing.
const LEAST_POWER: f32 = -60.0;
/// What sums of approximate weights may be off by, as a share: eight times what their last bits come to.
const OFF: f64 = 1e-6;
/// Colder than this a difference of logits is all or nothing.
const COLDEST: f32 = 1e-3;
/// Of more than that the likeliest are not worth finding first.
const MOST_KEPT: usize = 1024;
/// Numbers looked at together.
const LANES: usize = 64;

/// The token of the share `at` (0 to 1) of what the cuts leave; `None` if it takes the plain way to tell. `highest` is the
/// highest logit.
pub(super) fn chosen(
    logits: &[f32],
    highest: f32,
    sampling: &Sampling,
    at: f64,
    room: &mut Candidates,
) -> Option<TokenId> {
    let temperature = sampling.temperature;
    if !highest.is_finite() || !(COLDEST..=1e6).contains(&temperature) {
        return None;
    }
    let scale = Scale {
        highest,
        temperature,
    };
    let (k, min_p) = (sampling.top_k as usize, sampling.min_p.min(1.0));
    if k > 0 && k < logits.len() {
        // One more than remain, so that it is seen that some are cut.
        let least = nth_highest(logits, k + 1, &mut room.highest)?;
        scale.weigh(logits, scale.power(least), &mut room.list)?;
        keep_likeliest(&mut room.list, sampling.top_k, sampling.top_p);
    } else if sampling.top_p < 1.0 {
        return scale.nucleus(logits, sampling, at, room);
    } else if min_p > 0.0 {
        scale.weigh(logits, min_p.ln(), &mut room.list)?;
    } else {
        return scale.any(logits, at, &mut room.weights);
    }
    truncate_by_probability(&mut room.list, sampling.top_p, sampling.min_p);
    draw(&room.list, at).ok()
}

/// The highest number; minus infinity if there is none.
pub(super) fn highest(logits: &[f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = logits.as_chunks::<LANES>();
    for lanes in whole {
        for (most, logit) in most.iter_mut().zip(lanes) {
            *most = if *logit > *most { *logit } else { *most };
        }
    }
    let larger = |most: f32, logit: &f32| if *logit > most { *logit } else { most };
    most.iter().chain(rest).fold(f32::NEG_INFINITY, larger)
}

/// The `n`th highest of the numbers; `None` if there are fewer, or `n` is large.
fn nth_highest(logits: &[f32], n: usize, best: &mut Vec<f32>) -> Option<f32> {
    if n > MOST_KEPT {
        return None;
    }
    let many = 2 * (n + LANES);
    best.clear();
    best.reserve(many + LANES);
    let mut least = f32::NEG_INFINITY;
    for some in logits.chunks(LANES) {
        if highest(some) <= least {
            continue;
        }
        best.extend(some.iter().filter(|logit| **logit > least));
        if best.len() > many {
            least = cut(best, n)?;
        }
    }
    cut(best, n)
}

/// Leaves the `n` highest; the lowest of them.
fn cut(best: &mut Vec<f32>, n: usize) -> Option<f32> {
    if best.len() < n {
        return None;
    }
    let (_, least, _) = best.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a));
    let least = *least;
    best.truncate(n);
    Some(least)
}

/// What turns logits into weights, 1 for the highest.
#[derive(Clone, Copy)]
struct Scale {
    highest: f32,
    temperature: f32,
}

impl Scale {
    fn power(self, logit: f32) -> f32 {
        (logit - self.highest) / self.temperature
    }

    /// As the plain way has it, to the last bit.
    fn weight(self, logit: f32) -> f32 {
        #[expect(clippy::float_cmp, reason = "the highest is one of them, bit for bit")]
        if logit == self.highest {
            1.0
        } else {
            self.power(logit).exp()
        }
    }

    /// Lists the tokens whose weight may be that of this power or more, in their order.
    fn weigh(self, logits: &[f32], least: f32, list: &mut Vec<(TokenId, f32)>) -> Option<()> {
        let least = least - APART;
        if least.is_nan() || least < LEAST_POWER {
            return None;
        }
        list.clear();
        for (some, logits) in logits.chunks(LANES).enumerate() {
            if self.power(highest(logits)) < least {
                continue;
            }
            for (token, &logit) in (some * LANES..).zip(logits) {
                if self.power(logit) >= least {
                    list.push((token as TokenId, self.weight(logit)));
                }
            }
        }
        Some(())
    }

    /// Approximate weights of all, and their sum.
    fn weigh_all(self, logits: &[f32], weights: &mut Vec<f32>) -> f64 {
        weights.clear();
        weights.extend(logits.iter().map(|logit| {
            let power = self.power(*logit);
            // Not a number is less likely than anything.
            exponential(if power > -200.0 { power } else { -200.0 })
        }));
        weights.chunks(LANES).map(sum).sum()
    }

    /// Top-p, without a top-k before it.
    fn nucleus(
        self,
        logits: &[f32],
        sampling: &Sampling,
        at: f64,
        room: &mut Candidates,
    ) -> Option<TokenId> {
        let enough = self.weigh_all(logits, &mut room.weights) * f64::from(sampling.top_p);
        let mut bound = 1.0 / 16.0;
        while heavier(&room.weights, bound) < enough * (1.0 + 10.0 * OFF) {
            bound /= 16.0;
            if bound < 1e-20 {
                return None;
            }
        }
        self.weigh(logits, bound.ln(), &mut room.list)?;
        let list = &mut room.list;
        keep_likeliest(list, 0, 0.0);
        let (mut sum, mut kept) = (0.0, 0);
        for (_, weight) in list.iter() {
            kept += 1;
            sum += f64::from(*weight);
            if (sum - enough).abs() < enough * OFF {
                return None;
            }
            if sum >= enough {
                break;
            }
        }
        if sum < enough {
            return None;
        }
        list.truncate(kept);
        truncate_by_probability(list, 1.0, sampling.min_p);
        draw(list, at).ok()
    }

    /// One of all.
    fn any(self, logits: &[f32], at: f64, weights: &mut Vec<f32>) -> Option<TokenId> {
        let total = self.weigh_all(logits, weights);
        let off = total * OFF;
        let target = at * total;
        let mut below = 0.0;
        for (some, weights) in weights.chunks(LANES).enumerate() {
            let sum = sum(weights);
            if below + sum + off < target {
                below += sum;
                continue;
            }
            for (token, weight) in (some * LANES..).zip(weights) {
                let above = below + f64::from(*weight);
                if target < above - off && (below == 0.0 || target > below + off) {
                    return Some(token as TokenId);
                }
                if target < above + off {
                    return None;
                }
                below = above;
            }
        }
        None
    }
}

fn sum(weights: &[f32]) -> f64 {
    heavier(weights, 0.0)
}

/// The sum of the weights that are at least this.
fn heavier(weights: &[f32], bound: f32) -> f64 {
    const SUMS: usize = 16;
    let mut sums = [0.0; SUMS];
    let (whole, rest) = weights.as_chunks::<SUMS>();
    for weights in whole {
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum += f64::from(if *weight >= bound { *weight } else { 0.0 });
        }
    }
    let rest = rest.iter().filter(|weight| **weight >= bound);
    sums.iter().sum::<f64>() + rest.map(|weight| f64::from(*weight)).sum::<f64>()
}

#[cfg(test)]
#[path = "quick_tests.rs"]
mod tests;
