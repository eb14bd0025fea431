//! Attention of one row, in plain Rust that is compiled anew for each kind of kernel.
//!
//! Keys and values have 16 bits and are widened where they are used; the query heads that share a key and value head look at
//! each of them together, so that it is read and widened once.
//!
//! Invariant: a head's result depends on its query, its keys and its values alone, added in one order, whatever else is
//! computed beside it.
#![allow(
    clippy::inline_always,
    clippy::needless_pass_by_value,
    reason = "what is compiled anew for each kind of processor must be part of the function that is; iterators are cheap"
)]

use half::f16;

use super::TOKENS_OF_TILE;
use super::arithmetic::{keep_within, quick_exponential};
use super::lanes::{LANES, Lanes, Sixteen};
use crate::ops::sum;

/// Partial sums of an inner product: an addition waits for the one before it, but not for its neighbours.
const CHAINS: usize = 2;
/// Query heads that look at a key together; as many as have their sums in registers.
pub(crate) const HEADS_AT_ONCE: usize = 4;

/// One row's attention to the tokens of one key and value head.
pub(crate) struct Attention<'a> {
    /// The query heads that share it, one after another.
    pub(crate) queries: &'a [f32],
    /// What becomes of them.
    pub(crate) attended: &'a mut [f32],
    /// Elements of a head.
    pub(crate) head_width: usize,
    /// Tokens of the pages, the row's own the last.
    pub(crate) tokens: usize,
    /// So many of them, from the first, are not looked at.
    pub(crate) hidden: usize,
    /// Products of queries and keys are multiplied by this.
    pub(crate) scale: f32,
    /// Then they are kept between minus and plus this.
    pub(crate) cap: Option<f32>,
    /// Whether nobody looked at these keys and values just before, so that they must be waited for: then each page is asked for
    /// while the one before it is looked at.
    pub(crate) waits: bool,
    /// Room for the scores of some query heads.
    pub(crate) scores: &'a mut Vec<f32>,
}

/// Scaled dot-product attention (arXiv:1706.03762). `keys` and `values` give a page's part of the head, page after page:
/// keys as tiles of 16 tokens, element by element, values token by token.
#[inline(always)]
pub(super) fn attend<'k, V: Sixteen>(
    attention: Attention<'_>,
    keys: impl Iterator<Item = &'k [f16]> + Clone,
    values: impl Iterator<Item = &'k [f16]> + Clone,
) {
    let Attention {
        queries,
        attended,
        head_width,
        tokens,
        hidden,
        scale,
        cap,
        waits,
        scores,
    } = attention;
    let of_heads = HEADS_AT_ONCE * head_width;
    let groups = queries.chunks(of_heads).zip(attended.chunks_mut(of_heads));
    for (queries, attended) in groups {
        let look = Look {
            queries,
            head_width,
            tokens,
            hidden,
            scale,
            cap,
            waits,
        };
        match queries.len() / head_width.max(1) {
            4 => look.attend::<V, 4>(attended, keys.clone(), values.clone(), scores),
            3 => look.attend::<V, 3>(attended, keys.clone(), values.clone(), scores),
            2 => look.attend::<V, 2>(attended, keys.clone(), values.clone(), scores),
            _ => look.attend::<V, 1>(attended, keys.clone(), values.clone(), scores),
        }
    }
}

/// What some heads look with.
#[derive(Clone, Copy)]
struct Look<'a> {
    queries: &'a [f32],
    head_width: usize,
    tokens: usize,
    hidden: usize,
    scale: f32,
    cap: Option<f32>,
    waits: bool,
}

