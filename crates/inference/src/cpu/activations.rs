//! Activation rows, and their bytes: blocks of 32 columns as whole numbers of -127 to 127 with one scale, made when the
//! first matrix asks for them and used by all that follow.
//!
//! Rows lie in panels of 8, 4, 2 and 1: the blocks of a panel's rows side by side, so that a kernel reads one run of memory.
//! Which panel a row is in changes no bit of its result.
//!
//! Where precision asks for it, rows of what the bytes leave follow the rows, as bytes with scales of their own.
//!
//! Invariants: the bytes are never those of other rows, because rows can only be changed through [`Activations::rows_mut`].
//! A block with an element that is no finite number has a scale that is none, so that it cannot pass for a result; one so
//! small that a scale of it could not be inverted (below 3.7e-37) is zero.
#![allow(
    clippy::inline_always,
    reason = "what is compiled anew for each kind of processor must be part of the function that is"
)]

use super::kernels;
use super::kind::Kind;
use super::precision::Precision;
use super::shape::BLOCK;

/// The largest panel.
pub(super) const PANEL: usize = 8;
/// What the bytes of one block of a row take, in floats.
pub(crate) const FLOATS_OF_BLOCK: usize = size_of::<Block>() / size_of::<f32>();

/// 32 columns of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub(super) struct Block {
    /// The whole numbers.
    pub(super) bytes: [i8; BLOCK],
    /// What a whole number stands for.
    pub(super) scale: f32,
    /// The sum of all its columns, as scaled.
    pub(super) total: f32,
    /// The sums of its first 16 whole numbers and of its last.
    pub(super) sums: [i32; 2],
}

/// Rows of 32 bit floats, with their bytes once somebody asked.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    rows: Vec<f32>,
    precision: Precision,
    /// The rows and what their bytes leave, where that is asked for.
    planes: Vec<f32>,
    blocks: Vec<Block>,
    fresh: bool,
}

/// Rows that a kernel takes at once.
pub(super) struct Panel<'a> {
    /// The first row.
    pub(super) first: usize,
    /// How many.
    pub(super) rows: usize,
    /// The blocks of its rows side by side, block after block.
    pub(super) blocks: &'a [Block],
}

impl Block {
    /// A block of these whole numbers, with the sums of its halves.
    #[inline(always)]
    pub(super) fn of(bytes: [i8; BLOCK], scale: f32, sums: [i32; 2]) -> Self {
        let [first, last] = sums;
        Self {
            bytes,
            scale,
            total: (first + last) as f32 * scale,
            sums,
        }
    }

    /// A block that has no scale: of zeros, or of something that is no number.
    #[inline(always)]
    pub(super) fn without_scale(largest: f32) -> Self {
        let scale = if largest.is_finite() { 0.0 } else { f32::NAN };
        Self {
            scale,
            total: scale,
            ..Self::default()
        }
    }

    /// Four columns in one word, the first in the lowest bits; as the kernels for x86-64 take them.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn word(&self, index: usize) -> i32 {
        let four = self.bytes.as_chunks::<4>().0.get(index);
        let [a, b, c, d] = four.copied().unwrap_or_default();
        let (a, b) = (a.cast_unsigned(), b.cast_unsigned());
        i32::from_le_bytes([a, b, c.cast_unsigned(), d.cast_unsigned()])
    }
}

impl Activations {
    /// No rows yet.
    pub(crate) fn new(precision: Precision) -> Self {
        Self {
            precision,
            ..Self::default()
        }
    }

    /// The rows.
    pub(crate) fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// The rows, to be changed.
    pub(crate) fn rows_mut(&mut self) -> &mut Vec<f32> {
        self.fresh = false;
        &mut self.rows
    }

    /// The rows' bytes, as rows of `columns`, which is a multiple of 32; then those of what they leave, if there are such.
    pub(super) fn panels(&mut self, kind: Kind, columns: usize) -> Panels<'_> {
        let columns = columns.max(1);
        let of_row = columns / BLOCK;
        let count = self.rows.len() / columns * self.precision.planes();
        if !self.fresh {
            let rows = match self.precision {
                Precision::Fast => &self.rows,
                Precision::Exact => {
                    self.planes.clear();
                    self.planes.extend_from_slice(&self.rows);
                    kernels::leave(kind, &self.rows, &mut self.planes);
                    &self.planes
                }
            };
            // All are written below.
            self.blocks.resize(count * of_row, Block::default());
            kernels::quantise(kind, rows.chunks_exact(columns), of_row, &mut self.blocks);
            self.fresh = true;
        }
        Panels {
            blocks: &self.blocks,
            of_row,
            first: 0,
            count,
        }
    }
}

