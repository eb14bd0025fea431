//! The arithmetic between matrix products, over plain slices.
//!
//! Invariant: every function treats one row by itself, in one fixed order of additions, so that neither the batch nor
//! the chunking of a prompt can change a bit of the result.

/// Lanes of partial sums: one AVX-512 register, two AVX2, four NEON.
const LANES: usize = 16;

/// The inner product; extra elements of the longer slice are ignored.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, rest_a) = a.as_chunks::<LANES>();
    let (whole_b, rest_b) = b.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for (x, y) in whole_a.iter().zip(whole_b) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f32>() + rest
}

/// `y += scale * x`.
pub fn add_scaled(y: &mut [f32], scale: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += scale * x;
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
    let mean_square = dot(x, x) / x.len().max(1) as f32;
    let scale = 1.0 / (mean_square + epsilon).sqrt();
    for (x, w) in x.iter_mut().zip(weight) {
        *x = *x * scale * w;
    }
}

/// Turns scores into probabilities that sum to 1; the largest is subtracted first, so that nothing overflows.
pub fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f32;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += *score;
    }
    let scale = 1.0 / sum;
    for score in scores {
        *score *= scale;
    }
}

/// The gated unit of Llama (`SwiGLU`, arXiv:2002.05202): `gate = silu(gate) * up`.
pub fn gate_with_silu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + (-*gate).exp()) * up;
    }
}

#[cfg(test)]
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
