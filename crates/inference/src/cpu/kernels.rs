//! The products, for each kind of processor; the only place that is unsafe.
//!
//! All three compute the same: for each row of weights and of activations a sum over the blocks in their order,
//! `sum += whole * d * scale + m * total`, each operation rounded by itself; `whole` is a sum of whole numbers, exact in any
//! order. So their results have the same bits, but for those of a NaN. It is the order of candle's plain kernels, to whose
//! answers ours are compared; a fused `m * total` would be faster, and every last bit another.
#![allow(
    unsafe_code,
    reason = "loads of vectors, and calls of functions that need what the processor was asked for; each says why it may"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use super::activations::{self, Activations, Block};
use super::kind::Kind;
use super::pack::Packed;
use super::shape::TILE;

impl Packed {
    /// Multiplies each row of `input`, rows of this matrix's columns, into a row of `output`, which has exactly as many
    /// rows of this matrix's rows.
    pub(crate) fn apply(&self, kind: Kind, input: &mut Activations, output: &mut [f32]) {
        let panels = input.panels(kind, self.columns());
        match kind {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a kind is only made once the processor was asked for all that its functions are compiled for.
            Kind::Avx512 if kind.is_here() => unsafe { avx512::apply(self, &panels, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Kind::Avx2 if kind.is_here() => unsafe { avx2::apply(self, &panels, output) },
            _ => portable::apply(self, &panels, output),
        }
    }
}

/// Makes the blocks of all rows; see [`activations::quantise`].
pub(super) fn quantise<'a>(
    kind: Kind,
    rows: impl ExactSizeIterator<Item = &'a [f32]>,
    of_row: usize,
    blocks: &mut [Block],
) {
    match kind {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor was asked, just now.
        Kind::Avx512 if kind.is_here() => unsafe { avx512::quantise(rows, of_row, blocks) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Kind::Avx2 if kind.is_here() => unsafe { avx2::quantise(rows, of_row, blocks) },
        _ => activations::quantise(rows, of_row, blocks),
    }
}

/// Writes what a tile gives for row `row` into its place among `rows` results of the row.
#[inline(always)]
fn store(output: &mut [f32], rows: usize, row: usize, tile: usize, values: &[f32; TILE]) {
    let from = tile * TILE;
    let width = TILE.min(rows.saturating_sub(from));
    let target = output.get_mut(row * rows + from..row * rows + from + width);
    if let (Some(target), Some(values)) = (target, values.get(..width)) {
        target.copy_from_slice(values);
    }
}