/// How many of `left` rows the next panel takes.
pub(super) const fn panel_rows(left: usize) -> usize {
    match left {
        PANEL.. => PANEL,
        4.. => 4,
        2.. => 2,
        _ => left,
    }
}

/// The panels of all rows.
#[derive(Clone)]
pub(super) struct Panels<'a> {
    blocks: &'a [Block],
    of_row: usize,
    first: usize,
    count: usize,
}

impl<'a> Iterator for Panels<'a> {
    type Item = Panel<'a>;

    fn next(&mut self) -> Option<Panel<'a>> {
        let (first, rows) = (self.first, panel_rows(self.count - self.first));
        if rows == 0 {
            return None;
        }
        self.first += rows;
        let blocks = self
            .blocks
            .get(first * self.of_row..self.first * self.of_row)?;
        Some(Panel {
            first,
            rows,
            blocks,
        })
    }
}

/// How a block is made; the same bits by whoever does it.
pub(super) trait Rounding {
    /// The bytes of these 32 columns.
    fn block(source: &[f32; BLOCK]) -> Block;
}

/// In plain Rust.
pub(super) struct Plain;

/// Makes the blocks of all rows; compiled anew for each kind of kernel. No product is fused with a sum, so that all kinds
/// give the same bits.
#[inline(always)]
pub(super) fn quantise<'a, R: Rounding>(
    rows: impl ExactSizeIterator<Item = &'a [f32]>,
    of_row: usize,
    mut blocks: &mut [Block],
) {
    let mut left = rows.len();
    let mut lane = 0;
    for row in rows {
        let panel = panel_rows(left);
        let Some((here, _)) = blocks.split_at_mut_checked(panel * of_row) else {
            return;
        };
        let targets = here.chunks_exact_mut(panel.max(1));
        for (source, targets) in row.as_chunks::<BLOCK>().0.iter().zip(targets) {
            if let Some(target) = targets.get_mut(lane) {
                *target = R::block(source);
            }
        }
        lane += 1;
        if lane == panel {
            left -= panel;
            lane = 0;
            blocks = blocks.split_at_mut(panel * of_row).1;
        }
    }
}

/// Appends what the bytes of each block leave of it.
#[inline(always)]
pub(super) fn leave<R: Rounding>(rows: &[f32], planes: &mut Vec<f32>) {
    for source in rows.as_chunks::<BLOCK>().0 {
        let block = R::block(source);
        let mut left = [0.0; BLOCK];
        for ((left, x), byte) in left.iter_mut().zip(source).zip(block.bytes) {
            *left = *x - block.scale * f32::from(byte);
        }
        planes.extend_from_slice(&left);
    }
}

impl Rounding for Plain {
    #[inline(always)]
    fn block(source: &[f32; BLOCK]) -> Block {
        // As whole numbers the magnitudes are ordered as they are as floats, and what is not finite is above all that is.
        let magnitudes = source.iter().map(|x| x.to_bits() & 0x7fff_ffff);
        let largest = f32::from_bits(magnitudes.fold(0, u32::max));
        let Some((scale, inverse)) = scale_of(largest) else {
            return Block::without_scale(largest);
        };
        let mut bytes = [0i8; BLOCK];
        for (whole, x) in bytes.iter_mut().zip(source) {
            *whole = (x * inverse + ALMOST_HALF.copysign(*x)) as i32 as i8;
        }
        let (first, last) = bytes.split_at(BLOCK / 2);
        let sums = [first, last].map(|bytes| bytes.iter().map(|x| i32::from(*x)).sum());
        Block::of(bytes, scale, sums)
    }
}

/// The nearest whole number, ties away from zero, is what is left without its fraction once this is added with the number's
/// sign: the number below one half keeps what is below it from being one.
pub(super) const ALMOST_HALF: f32 = 0.499_999_97;

/// What a whole number stands for where the largest magnitude is 127, and its inverse, if there are such.
#[inline(always)]
pub(super) fn scale_of(largest: f32) -> Option<(f32, f32)> {
    let scale = largest / 127.0;
    let inverse = 1.0 / scale;
    (largest.is_finite() && inverse.is_finite()).then_some((scale, inverse))
}
