//! The arithmetic between matrix products, over plain slices.
//!
//! Invariant: every function treats one row by itself, in one fixed order of additions, so that neither the batch nor
//! the chunking of a prompt can change a bit of the result. The orders are those of candle's own kernels for one row:
//! activations are rounded to 8 bits before every matrix, so another last bit here can become another token.

/// Lanes of partial sums.
const LANES: usize = 8;

/// `a * b + c`, rounded once where the machine can; in software that would be slow, so there it is rounded twice.
#[inline]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// The inner product; extra elements of the longer slice are ignored.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, rest_a) = a.as_chunks::<LANES>();
    let (whole_b, rest_b) = b.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for (a, b) in whole_a.iter().zip(whole_b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = multiply_add(*a, *b, *lane);
        }
    }
    let ([first, second], _) = lanes.as_chunks::<4>() else {
        return 0.0;
    };
    let [zeroth, first, second, third] = add_four(*first, *second);
    let whole = (zeroth + second) + (first + third);
    let rest = rest_a.iter().zip(rest_b);
    rest.fold(whole, |sum, (a, b)| multiply_add(*a, *b, sum))
}

#[inline]
fn add_four(mut first: [f32; 4], second: [f32; 4]) -> [f32; 4] {
    add(&mut first, &second);
    first
}

/// The sum, in the order of candle's vector sum: four registers of eight, the rest one by one.
fn sum(values: &[f32]) -> f32 {
    let (blocks, rest) = values.as_chunks::<32>();
    let mut lanes = [0.0f32; 32];
    for block in blocks {
        add(&mut lanes, block);
    }
    // Registers 0 + 1 and 2 + 3, these two, then their halves.
    let (pairs, _) = lanes.as_chunks_mut::<16>();
    for pair in pairs.iter_mut() {
        let (kept, added) = pair.split_at_mut(8);
        add(kept, added);
    }
    let [low, high] = pairs else { return 0.0 };
    add(low, high);
    let ([first, second, ..], _) = low.as_chunks::<4>() else {
        return 0.0;
    };
    let [w, x, y, z] = add_four(*first, *second);
    let whole = (w + x) + (y + z);
    rest.iter().fold(whole, |sum, x| sum + x)
}

/// `y += scale * x`.
#[inline]
pub fn add_scaled(y: &mut [f32], scale: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = multiply_add(scale, *x, *y);
    }
}

/// `y += x`.
pub fn add(y: &mut [f32], x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// Root mean square norm (arXiv:1910.07467) of `x` in place, times `weight`.
pub fn rms_norm(x: &mut [f32], weight: &[f32], epsilon: f32) {
    let squares: f32 = x.iter().map(|x| x * x).sum();
    let root = (squares / x.len().max(1) as f32 + epsilon).sqrt();
    for (x, w) in x.iter_mut().zip(weight) {
        *x = *x / root * w;
    }
}

/// Turns scores into probabilities that sum to 1; the largest is subtracted first, so that nothing overflows.
pub fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
    }
    let total = sum(scores);
    for score in scores {
        *score /= total;
    }
}

/// The gated unit of Llama (`SwiGLU`, arXiv:2002.05202): `gate = silu(gate) * up`.
pub fn gate_with_silu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + (-*gate).exp()) * up;
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    #[test]
    fn dot_covers_whole_lanes_and_the_rest() {
        for length in [0, 1, 15, 16, 17, 64, 71] {
            let a: Vec<f32> = (0..length).map(|i| i as f32).collect();
            let expected: f32 = a.iter().map(|x| x * 2.0).sum();
            assert_eq!(dot(&a, &vec![2.0; length]), expected, "length {length}");
        }
    }

    #[test]
    fn softmax_survives_large_scores() {
        let mut scores = [1000.0, 1000.0, f32::NEG_INFINITY];
        softmax(&mut scores);
        assert_eq!(scores, [0.5, 0.5, 0.0]);
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
        assert_eq!(gate[0], 0.0);
        assert!((gate[1] - 2.0 / (1.0 + (-1.0f32).exp())).abs() < 1e-6);
    }
}
