//! What stands between the products: norms and the gate, in plain Rust that is compiled anew for each kind of kernel.
//!
//! Invariants: every function treats one row by itself, in one order of additions, so that neither the batch, nor the
//! chunking of a prompt, nor the kind of processor changes a bit of the result. The orders are those of candle's own kernels
//! for one row: activations are rounded to 8 bits before every matrix, so another last bit here can become another token.
#![allow(
    clippy::inline_always,
    reason = "what is compiled anew for each kind of processor must be part of the function that is"
)]

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
    use super::*;

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
}