impl Look<'_> {
    #[inline(always)]
    fn attend<'k, V: Sixteen, const HEADS: usize>(
        self,
        attended: &mut [f32],
        keys: impl Iterator<Item = &'k [f16]> + Clone,
        values: impl Iterator<Item = &'k [f16]> + Clone,
        scores: &mut Vec<f32>,
    ) {
        let whole = self.tokens.next_multiple_of(TOKENS_OF_TILE);
        // Every element that is read is written before; growing alone needs a fill.
        scores.resize(HEADS * whole, 0.0);
        let mut later = keys.clone().skip(1).chain(values.clone().take(1));
        let tile_length = TOKENS_OF_TILE * self.head_width;
        let pages = keys.map(|page| (page, self.later(&mut later)));
        let tiles = pages.flat_map(|(page, later)| {
            let mut later = later.chunks_exact(tile_length);
            let tiles = page.chunks_exact(tile_length);
            tiles.map(move |tile| (tile, later.next().unwrap_or_default()))
        });
        for (index, (tile, later)) in tiles.take(whole / TOKENS_OF_TILE).enumerate() {
            V::ask_for(later);
            let sums = self.score::<V, HEADS>(tile);
            for (scores, sums) in scores.chunks_exact_mut(whole).zip(sums) {
                let target = scores.as_chunks_mut::<LANES>().0.get_mut(index);
                if let Some(target) = target {
                    for (target, sum) in target.iter_mut().zip(sums) {
                        *target = sum * self.scale;
                    }
                }
            }
        }
        for scores in scores.chunks_exact_mut(whole) {
            let scores = scores.get_mut(..self.tokens).unwrap_or_default();
            if let Some(cap) = self.cap {
                keep_within(scores, cap);
            }
            if let Some(hidden) = scores.get_mut(..self.hidden) {
                // Their share is exactly nothing.
                hidden.fill(f32::NEG_INFINITY);
            }
            softmax(scores);
        }
        self.weigh::<V, HEADS>(scores, values, attended);
    }

    /// What is to be asked for while a page is looked at: the next one, if it must be waited for.
    #[inline(always)]
    fn later<'k>(self, pages: &mut impl Iterator<Item = &'k [f16]>) -> &'k [f16] {
        let next = if self.waits { pages.next() } else { None };
        next.unwrap_or_default()
    }

    /// The heads' products with 16 keys: elements with an even number in one chain, with an odd in the other.
    #[inline(always)]
    fn score<V: Sixteen, const HEADS: usize>(self, tile: &[f16]) -> [Lanes; HEADS] {
        let mut queries: [&[f32]; HEADS] = [&[]; HEADS];
        for (query, own) in queries
            .iter_mut()
            .zip(self.queries.chunks_exact(self.head_width))
        {
            *query = own;
        }
        let mut chains = [[V::zero(); CHAINS]; HEADS];
        let (pairs, rest) = tile.as_chunks::<LANES>().0.as_chunks::<CHAINS>();
        for (index, keys) in pairs.iter().enumerate() {
            let [even, odd] = [V::widened(&keys[0]), V::widened(&keys[1])];
            for ([first, second], query) in chains.iter_mut().zip(queries) {
                if let Some([a, b]) = query.as_chunks::<CHAINS>().0.get(index) {
                    *first = first.add_product(*a, even);
                    *second = second.add_product(*b, odd);
                }
            }
        }
        if let Some(key) = rest.first() {
            let key = V::widened(key);
            for ([first, _], query) in chains.iter_mut().zip(queries) {
                *first = first.add_product(query.last().copied().unwrap_or(0.0), key);
            }
        }
        let mut sums = [[0.0; LANES]; HEADS];
        for (sums, [even, odd]) in sums.iter_mut().zip(chains) {
            *sums = even.plus(odd).numbers();
        }
        sums
    }

    /// The sums of values, each times its weight, token after token.
    #[inline(always)]
    fn weigh<'k, V: Sixteen, const HEADS: usize>(
        self,
        weights: &[f32],
        values: impl Iterator<Item = &'k [f16]> + Clone,
        attended: &mut [f32],
    ) {
        let width = self.head_width;
        let mut first = 0;
        while V::MANY && first + 4 * LANES <= width {
            self.weigh_some::<V, HEADS, 4>(weights, values.clone(), attended, first);
            first += 4 * LANES;
        }
        while first + 2 * LANES <= width {
            self.weigh_some::<V, HEADS, 2>(weights, values.clone(), attended, first);
            first += 2 * LANES;
        }
        while first + LANES <= width {
            self.weigh_some::<V, HEADS, 1>(weights, values.clone(), attended, first);
            first += LANES;
        }
        let whole = weights.len() / HEADS;
        let heads = weights.chunks_exact(whole.max(1));
        for (weights, attended) in heads.zip(attended.chunks_exact_mut(width)) {
            let weights = weights.get(..self.tokens).unwrap_or_default();
            for (index, target) in attended.iter_mut().enumerate().skip(first) {
                let rows = values.clone().flat_map(|page| page.chunks_exact(width));
                let column = rows.filter_map(|value| value.get(index)).zip(weights);
                *target = column.fold(0.0, |sum, (value, weight)| sum + *weight * value.to_f32());
            }
        }
    }

    /// As [`Look::weigh`], for `N` times 16 elements from `first`.
    #[inline(always)]
    fn weigh_some<'k, V: Sixteen, const HEADS: usize, const N: usize>(
        self,
        weights: &[f32],
        values: impl Iterator<Item = &'k [f16]> + Clone,
        attended: &mut [f32],
        first: usize,
    ) {
        let (width, whole) = (self.head_width, weights.len() / HEADS);
        let mut sums = [[V::zero(); N]; HEADS];
        let mut token = 0;
        // The whole of a page is asked for with its first elements.
        let mut later = values.clone().skip(if first == 0 { 1 } else { usize::MAX });
        for page in values {
            let mut later = self.later(&mut later).chunks_exact(width);
            let here = (page.len() / width).min(self.tokens - token);
            let mut of_heads: [&[f32]; HEADS] = [&[]; HEADS];
            for (own, weights) in of_heads.iter_mut().zip(weights.chunks_exact(whole)) {
                *own = weights.get(token..token + here).unwrap_or_default();
            }
            for (index, value) in page.chunks_exact(width).take(here).enumerate() {
                V::ask_for(later.next().unwrap_or_default());
                let some = value.get(first..).map(|value| value.as_chunks::<LANES>().0);
                let Some(some) = some.and_then(<[[f16; LANES]]>::first_chunk::<N>) else {
                    continue;
                };
                let mut lanes = [V::zero(); N];
                for (lanes, halves) in lanes.iter_mut().zip(some) {
                    *lanes = V::widened(halves);
                }
                for (sums, weights) in sums.iter_mut().zip(of_heads) {
                    let weight = weights.get(index).copied().unwrap_or(0.0);
                    for (sum, lanes) in sums.iter_mut().zip(lanes) {
                        *sum = sum.add_product(weight, lanes);
                    }
                }
            }
            token += here;
            if token == self.tokens {
                break;
            }
        }
        for (attended, sums) in attended.chunks_exact_mut(width).zip(sums) {
            let targets = attended.get_mut(first..).unwrap_or_default();
            for (target, sum) in targets.as_chunks_mut::<LANES>().0.iter_mut().zip(sums) {
                *target = sum.numbers();
            }
        }
    }
}

