//! Weights that are floats by themselves, of 32 bits or 16: how they lie in tiles, and their product.
//!
//! A tile is 16 rows, column after column, the 16 numbers of a column side by side: a line where they have 32 bits, half of one
//! where they have 16. So it takes what the file takes, but for the last rows, and half a line a tile where the columns are
//! odd. Any number of columns will do.
//!
//! They meet activations as these are, whatever the precision: nothing is rounded but products and sums, to 32 bits.
//!
//! Invariant: a result is one chain over pairs of columns in their order, `sum += x0 * w0 + x1 * w1`, and the last column of an
//! odd number; every operation is rounded by itself. So its bits depend neither on the rows beside it, nor on the tiles that
//! are asked for, nor on the kind of kernel. Pairs, so that an addition waits for the one before it half as often.
#![allow(
    clippy::inline_always,
    reason = "what is compiled anew for each kind of processor must be part of the function that is"
)]

use bytemuck::Pod;
use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use super::activations::panel_rows;
use super::kernels::Output;
use super::lanes::Sixteen;
use super::pack::{Line, Packed};
use super::shape::TILE;
use crate::format::Format;

/// Columns that are packed of one row after the other: 16 rows of them stay in the nearest cache, as they lie in the file and
/// in the tile.
const COLUMNS_AT_ONCE: usize = 64;

/// Which floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wide {
    F32,
    F16,
    Bf16,
}

/// A float as it lies in a tile.
trait Number: Pod {
    /// The numbers of a column, as 32 bits.
    fn widened<V: Sixteen>(column: &[Self; TILE]) -> V;
    /// One of them.
    fn to_f32(self) -> f32;
    /// The number of these bytes, as many as it has.
    fn of_file(bytes: &[u8]) -> Option<Self>;
}

/// Calls `$function::<Number>` of the floats.
macro_rules! for_wide {
    ($wide:expr, $function:ident $(::<$also:ident>)?($($argument:expr),*)) => {
        match $wide {
            Wide::F32 => $function::<$($also,)? f32>($($argument),*),
            Wide::F16 => $function::<$($also,)? f16>($($argument),*),
            Wide::Bf16 => $function::<$($also,)? bf16>($($argument),*),
        }
    };
}

impl Wide {
    /// The floats of a format, if it has nothing else.
    pub(super) const fn of(format: Format) -> Option<Self> {
        Some(match format.dtype() {
            GgmlDType::F32 => Self::F32,
            GgmlDType::F16 => Self::F16,
            GgmlDType::BF16 => Self::Bf16,
            _ => return None,
        })
    }

    /// Bytes of one.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Lines of a tile of so many columns.
    pub(super) const fn lines_of_tile(self, columns: usize) -> usize {
        match self {
            Self::F32 => columns,
            Self::F16 | Self::Bf16 => columns.div_ceil(2),
        }
    }

    /// Packs up to 16 rows of the file into a tile that is zero.
    pub(super) fn pack_tile(self, tile: &mut [Line], rows: &[u8], row_bytes: usize) {
        for_wide!(self, pack_numbers(tile, rows, row_bytes));
    }

    /// Writes lane `lane` of a tile as 32 bit floats, as many as `target` has; false where it has fewer.
    pub(super) fn widen(self, tile: &[Line], lane: usize, target: &mut [f32]) -> bool {
        for_wide!(self, widen_numbers(tile, lane, target))
    }
}

fn pack_numbers<N: Number>(tile: &mut [Line], rows: &[u8], row_bytes: usize) {
    let columns: &mut [[N; TILE]] = bytemuck::try_cast_slice_mut(tile).unwrap_or_default();
    let bytes_at_once = COLUMNS_AT_ONCE * size_of::<N>();
    for (index, columns) in columns.chunks_mut(COLUMNS_AT_ONCE).enumerate() {
        for (lane, row) in rows.chunks_exact(row_bytes).enumerate().take(TILE) {
            let numbers = row.get(index * bytes_at_once..).unwrap_or_default();
            for (column, bytes) in columns.iter_mut().zip(numbers.chunks_exact(size_of::<N>())) {
                if let (Some(target), Some(number)) = (column.get_mut(lane), N::of_file(bytes)) {
                    *target = number;
                }
            }
        }
    }
}

fn widen_numbers<N: Number>(tile: &[Line], lane: usize, target: &mut [f32]) -> bool {
    let columns = columns_of::<N>(tile);
    for (target, column) in target.iter_mut().zip(columns) {
        let Some(number) = column.get(lane) else {
            return false;
        };
        *target = number.to_f32();
    }
    columns.len() >= target.len()
}

