//! Sixteen numbers at once: in registers where the processor has them, in memory elsewhere. No product is fused with a sum,
//! so that all kinds of kernel give the same bits.
#![allow(
    clippy::inline_always,
    reason = "what is compiled anew for each kind of processor must be part of the function that is"
)]

use half::{bf16, f16};

/// How many.
pub(super) const LANES: usize = 16;

/// Numbers of 16 bits in what a processor fetches at once.
#[cfg(target_arch = "x86_64")]
pub(super) const LINE: usize = 32;

/// Sixteen numbers in memory.
pub(super) type Lanes = [f32; LANES];

/// Sixteen numbers in registers. The compiler does not keep arrays of them there by itself.
pub(super) trait Sixteen: Copy {
    /// Whether there are registers for 24 of them.
    const MANY: bool;

    /// All zero.
    fn zero() -> Self;
    /// These numbers.
    fn of(numbers: &Lanes) -> Self;
    /// Numbers of 16 bits, widened.
    fn widened(halves: &[f16; LANES]) -> Self;
    /// Numbers of which there are the upper 16 bits.
    fn widened_upper(halves: &[bf16; LANES]) -> Self;
    /// `factor * self`.
    #[must_use]
    fn times(self, factor: f32) -> Self;
    /// `self + factor * values`, rounded after each.
    #[must_use]
    fn add_product(self, factor: f32, values: Self) -> Self;
    /// The sums.
    #[must_use]
    fn plus(self, other: Self) -> Self;
    /// The numbers.
    fn numbers(self) -> Lanes;
    /// Has the processor bring these nearer, if it can be asked.
    fn ask_for(halves: &[f16]);
}

impl Sixteen for Lanes {
    const MANY: bool = false;

    #[inline(always)]
    fn zero() -> Self {
        [0.0; LANES]
    }

    #[inline(always)]
    fn of(numbers: &Lanes) -> Self {
        *numbers
    }

    #[inline(always)]
    fn widened(halves: &[f16; LANES]) -> Self {
        halves.map(f16::to_f32)
    }

    #[inline(always)]
    fn widened_upper(halves: &[bf16; LANES]) -> Self {
        halves.map(|half| f32::from_bits(u32::from(half.to_bits()) << 16))
    }

    #[inline(always)]
    fn times(self, factor: f32) -> Self {
        self.map(|value| factor * value)
    }

    #[inline(always)]
    fn add_product(mut self, factor: f32, values: Self) -> Self {
        for (sum, value) in self.iter_mut().zip(values) {
            *sum += factor * value;
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

    #[inline(always)]
    fn ask_for(_: &[f16]) {}
}
