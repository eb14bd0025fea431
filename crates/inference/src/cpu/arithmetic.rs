//! What stands between the products: attention, softmax, norms and the gate, in plain Rust that is compiled anew for each
//! kind of kernel.
//!
//! Invariants: every function treats one row by itself, in one order of additions, so that neither the batch, nor the
//! chunking of a prompt, nor the kind of processor changes a bit of the result. The orders are those of candle's own kernels
//! for one row: activations are rounded to 8 bits before every matrix, so another last bit here can become another token.
#![allow(
    clippy::inline_always,
    clippy::needless_pass_by_value,
    reason = "what is compiled anew for each kind of processor must be part of the function that is; iterators are cheap"
)]

use super::TOKENS_OF_TILE;
use crate::ops::{multiply_add, sum};

/// Numbers side by side.
const LANES: usize = 16;
/// Partial sums of an inner product.
const CHAINS: usize = 8;
/// Lanes of values that are summed at once: an addition waits for the one before it, but not for its neighbours.
const SIDE_BY_SIDE: usize = 4;

/// Sixteen numbers in memory.
pub(super) type Lanes = [f32; LANES];

/// One row's attention to the tokens of one key and value head.
pub(crate) struct Attention<'a> {
    /// The query heads that share it, one after another.
    pub(crate) queries: &'a [f32],
    /// What becomes of them.
    pub(crate) attended: &'a mut [f32],
    /// Elements of a head.
    pub(crate) head_width: usize,
    /// Tokens to look at, the row's own the last.
    pub(crate) tokens: usize,
    /// Room for the scores of one query head.
    pub(crate) scores: &'a mut Vec<f32>,
}

/// Sixteen numbers in registers. The compiler does not keep arrays of them there by itself.
pub(super) trait Sixteen: Copy {
    /// All zero.
    fn zero() -> Self;
    /// `self + factor * values`, as [`multiply_add`] rounds it.
    #[must_use]
    fn add_product(self, factor: f32, values: &Lanes) -> Self;
    /// The sums.
    #[must_use]
    fn plus(self, other: Self) -> Self;
    /// The numbers.
    fn numbers(self) -> Lanes;
}

impl Sixteen for Lanes {
    #[inline(always)]
    fn zero() -> Self {
        [0.0; LANES]
    }

    #[inline(always)]
    fn add_product(mut self, factor: f32, values: &Lanes) -> Self {
        for (sum, value) in self.iter_mut().zip(values) {
            *sum = multiply_add(factor, *value, *sum);
        }
        self
    }

    #[inline(always)]
    fn plus(mut self, other: Self) -> Self {
        for (a, b) in self.iter_mut().zip(other) {
            *a += b;
        }
        self
    }

    #[inline(always)]
    fn numbers(self) -> Lanes {
        self
    }
}

/// Scaled dot-product attention (arXiv:1706.03762). `keys` and `values` give a page's part of the head, page after page:
/// keys as tiles of 16 tokens, element by element, values token by token.
#[inline(always)]
pub(super) fn attend<'k, V: Sixteen>(
    attention: Attention<'_>,
    keys: impl Iterator<Item = &'k [f32]> + Clone,
    values: impl Iterator<Item = &'k [f32]> + Clone,
) {
    let Attention {
        queries,
        attended,
        head_width,
        tokens,
        scores,
    } = attention;
    let scale = 1.0 / (head_width as f32).sqrt();
    let heads = queries
        .chunks_exact(head_width)
        .zip(attended.chunks_exact_mut(head_width));
    for (query, attended) in heads {
        scores.clear();
        for tile in keys
            .clone()
            .flat_map(|page| page.chunks_exact(TOKENS_OF_TILE * head_width))
            .take(tokens.div_ceil(TOKENS_OF_TILE))
        {
            scores.extend_from_slice(&score::<V>(query, tile).map(|score| score * scale));
        }
        scores.truncate(tokens);
        softmax(scores);
        weigh::<V>(scores, values.clone(), attended);
    }
}

/// A query's products with 16 keys, each in the order of [`crate::ops::dot`].
#[inline(always)]
fn score<V: Sixteen>(query: &[f32], tile: &[f32]) -> Lanes {
    let (whole, rest) = query.as_chunks::<CHAINS>();
    let elements = tile.as_chunks::<LANES>().0;
    let (keys, keys_of_rest) = elements.as_chunks::<CHAINS>();
    let mut chains = [V::zero(); CHAINS];
    for (factors, keys) in whole.iter().zip(keys) {
        for ((chain, factor), key) in chains.iter_mut().zip(factors).zip(keys) {
            *chain = chain.add_product(*factor, key);
        }
    }
    let [c0, c1, c2, c3, c4, c5, c6, c7] = chains;
    let even = c0.plus(c4).plus(c2.plus(c6));
    let odd = c1.plus(c5).plus(c3.plus(c7));
    let mut sums = even.plus(odd);
    for (factor, key) in rest.iter().zip(keys_of_rest) {
        sums = sums.add_product(*factor, key);
    }
    sums.numbers()
}