/// The columns of a tile, and a half line more where they are odd and of 16 bits.
#[inline(always)]
fn columns_of<N: Number>(tile: &[Line]) -> &[[N; TILE]] {
    bytemuck::try_cast_slice(tile).unwrap_or_default()
}

/// Multiplies each row of `input` with the rows of some tiles; compiled anew for each kind of kernel.
#[inline(always)]
pub(super) fn multiply<V: Sixteen>(
    wide: Wide,
    packed: &Packed,
    input: &[f32],
    output: &mut Output,
) {
    for_wide!(wide, multiply_numbers::<V>(packed, input, output));
}

#[inline(always)]
fn multiply_numbers<V: Sixteen, N: Number>(packed: &Packed, input: &[f32], output: &mut Output) {
    let width = packed.columns().max(1);
    for (index, tile) in packed.tiles(output.tiles.clone()) {
        let columns = columns_of::<N>(tile.0).get(..width).unwrap_or_default();
        let (mut first, mut left) = (0, input);
        loop {
            let rows = rows_at_once::<V>(left.len() / width);
            let (some, later) = left.split_at_checked(rows * width).unwrap_or_default();
            match rows {
                8 => put(of_tile::<V, N, 8>(columns, some), first, index, output),
                4 => put(of_tile::<V, N, 4>(columns, some), first, index, output),
                2 => put(of_tile::<V, N, 2>(columns, some), first, index, output),
                1 => put(of_tile::<V, N, 1>(columns, some), first, index, output),
                _ => break,
            }
            first += rows;
            left = later;
        }
    }
}

/// Of so many rows that are left, as many as have their sums in registers.
#[inline(always)]
const fn rows_at_once<V: Sixteen>(left: usize) -> usize {
    let rows = panel_rows(left);
    if V::MANY || rows < 4 { rows } else { 4 }
}

#[inline(always)]
fn put<V: Sixteen, const M: usize>(sums: [V; M], first: usize, tile: usize, output: &mut Output) {
    for (row, sum) in sums.into_iter().enumerate() {
        output.store(first + row, tile, &sum.numbers());
    }
}

/// The results of a tile's 16 rows for each of M rows of activations.
#[inline(always)]
fn of_tile<V: Sixteen, N: Number, const M: usize>(columns: &[[N; TILE]], input: &[f32]) -> [V; M] {
    let mut sums = [V::zero(); M];
    let (pairs, last) = columns.as_chunks::<2>();
    let mut rows: [&[[f32; 2]]; M] = [&[]; M];
    let mut ends = [0.0; M];
    let mut left = input;
    for (row, end) in rows.iter_mut().zip(&mut ends) {
        let Some((own, later)) = left.split_at_checked(columns.len()) else {
            return sums;
        };
        let (own, rest) = own.as_chunks::<2>();
        // A length that the compiler knows, so that it looks no further.
        let Some(own) = own.get(..pairs.len()) else {
            return sums;
        };
        *row = own;
        *end = rest.first().copied().unwrap_or_default();
        left = later;
    }
    for (index, [even, odd]) in pairs.iter().enumerate() {
        let (even, odd) = (N::widened::<V>(even), N::widened::<V>(odd));
        for (sum, row) in sums.iter_mut().zip(rows) {
            if let Some([a, b]) = row.get(index) {
                *sum = sum.plus(even.times(*a).add_product(*b, odd));
            }
        }
    }
    if let Some(column) = last.first() {
        let column = N::widened::<V>(column);
        for (sum, end) in sums.iter_mut().zip(ends) {
            *sum = sum.add_product(end, column);
        }
    }
    sums
}

impl Number for f32 {
    #[inline(always)]
    fn widened<V: Sixteen>(column: &[Self; TILE]) -> V {
        V::of(column)
    }

    fn to_f32(self) -> f32 {
        self
    }

    fn of_file(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|bytes| Self::from_le_bytes(*bytes))
    }
}

impl Number for f16 {
    #[inline(always)]
    fn widened<V: Sixteen>(column: &[Self; TILE]) -> V {
        V::widened(column)
    }

    fn to_f32(self) -> f32 {
        self.to_f32()
    }

    fn of_file(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|bytes| Self::from_le_bytes(*bytes))
    }
}

impl Number for bf16 {
    #[inline(always)]
    fn widened<V: Sixteen>(column: &[Self; TILE]) -> V {
        V::widened_upper(column)
    }

    fn to_f32(self) -> f32 {
        self.to_f32()
    }

    fn of_file(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|bytes| Self::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
#[path = "wide_tests.rs"]
mod tests;
