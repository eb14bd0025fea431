//! Rows of a file into tiles, some at a time: the file's form of a matrix is never whole in memory.
//!
//! Invariants: what comes out does not depend on how many rows came at a time; nothing is believed of the bytes but their
//! number; memory that is not to be had is no panic.

use super::memory::{Ground, LINE};
use super::pack::{Layout, Line, Plot};
use super::shape::TILE;
use super::unit;
use crate::format::Format;

/// A matrix that is being packed.
pub(crate) struct Packing {
    plot: Plot,
    row_bytes: usize,
    /// Rows that have come.
    rows: usize,
    /// Whether all that came were whole tiles, but for the last.
    whole: bool,
}

/// Where some tiles are packed before they are put into their place; for one matrix after another.
#[derive(Default)]
pub(crate) struct Tray(Vec<Line>);

impl Tray {
    /// So many lines that say anything; `None` if there is not so much memory.
    fn lines(&mut self, count: usize) -> Option<&mut [Line]> {
        let more = count.saturating_sub(self.0.len());
        self.0.try_reserve_exact(more).ok()?;
        if more > 0 {
            self.0.resize(count, Line::default());
        }
        self.0.get_mut(..count)
    }
}

impl Packing {
    /// Nothing is packed yet; `None` where rows are not whole blocks of the format, or nothing is to be packed.
    pub(crate) fn begin(format: Format, plot: Plot) -> Option<Self> {
        let of_unit = usize::try_from(format.block_elements()).ok()?;
        if plot.rows == 0 || plot.columns == 0 || !plot.columns.is_multiple_of(of_unit) {
            return None;
        }
        let row_bytes = (plot.columns / of_unit).checked_mul(plot.layout.unit_bytes())?;
        row_bytes.checked_mul(TILE)?;
        Some(Self {
            plot,
            row_bytes,
            rows: 0,
            whole: true,
        })
    }

    /// What 16 rows take in the file, in bytes.
    pub(crate) const fn tile_bytes(&self) -> usize {
        self.row_bytes * TILE
    }

    /// Packs the next rows: as many as are whole tiles, or all that are left.
    pub(crate) fn push(&mut self, bytes: &[u8], ground: &dyn Ground, tray: &mut Tray) {
        let Plot {
            layout,
            lines_of_tile,
            ..
        } = self.plot;
        let first = self.plot.first + self.rows / TILE * lines_of_tile;
        let tiles = bytes.len().div_ceil(self.tile_bytes());
        let lines = tiles.saturating_mul(lines_of_tile);
        let Some(packed) = tray.lines(lines) else {
            self.whole = false;
            return;
        };
        let places = packed.chunks_exact_mut(lines_of_tile.max(1));
        for (rows, tile) in bytes.chunks(self.tile_bytes()).zip(places) {
            let count = rows.len() / self.row_bytes;
            self.whole &= self.rows.is_multiple_of(TILE)
                && count * self.row_bytes == rows.len()
                && count <= self.plot.rows - self.rows;
            if !self.whole {
                return;
            }
            self.rows += count;
            match layout {
                Layout::Blocks(form) => unit::pack_tile(form, tile, rows, self.row_bytes),
                Layout::Floats(wide) => {
                    tile.fill(Line::default());
                    wide.pack_tile(tile, rows, self.row_bytes);
                }
            }
        }
        let at = first.checked_mul(LINE);
        self.whole &= at.is_some_and(|at| ground.put(at, bytemuck::cast_slice(packed)));
    }

    /// Where the matrix lies, if all its rows have come and nothing else.
    pub(crate) fn finish(self) -> Option<Plot> {
        (self.whole && self.rows == self.plot.rows).then_some(self.plot)
    }
}

impl Layout {
    /// Bytes of a block of the file.
    const fn unit_bytes(self) -> usize {
        match self {
            Self::Blocks(form) => form.unit_bytes(),
            Self::Floats(wide) => wide.bytes(),
        }
    }
}

#[cfg(test)]
#[path = "packing_tests.rs"]
mod tests;