/// The sum of values, each times its weight, token after token.
#[inline(always)]
fn weigh<'k, V: Sixteen>(
    weights: &[f32],
    values: impl Iterator<Item = &'k [f32]> + Clone,
    attended: &mut [f32],
) {
    let width = attended.len();
    let mut first = 0;
    while first + SIDE_BY_SIDE * LANES <= width {
        weigh_some::<V, SIDE_BY_SIDE>(weights, values.clone(), attended, first);
        first += SIDE_BY_SIDE * LANES;
    }
    while first + LANES <= width {
        weigh_some::<V, 1>(weights, values.clone(), attended, first);
        first += LANES;
    }
    let rows = || values.clone().flat_map(|page| page.chunks_exact(width));
    for (index, target) in attended.iter_mut().enumerate().skip(first) {
        let column = rows().filter_map(|value| value.get(index)).zip(weights);
        *target = column.fold(0.0, |sum, (value, weight)| {
            multiply_add(*weight, *value, sum)
        });
    }
}

/// As [`weigh`], for `N` times 16 elements from `first`.
#[inline(always)]
fn weigh_some<'k, V: Sixteen, const N: usize>(
    weights: &[f32],
    values: impl Iterator<Item = &'k [f32]>,
    attended: &mut [f32],
    first: usize,
) {
    let width = attended.len();
    let mut sums = [V::zero(); N];
    let mut left = weights;
    for page in values {
        let tokens = page.len() / width;
        let (here, later) = left.split_at_checked(tokens).unwrap_or((left, &[]));
        for (weight, value) in here.iter().zip(page.chunks_exact(width)) {
            let some = value.get(first..).map(|value| value.as_chunks::<LANES>().0);
            if let Some(some) = some.and_then(<[Lanes]>::first_chunk::<N>) {
                for (sum, lanes) in sums.iter_mut().zip(some) {
                    *sum = sum.add_product(*weight, lanes);
                }
            }
        }
        if later.is_empty() {
            break;
        }
        left = later;
    }
    let targets = attended.get_mut(first..).unwrap_or_default();
    for (target, sum) in targets.as_chunks_mut::<LANES>().0.iter_mut().zip(sums) {
        *target = sum.numbers();
    }
}

/// Turns scores into probabilities that sum to 1; the largest is subtracted first, so that nothing overflows.
#[inline(always)]
pub(super) fn softmax(scores: &mut [f32]) {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = scores.as_chunks::<LANES>();
    for lanes in whole {
        keep_larger(&mut most, lanes);
    }
    keep_larger(&mut most, rest);
    let largest = most.into_iter().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = exponential(*score - largest);
    }
    let total = sum(scores);
    for score in scores {
        *score /= total;
    }
}

#[inline(always)]
fn keep_larger(most: &mut Lanes, scores: &[f32]) {
    for (most, score) in most.iter_mut().zip(scores) {
        *most = if *score > *most { *score } else { *most };
    }
}

/// Root mean square norm (arXiv:1910.07467) of `x` in place, times `weight`.
#[inline(always)]
pub(super) fn rms_norm(x: &mut [f32], weight: &[f32], epsilon: f32) {
    let squares: f32 = x.iter().map(|x| x * x).sum();
    let root = (squares / x.len().max(1) as f32 + epsilon).sqrt();
    for (x, w) in x.iter_mut().zip(weight) {
        *x = *x / root * w;
    }
}

/// The gated unit of Llama (`SwiGLU`, arXiv:2002.05202): `gate = silu(gate) * up`.
#[inline(always)]
pub(super) fn gate_with_silu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + exponential(-*gate)) * up;
    }
}

/// `e^x`, in 64 bits and then rounded, so that it hardly ever differs from that of the system's library: 0 below -104, infinite
/// above 89. Unlike that it is done for many numbers at once.
#[inline(always)]
pub(crate) fn exponential(x: f32) -> f32 {
    /// 1.5 * 2^52: what is added to it loses its fraction.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let held = if x > 89.0 { 89.0 } else { x };
    let held = f64::from(if held < -104.0 { -104.0 } else { held });
    let shifted = held * std::f64::consts::LOG2_E + ROUND;
    let r = held - (shifted - ROUND) * std::f64::consts::LN_2;
    // Taylor's series to the tenth power: |r| is at most 0.35, so the first term left out is below 3e-13.
    let mut p = 1.0 / 3_628_800.0;
    for c in [
        362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0,
    ] {
        p = p * r + 1.0 / c;
    }
    // The lowest bits of `shifted` are the whole power of two.
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    (p * power) as f32
}

