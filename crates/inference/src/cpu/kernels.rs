//! The products, for each kind of processor; the only place that is unsafe.
//!
//! All three compute the same: for each row of weights and of activations a sum over the blocks in their order,
//! `sum += whole * d * scale + m * total`, each operation rounded by itself; `whole` is a sum of whole numbers, exact in any
//! order. So their results have the same bits, but for those of a NaN. A fused `m * total` would give
//! other last bits where a processor cannot fuse. Weights that are floats are multiplied as `wide` says, the same everywhere.
#![allow(
    unsafe_code,
    reason = "loads of vectors, calls of functions that need what the processor was asked for, and a mapped file; each says why it may"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
mod view;

use std::ops::Range;

use super::activations::{self, Activations, Block, Plain};
use super::arithmetic;
use super::attention::{self, Attention};
use super::kind::Kind;
use super::lanes::Lanes;
use super::pack::{Layout, Packed};
use super::shape::TILE;
use super::wide;
use crate::blueprint::Gate;
use crate::ops;

pub(crate) use view::View;

/// Calls a function as it was compiled for a kind of processor, or `plain` on any.
macro_rules! on {
    ($kind:expr, $function:ident($($argument:expr),*), $plain:expr) => {
        match $kind {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has what the function is compiled for: it was asked, just now.
            kind @ Kind::Avx512 if kind.is_here() => unsafe { avx512::$function($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            kind @ Kind::Avx2 if kind.is_here() => unsafe { avx2::$function($($argument),*) },
            _ => $plain,
        }
    };
}

/// Plain functions, compiled anew for a kind of processor: the same operations in the same order, more of them at once. They
/// take its `Numbers`, and its `Rounder`.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled_anew {
    ($features:literal) => {
        #[target_feature(enable = $features)]
        pub(super) fn quantise<'a>(
            rows: impl ExactSizeIterator<Item = &'a [f32]>,
            of_row: usize,
            blocks: &mut [crate::cpu::activations::Block],
        ) {
            crate::cpu::activations::quantise::<Rounder>(rows, of_row, blocks);
        }

        #[target_feature(enable = $features)]
        pub(super) fn leave(rows: &[f32], planes: &mut Vec<f32>) {
            crate::cpu::activations::leave::<Rounder>(rows, planes);
        }

        #[target_feature(enable = $features)]
        pub(super) fn attend<'k>(
            attention: crate::cpu::attention::Attention<'_>,
            keys: impl Iterator<Item = &'k [half::f16]> + Clone,
            values: impl Iterator<Item = &'k [half::f16]> + Clone,
        ) {
            crate::cpu::attention::attend::<Numbers>(attention, keys, values);
        }

        #[target_feature(enable = $features)]
        pub(super) fn multiply_wide(
            wide: crate::cpu::wide::Wide,
            packed: &crate::cpu::pack::Packed,
            input: &[f32],
            output: &mut super::Output,
        ) {
            crate::cpu::wide::multiply::<Numbers>(wide, packed, input, output);
        }

        #[target_feature(enable = $features)]
        pub(super) fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, target: &mut [f32]) {
            crate::cpu::arithmetic::rms_norm(x, weight, epsilon, target);
        }

        #[target_feature(enable = $features)]
        pub(super) fn rms_norm_in_place(rows: &mut [f32], weight: &[f32], epsilon: f32) {
            crate::cpu::arithmetic::rms_norm_in_place(rows, weight, epsilon);
        }

        #[target_feature(enable = $features)]
        pub(super) fn gate_with_silu(gate: &mut [f32], up: &[f32]) {
            crate::cpu::arithmetic::gate_with_silu(gate, up);
        }

        #[target_feature(enable = $features)]
        pub(super) fn gate_with_gelu(gate: &mut [f32], up: &[f32]) {
            crate::cpu::arithmetic::gate_with_gelu(gate, up);
        }

        #[target_feature(enable = $features)]
        pub(super) fn keep_within(values: &mut [f32], cap: f32) {
            crate::cpu::arithmetic::keep_within(values, cap);
        }
    };
}
#[cfg(target_arch = "x86_64")]
use compiled_anew;

/// Where the products of some tiles go: for each row of activations as many numbers as these tiles have rows.
pub(super) struct Output<'a> {
    pub(super) tiles: Range<usize>,
    width: usize,
    /// How many rows there are; what comes for a row behind them is added to the first again.
    rows: usize,
    values: &'a mut [f32],
}

