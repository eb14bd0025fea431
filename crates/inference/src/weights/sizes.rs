//! What tensors take: once read, and while they are.

use super::plan::plot;
use crate::header::TensorInfo;
use crate::matrix::Matrix;
use crate::packed_copy::BLOCK;

/// Rows that are read at once, in bytes, if they are not longer themselves: half of a small second-level cache, so that what
/// was read is still there when it is packed.
const AT_ONCE: usize = 256 << 10;

/// Memory that is had at once where a byte of it is written, on x86-64 and arm64.
const LARGE_PAGE: u64 = 2 << 20;

/// Memory that a tensor takes once it is read: a matrix packed or as it lies in the file, a vector as 32 bit floats.
pub(crate) fn resident(tensor: &TensorInfo) -> u64 {
    match tensor.shape.as_slice() {
        [_] => tensor.elements.saturating_mul(size_of::<f32>() as u64),
        [rows, columns] => Matrix::bytes_needed(tensor.format, *rows, *columns, tensor.bytes),
        _ => tensor.bytes,
    }
}

/// The most memory that reading these takes, in this order, by so many threads.
pub(crate) fn most_while_reading(tensors: &[(String, TensorInfo)], threads: usize) -> u64 {
    let (mut read, mut whole, mut largest, mut most, mut by_thread) =
        (0u64, 0u64, 0u64, 0u64, 0u64);
    for (_, tensor) in tensors {
        read = read.saturating_add(resident(tensor));
        match packed_row(tensor) {
            Some(row) => by_thread = by_thread.max(staged_by(row)),
            None if is_staged_whole(tensor.bytes) => whole = staged_whole(tensor.bytes),
            None => by_thread = by_thread.max(staged_whole(tensor.bytes)),
        }
        largest = largest.max(whole);
        most = most.max(read.saturating_add(whole));
    }
    if threads > 1 {
        // Then the last may be read before the first.
        most = read.saturating_add(largest);
    }
    most.saturating_add(by_thread.saturating_mul(threads as u64))
}

/// Bytes of a row in the file, where the tensor is packed.
fn packed_row(tensor: &TensorInfo) -> Option<u64> {
    plot(tensor, 0)?;
    tensor.bytes.checked_div(*tensor.shape.first()?)
}

/// Beside what [`most_while_reading`] tells: blocks of a copy that so many threads have begun and not yet written, those in which
/// their tensors begin and those in which they are.
pub(crate) const fn most_while_copying(threads: usize) -> u64 {
    (threads as u64).saturating_mul(2 * BLOCK as u64)
}

/// Whole tiles, as many as fit; one at least.
pub(super) fn at_once(tile_bytes: usize) -> usize {
    let tiles = AT_ONCE.checked_div(tile_bytes).unwrap_or(1).max(1);
    tiles.saturating_mul(tile_bytes.max(1))
}

/// What a thread reads rows of such a length into and packs them in, and what it touches of the memory that they go to.
fn staged_by(row_bytes: u64) -> u64 {
    // A tile is 16 rows; packed they take what they took, and a quarter more at most for lines that are not full.
    let staged = row_bytes.saturating_mul(16).max(AT_ONCE as u64);
    let packed = staged.saturating_add(staged / 4);
    staged.saturating_add(packed).saturating_add(LARGE_PAGE)
}

pub(super) const fn is_staged_whole(bytes: u64) -> bool {
    bytes > AT_ONCE as u64
}

/// A buffer is used again for a tensor of half its size or more; a smaller one gets one of its own, and this one goes. One
/// that rows fit in is never too large.
pub(super) const fn is_much_larger(capacity: usize, needed: usize) -> bool {
    capacity > AT_ONCE + 7 && capacity / 2 > needed
}

/// What the buffer for a tensor of `bytes` bytes takes at most; see [`is_much_larger`].
const fn staged_whole(bytes: u64) -> u64 {
    bytes.saturating_add(7).saturating_mul(2).saturating_add(1)
}
