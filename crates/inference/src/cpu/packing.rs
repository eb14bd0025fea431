//! Rows of a file into tiles, some at a time: the file's form of a matrix is never whole in memory.
//!
//! Invariants: what comes out does not depend on how many rows came at a time; nothing is believed of the bytes but their
//! number; memory that is not to be had is no panic.

use super::memory::Ground;
use super::pack::{Layout, Line, Place, Plot, Words, half_at_mut};
use super::shape::{Shape, TILE, for_form};
use super::unit::{Fine, Unit};
use crate::format::Format;

/// Lanes of a byte each.
const LOW: u32 = 0x0f0f_0f0f;

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
    pub(crate) fn push(&mut self, bytes: &[u8], ground: &Ground, tray: &mut Tray) {
        let Plot {
            layout,
            lines_of_tile,
            ..
        } = self.plot;
        let first = self.plot.first + self.rows / TILE * lines_of_tile;
        tray.0.clear();
        let tiles = bytes.len().div_ceil(self.tile_bytes());
        let lines = tiles.saturating_mul(lines_of_tile);
        self.whole &= tray.0.try_reserve_exact(lines).is_ok();
        for rows in bytes.chunks(self.tile_bytes()) {
            let count = rows.len() / self.row_bytes;
            self.whole &= self.rows.is_multiple_of(TILE)
                && count * self.row_bytes == rows.len()
                && count <= self.plot.rows - self.rows;
            if !self.whole {
                return;
            }
            self.rows += count;
            let from = tray.0.len();
            tray.0.resize(from + lines_of_tile, Line::default());
            let tile = tray.0.get_mut(from..).unwrap_or_default();
            match layout {
                Layout::Blocks(form) => for_form!(form, pack_tile(tile, rows, self.row_bytes)),
                Layout::Floats(wide) => wide.pack_tile(tile, rows, self.row_bytes),
            }
        }
        self.whole &= ground.put(first, &tray.0);
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

/// Packs up to 16 rows of the file into a tile that is zero.
fn pack_tile<S: Shape>(tile: &mut [Line], rows: &[u8], row_bytes: usize) {
    let unit_bytes = S::FORM.unit_bytes();
    let blocks = Unit::blocks_of(S::FORM);
    for index in 0..row_bytes / unit_bytes {
        for (lane, row) in rows.chunks_exact(row_bytes).enumerate().take(TILE) {
            // A length that the compiler knows, so that it looks no further.
            let unit = row.get(index * unit_bytes..).unwrap_or_default();
            let Some(bytes) = unit.get(..unit_bytes) else {
                return;
            };
            let unit = Unit {
                form: S::FORM,
                bytes,
            };
            let coarse = Place::of(S::FORM, index * blocks).coarse * 2;
            put_numbers(tile, coarse, S::FORM.coarse_halves(), lane, unit.coarse());
            for inside in 0..blocks {
                let place = Place::of(S::FORM, index * blocks + inside);
                let fine = place.fine * 2 + place.side;
                match unit.fine(inside) {
                    Fine::Numbers(numbers) => {
                        put_numbers(tile, fine, S::FORM.fine_halves(), lane, numbers);
                    }
                    Fine::Bytes(bytes) => put_bytes(tile, fine, lane, bytes),
                }
                let lines = tile.get_mut(place.codes..).unwrap_or_default();
                if let Some(lines) = lines.get_mut(..S::LINES) {
                    put_codes::<S>(lines, lane, unit.words(inside));
                }
            }
        }
    }
}

/// The first `halves` of the numbers, each into a half line from `first`.
fn put_numbers(lines: &mut [Line], first: usize, halves: usize, lane: usize, numbers: [u16; 2]) {
    for (which, number) in numbers.into_iter().enumerate().take(halves) {
        let half = half_at_mut(lines, first + which);
        if let Some(word) = half.and_then(|half| half.get_mut(lane / 2)) {
            *word |= u32::from(number) << (lane % 2 * 16);
        }
    }
}

fn put_bytes(lines: &mut [Line], half: usize, lane: usize, bytes: [u8; 2]) {
    let Some(half) = half_at_mut(lines, half) else {
        return;
    };
    for (byte, first) in bytes.into_iter().zip([0, 4]) {
        if let Some(word) = half.get_mut(first + lane / 4) {
            *word |= u32::from(byte) << (lane % 4 * 8);
        }
    }
}

fn put_codes<S: Shape>(lines: &mut [Line], row: usize, words: Words) {
    let mut put = |line: usize, value: u32| {
        let line = lines.get_mut(line).map(|line| line.0.as_flattened_mut());
        if let Some(word) = line.and_then(|line| line.get_mut(row)) {
            *word = value;
        }
    };
    if S::BITS == 8 {
        for (line, word) in words.into_iter().enumerate() {
            put(line, word);
        }
        return;
    }
    for (line, [even, odd]) in words.as_chunks().0.iter().enumerate() {
        put(line, even & LOW | (odd & LOW) << 4);
    }
    let above = |words: &[u32], mask: u32, step: usize| {
        let bits = words.iter().enumerate();
        bits.fold(0, |all, (index, word)| {
            all | (word >> 4 & mask) << (index * step)
        })
    };
    match S::BITS {
        5 => put(4, above(&words, 0x0101_0101, 1)),
        6 => {
            for (index, words) in words.as_chunks::<4>().0.iter().enumerate() {
                put(4 + index, above(words, 0x0303_0303, 2));
            }
        }
        _ => {}
    }
}
