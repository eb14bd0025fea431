//! Sums and inner products over plain slices.
//!
//! Invariant: every function treats one row by itself, in one fixed order of additions, so that neither the batch nor
//! the chunking of a prompt can change a bit of the result. The orders are those of candle's own kernels for one row:
//! activations are rounded to 8 bits before every matrix, so another last bit here can become another token.
#![allow(
    clippy::inline_always,
    reason = "what is compiled anew for each kind of processor must be part of the function that is"
)]

/// Lanes of partial sums.
const LANES: usize = 8;

/// `a * b + c`, rounded once where the machine can; in software that would be slow, so there it is rounded twice.
#[inline(always)]
pub(crate) fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
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

#[inline(always)]
fn add_four(mut first: [f32; 4], second: [f32; 4]) -> [f32; 4] {
    add(&mut first, &second);
    first
}

/// The sum, in the order of candle's vector sum: four registers of eight, the rest one by one.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f32 {
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

/// `y += x`.
#[inline(always)]
pub fn add(y: &mut [f32], x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// `y *= factor`; by 1 nothing is done.
pub fn scale(y: &mut [f32], factor: f32) {
    if factor.to_bits() != 1.0f32.to_bits() {
        for y in y {
            *y *= factor;
        }
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
}