impl Packed {
    /// Multiplies each row of `input`, rows of this matrix's columns, with the rows of some tiles, into a row of `output`,
    /// which has exactly as many rows of [`Packed::rows_of`] these tiles.
    pub(crate) fn apply(
        &self,
        kind: Kind,
        input: &mut Activations,
        tiles: Range<usize>,
        output: &mut [f32],
    ) {
        let rows = input.rows().len() / self.columns().max(1);
        let output = &mut Output {
            width: self.rows_of(&tiles),
            rows,
            tiles,
            values: output,
        };
        match self.layout {
            Layout::Blocks(form) => {
                let panels = input.panels(kind, self.columns());
                on!(
                    kind,
                    apply(form, self, &panels, output),
                    portable::apply(form, self, &panels, output)
                );
            }
            Layout::Floats(wide) => on!(
                kind,
                multiply_wide(wide, self, input.rows(), output),
                wide::multiply::<Lanes>(wide, self, input.rows(), output)
            ),
        }
    }
}

impl Output<'_> {
    /// Writes what a tile gives for row `row` of the activations into its place.
    #[inline]
    pub(super) fn store(&mut self, row: usize, tile: usize, values: &[f32; TILE]) {
        let from = tile.saturating_sub(self.tiles.start) * TILE;
        let count = TILE.min(self.width.saturating_sub(from));
        let (row, again) = match row.checked_sub(self.rows) {
            Some(row) => (row, true),
            None => (row, false),
        };
        let at = row * self.width + from;
        let target = self.values.get_mut(at..at + count);
        match (target, values.get(..count)) {
            // The rows come in order, so the first part is there.
            (Some(target), Some(values)) if again => ops::add(target, values),
            (Some(target), Some(values)) => target.copy_from_slice(values),
            _ => {}
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
    on!(
        kind,
        quantise(rows, of_row, blocks),
        activations::quantise::<Plain>(rows, of_row, blocks)
    );
}

/// Appends what the bytes of each block leave; see [`activations::leave`].
pub(super) fn leave(kind: Kind, rows: &[f32], planes: &mut Vec<f32>) {
    on!(
        kind,
        leave(rows, planes),
        activations::leave::<Plain>(rows, planes)
    );
}

/// Attention of one row to one key and value head; see [`attention::attend`].
pub(crate) fn attend<'k>(
    kind: Kind,
    attention: Attention<'_>,
    keys: impl Iterator<Item = &'k [half::f16]> + Clone,
    values: impl Iterator<Item = &'k [half::f16]> + Clone,
) {
    on!(
        kind,
        attend(attention, keys, values),
        attention::attend::<Lanes>(attention, keys, values)
    );
}

/// Root mean square norm of one row; see [`arithmetic::rms_norm`].
pub(crate) fn rms_norm(kind: Kind, x: &[f32], weight: &[f32], epsilon: f32, target: &mut [f32]) {
    on!(
        kind,
        rms_norm(x, weight, epsilon, target),
        arithmetic::rms_norm(x, weight, epsilon, target)
    );
}

/// Root mean square norms of rows; see [`arithmetic::rms_norm_in_place`].
pub(crate) fn rms_norm_in_place(kind: Kind, rows: &mut [f32], weight: &[f32], epsilon: f32) {
    on!(
        kind,
        rms_norm_in_place(rows, weight, epsilon),
        arithmetic::rms_norm_in_place(rows, weight, epsilon)
    );
}

/// `gate = silu(gate) * up`, or with the gate's other function; see [`arithmetic::gate_with_silu`].
pub(crate) fn let_through(kind: Kind, function: Gate, gate: &mut [f32], up: &[f32]) {
    match function {
        Gate::Silu => on!(
            kind,
            gate_with_silu(gate, up),
            arithmetic::gate_with_silu(gate, up)
        ),
        Gate::Gelu => on!(
            kind,
            gate_with_gelu(gate, up),
            arithmetic::gate_with_gelu(gate, up)
        ),
    }
}

/// Each number between minus and plus `cap`; see [`arithmetic::keep_within`].
pub(crate) fn keep_within(kind: Kind, values: &mut [f32], cap: f32) {
    on!(
        kind,
        keep_within(values, cap),
        arithmetic::keep_within(values, cap)
    );
}