#[cfg(test)]
#[allow(
    clippy::float_cmp,
    clippy::indexing_slicing,
    reason = "these results are exact, and tests may fail loudly"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn softmax_survives_large_scores() {
        let mut scores = [1000.0, 1000.0, f32::NEG_INFINITY];
        softmax(&mut scores);
        assert_eq!(scores.map(f32::to_bits), [0.5, 0.5, 0.0].map(f32::to_bits));
    }

    #[test]
    fn a_normed_row_has_the_root_mean_square_of_its_weight() {
        let mut x = [3.0, -4.0];
        rms_norm(&mut x, &[1.0, 1.0], 0.0);
        let expected = [3.0 / 12.5f32.sqrt(), -4.0 / 12.5f32.sqrt()];
        for (x, e) in x.iter().zip(expected) {
            assert!((x - e).abs() < 1e-6, "{x} {e}");
        }
    }

    #[test]
    fn the_gate_is_silu() {
        let mut gate = [0.0, 1.0];
        gate_with_silu(&mut gate, &[5.0, 2.0]);
        assert_eq!(gate[0].to_bits(), 0);
        assert!((gate[1] - 2.0 / (1.0 + (-1.0f32).exp())).abs() < 1e-6);
    }

    #[test]
    fn the_exponential_is_near_and_total() {
        let mut x = -87.0f32;
        while x < 88.0 {
            let (ours, real) = (exponential(x), f64::from(x).exp() as f32);
            assert_eq!(
                ours.to_bits(),
                real.to_bits(),
                "e^{x}: {ours}, but it is {real}"
            );
            x += 0.0137;
        }
        assert_eq!(exponential(0.0).to_bits(), 1.0f32.to_bits());
        assert_eq!(exponential(f32::NEG_INFINITY).to_bits(), 0);
        assert_eq!(exponential(f32::MIN).to_bits(), 0);
        assert_eq!(exponential(f32::INFINITY), f32::INFINITY);
        assert!(exponential(f32::NAN).is_nan());
    }

    #[test]
    fn scores_are_inner_products_to_the_last_bit() {
        for width in [1, 7, 8, 16, 61, 64, 80] {
            let query: Vec<f32> = (0..width).map(|i| (i as f32 * 0.7).sin()).collect();
            let keys: Vec<f32> = (0..width * 16).map(|i| (i as f32 * 1.3).cos()).collect();
            for (lane, score) in score::<Lanes>(&query, &keys).into_iter().enumerate() {
                let key: Vec<f32> = keys.iter().skip(lane).step_by(16).copied().collect();
                assert_eq!(score.to_bits(), crate::ops::dot(&query, &key).to_bits());
            }
        }
    }

    proptest! {
        #[test]
        fn attention_is_what_plain_arithmetic_says(
            width in 1usize..70, heads in 1usize..4, tokens in 1usize..150, seed in any::<u32>(),
        ) {
            const PAGE: usize = 64;
            let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) ^ seed) as f32 / 2e9 - 1.0;
            let queries: Vec<f32> = (0..heads * width).map(number).collect();
            let key = |token: usize, element: usize| number(token * 131 + element + 7);
            let value = |token: usize, element: usize| number(token * 257 + element + 3);
            let pages = tokens.div_ceil(PAGE);
            let mut keys = vec![vec![f32::NAN; PAGE * width]; pages];
            let mut values = keys.clone();
            for token in 0..tokens {
                let (page, inside) = (token / PAGE, token % PAGE);
                for element in 0..width {
                    let tile = inside / 16 * 16 * width;
                    keys[page][tile + element * 16 + inside % 16] = key(token, element);
                    values[page][inside * width + element] = value(token, element);
                }
            }
            let mut attended = vec![f32::NAN; heads * width];
            attend::<Lanes>(
                Attention {
                    queries: &queries,
                    attended: &mut attended,
                    head_width: width,
                    tokens,
                    scores: &mut Vec::new(),
                },
                keys.iter().map(Vec::as_slice),
                values.iter().map(Vec::as_slice),
            );
            for (query, attended) in queries.chunks(width).zip(attended.chunks(width)) {
                let score = |token| {
                    let products = query.iter().enumerate().map(|(e, q)| f64::from(q * key(token, e)));
                    (products.sum::<f64>() / (width as f64).sqrt()).exp()
                };
                let weights: Vec<f64> = (0..tokens).map(score).collect();
                let total: f64 = weights.iter().sum();
                for (element, result) in attended.iter().enumerate() {
                    let sum: f64 = (0..tokens).map(|t| weights[t] * f64::from(value(t, element))).sum();
                    prop_assert!((f64::from(*result) - sum / total).abs() < 1e-4, "{result} {}", sum / total);
                }
            }
        }
    }
}
