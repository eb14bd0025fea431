//! Matrix products on this processor: weights in tiles, activations in bytes, kernels chosen when a model is loaded.
//!
//! ```text
//!  GGUF blocks ─ pack ─> tiles of 16 rows ─┐
//!  activations ─ quantise ─> panels ───────┴─ kernels::{portable, avx2, avx512} ─> 32 bit floats
//! ```
//!
//! Read on in this order: `shape` (what the formats have in common), `pack`, `packing`, `unit`, `memory`,
//! `activations`, `kind`, `kernels`; `wide`, for weights that are floats; then
//! what stands between the products: `attention` over `lanes`, `arithmetic`.
//!
//! Invariants: what comes out for a row does not depend on the rows beside it, nor on the kind of kernel: the sums within a
//! block are of whole numbers, and those over the blocks, or over floats, are done one after another, in the same operations
//! everywhere.
//! No thread and no state; nothing but the files in `kernels` is unsafe.

mod activations;
mod arithmetic;
mod attention;
mod kernels;
pub mod kind;
mod lanes;
mod memory;
mod pack;
mod packing;
mod precision;
mod shape;
mod unit;
mod wide;

#[cfg(test)]
mod tests;

pub(crate) use activations::{Activations, FLOATS_OF_BLOCK};
pub(crate) use arithmetic::exponential;
pub(crate) use attention::{Attention, HEADS_AT_ONCE};
pub(crate) use kernels::{View, attend, keep_within, let_through, rms_norm, rms_norm_in_place};
pub use kind::Kind;
pub(crate) use memory::{Ground, LINE, Memory, RUN_LINES, Runs};
pub(crate) use pack::{Packed, Plot};
pub(crate) use packing::{Packing, Tray};
pub use precision::Precision;
pub(crate) use shape::{BLOCK, TILE};

/// Tokens whose keys lie side by side, element by element, so that their scores are computed side by side.
pub(crate) const TOKENS_OF_TILE: usize = 16;