/// Turns scores into probabilities that sum to 1; the largest is subtracted first, so that nothing overflows.
#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = scores.as_chunks::<LANES>();
    for lanes in whole {
        keep_larger(&mut most, lanes);
    }
    keep_larger(&mut most, rest);
    let largest = most.into_iter().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = quick_exponential(*score - largest);
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

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests may fail loudly")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn softmax_survives_large_scores() {
        let mut scores = [1000.0, 1000.0, f32::NEG_INFINITY];
        softmax(&mut scores);
        assert_eq!(scores.map(f32::to_bits), [0.5, 0.5, 0.0].map(f32::to_bits));
    }

    proptest! {
        #[test]
        fn attention_is_what_plain_arithmetic_says(
            width in 1usize..70, heads in 1usize..7, tokens in 1usize..150, hidden in 0usize..150, seed in any::<u32>(),
            cap in prop::option::of(0.5f32..9.0),
        ) {
            const PAGE: usize = 64;
            let hidden = hidden.min(tokens - 1);
            let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) ^ seed) as f32 / 2e9 - 1.0;
            let queries: Vec<f32> = (0..heads * width).map(number).collect();
            let half = |i: usize| f16::from_f32_const(number(i));
            let key = |token: usize, element: usize| half(token * 131 + element + 7);
            let value = |token: usize, element: usize| half(token * 257 + element + 3);
            let pages = tokens.div_ceil(PAGE);
            let mut keys = vec![vec![f16::NAN; PAGE * width]; pages];
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
                    hidden,
                    scale: 0.3,
                    cap,
                    waits: seed % 2 == 0,
                    scores: &mut Vec::new(),
                },
                keys.iter().map(Vec::as_slice),
                values.iter().map(Vec::as_slice),
            );
            for (query, attended) in queries.chunks(width).zip(attended.chunks(width)) {
                let score = |token| {
                    let products = query.iter().enumerate().map(|(e, q)| f64::from(*q) * f64::from(key(token, e)));
                    let score = products.sum::<f64>() * f64::from(0.3f32);
                    let cap = cap.map(f64::from);
                    cap.map_or(score, |cap| cap * (score / cap).tanh()).exp()
                };
                let seen = |token| if token < hidden { 0.0 } else { score(token) };
                let weights: Vec<f64> = (0..tokens).map(seen).collect();
                let total: f64 = weights.iter().sum();
                for (element, result) in attended.iter().enumerate() {
                    let sum: f64 = (0..tokens).map(|t| weights[t] * f64::from(value(t, element))).sum();
                    prop_assert!((f64::from(*result) - sum / total).abs() < 1e-4, "{result} {}", sum / total);
                }
            }
        }
    }
}
