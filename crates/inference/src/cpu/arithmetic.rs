//! What stands between the products: norms and the gate, in plain Rust that is compiled anew for each kind of kernel.
//!
//! Invariants: every function treats one row by itself, in one order of additions, so that neither the batch, nor the
//! chunking of a prompt, nor the kind of processor changes a bit of the result: activations are rounded to 8 bits before every
//! matrix, so another last bit here can become another token.
#![allow(
    clippy::inline_always,
    reason = "what is compiled anew for each kind of processor must be part of the function that is"
)]

use super::lanes::{LANES, Lanes};

/// Root mean square norm (arXiv:1910.07467) of `x`, times `weight`, into `target`; all three are as long.
#[inline(always)]
pub(super) fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, target: &mut [f32]) {
    let inverse = inverse_root(x, epsilon);
    for ((target, x), w) in target.iter_mut().zip(x).zip(weight) {
        *target = x * inverse * w;
    }
}

/// As [`rms_norm`], in place, for each of the rows in `rows`, which are as long as `weight`.
#[inline(always)]
pub(super) fn rms_norm_in_place(rows: &mut [f32], weight: &[f32], epsilon: f32) {
    for row in rows.chunks_exact_mut(weight.len().max(1)) {
        let inverse = inverse_root(row, epsilon);
        for (x, w) in row.iter_mut().zip(weight) {
            *x = *x * inverse * w;
        }
    }
}

/// What brings the root mean square of `x` to 1. Squares are summed in sixteen chains, so that none waits for another.
#[inline(always)]
fn inverse_root(x: &[f32], epsilon: f32) -> f32 {
    let mut chains = [0.0f32; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for x in whole {
        for (chain, x) in chains.iter_mut().zip(x) {
            *chain += x * x;
        }
    }
    let squares = rest.iter().fold(sum_of_lanes(chains), |sum, x| sum + x * x);
    1.0 / (squares / x.len().max(1) as f32 + epsilon).sqrt()
}

/// Halves are added until one number is left.
#[inline(always)]
fn sum_of_lanes(lanes: Lanes) -> f32 {
    let mut lanes = lanes;
    for half in [8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high;
        }
    }
    lanes.first().copied().unwrap_or_default()
}

/// The gated unit of Llama (`SwiGLU`, arXiv:2002.05202): `gate = silu(gate) * up`.
#[inline(always)]
pub(super) fn gate_with_silu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + quick_exponential(-*gate)) * up;
    }
}

/// The same with GELU (arXiv:1606.08415) in the form of a hyperbolic tangent, written with one exponential:
/// `1 + tanh(u) = 2 / (1 + e^-2u)`.
#[inline(always)]
pub(super) fn gate_with_gelu(gate: &mut [f32], up: &[f32]) {
    /// `2 * sqrt(2/pi)`.
    const TWICE_ROOT: f32 = 1.595_769;
    for (gate, up) in gate.iter_mut().zip(up) {
        let x = *gate;
        let twice = TWICE_ROOT * (x + 0.044_715 * x * x * x);
        *gate = x / (1.0 + quick_exponential(-twice)) * up;
    }
}

/// Each number between minus and plus `cap`: `cap * tanh(x / cap)`.
#[inline(always)]
pub(super) fn keep_within(values: &mut [f32], cap: f32) {
    for value in values {
        *value = cap - 2.0 * cap / (1.0 + quick_exponential(2.0 * *value / cap));
    }
}

/// `e^x` to 3 parts of ten million, in half the time of [`exponential`]: 0 below -87, and 2e38 above 88. The steps are those of
/// the Cephes library's `expf`: a power of two, and a polynomial of what is left.
#[inline(always)]
pub(super) fn quick_exponential(x: f32) -> f32 {
    /// 1.5 * 2^23: what is added to it loses its fraction.
    const ROUND: f32 = 12_582_912.0;
    let held = if x > 88.0 { 88.0 } else { x };
    let held = if held < -87.0 { -87.0 } else { held };
    let shifted = held * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    // ln 2 in two parts, the first of so few bits that its product is exact.
    let r = held - whole * 0.693_359_4 - whole * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        5e-1,
    ] {
        p = p * r + c;
    }
    // The lowest bits of `shifted` are the whole power of two.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    let value = (p * (r * r) + r + 1.0) * power;
    if x < -87.0 { 0.0 } else { value }
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
    use super::*;

    #[test]
    fn a_normed_row_has_the_root_mean_square_of_its_weight() {
        for length in [1, 2, 15, 16, 17, 64, 71] {
            let number = |i: usize| (i * 7 % 13) as f32 - 6.5;
            let x: Vec<f32> = (0..length).map(number).collect();
            let weight: Vec<f32> = (0..length).map(|i| number(i + 3)).collect();
            let squares: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            let root = (squares / length as f64 + 0.1).sqrt();
            let (mut normed, mut in_place) = (vec![f32::NAN; length], x.clone());
            rms_norm(&x, &weight, 0.1, &mut normed);
            rms_norm_in_place(&mut in_place, &weight, 0.1);
            assert_eq!(normed, in_place, "length {length}");
            for ((normed, x), weight) in normed.iter().zip(&x).zip(&weight) {
                let expected = f64::from(*x) / root * f64::from(*weight);
                assert!(
                    (f64::from(*normed) - expected).abs() < 1e-5,
                    "{normed} {expected}"
                );
            }
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
    fn the_other_gate_is_gelu() {
        let mut x = -12.0f32;
        while x < 12.0 {
            let wide = f64::from(x);
            let u = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
            let expected = 0.5 * wide * (1.0 + u.tanh()) * 2.0;
            let mut gate = [x];
            gate_with_gelu(&mut gate, &[2.0]);
            assert!(
                (f64::from(gate[0]) - expected).abs() < 1e-5,
                "{x}: {gate:?} {expected}"
            );
            x += 0.0137;
        }
        let mut gate = [1e30, -1e30, f32::NAN];
        gate_with_gelu(&mut gate, &[1.0; 3]);
        assert!(
            gate[0] == 1e30 && gate[1].abs() < 1e-7 && gate[2].is_nan(),
            "{gate:?}"
        );
    }

    #[test]
    fn what_is_kept_within_a_cap_keeps_its_order_and_small_numbers() {
        let mut values = [
            0.0,
            0.01,
            -0.01,
            5.0,
            1e9,
            -1e9,
            f32::INFINITY,
            f32::NEG_INFINITY,
        ];
        keep_within(&mut values, 30.0);
        let expected = [
            0.0,
            0.01,
            -0.01,
            30.0 * (5.0f32 / 30.0).tanh(),
            30.0,
            -30.0,
            30.0,
            -30.0,
        ];
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 2e-5, "{value} {expected}");
        }
    }

    #[test]
    fn the_quick_exponential_is_near_enough_and_total() {
        let mut x = -87.0f32;
        while x <= 88.0 {
            let (ours, real) = (f64::from(quick_exponential(x)), f64::from(x).exp());
            assert!(
                (ours / real - 1.0).abs() < 3e-7,
                "e^{x}: {ours}, but it is {real}"
            );
            x += 0.0137;
        }
        assert_eq!(quick_exponential(0.0), 1.0);
        assert_eq!(quick_exponential(f32::NEG_INFINITY).to_bits(), 0);
        assert!(quick_exponential(f32::INFINITY) > 1e38);
        assert!(quick_exponential(f32::NAN).is_nan());
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
}
