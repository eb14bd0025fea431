//! Weights in tiles of 16 rows, so that one register holds the same columns of 16 rows and no sum runs across lanes.
//!
//! A tile is whole lines of 64 bytes, read from the first to the last, for one run of memory is read twice as fast as two:
//! groups of 8 blocks, before each the coarse scales of a K format; in a group stretches of one block or two, as many as have
//! their scales in one line, which comes first, then the codes. In a line of codes lane `r` holds 4 columns of row `r`. Codes of 4 bits lie two to a byte: word `2g` of a row's block in the low half of
//! line `g`, word `2g + 1` in the high half; their fifth bits follow in one line (bit `w` of a byte belongs to word `w`),
//! fifth and sixth bits in two. A half line holds 16 numbers of 16 bits, one a row, or two rows of 16 bytes.
//!
//! It takes what the file takes, but for the last rows, which get a whole tile, half a line where the number of blocks is odd,
//! and half a line a group of `Q6_K`. Weights that are floats lie in tiles of their own kind: see `wide`.
//!
//! Invariants: the packed form says exactly what the file says; nothing here is believed of the bytes but their number.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::memory::{Lines, Memory, Runs};
use super::packing::{Packing, Tray};
use super::shape::{BLOCK, Form, GROUP, Scales, TILE};
use super::wide::Wide;
use crate::format::Format;

/// Eight words: 16 numbers of 16 bits, or 32 bytes, the first in the lowest bits.
pub(super) type Half = [u32; 8];

/// A line of the cache.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [Half; 2]);

/// Columns 4 w … 4 w + 3 of a block's row in word w, codes without a sign.
pub(super) type Words = [u32; 8];

/// How a matrix lies in its tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Codes and scales, as above.
    Blocks(Form),
    /// Floats, as `wide` says.
    Floats(Wide),
}

/// A packed matrix.
pub(crate) struct Packed {
    pub(super) layout: Layout,
    rows: usize,
    columns: usize,
    /// Of a tile.
    lines_of_tile: usize,
    lines: Lines,
}

/// A packed matrix, but for its memory: its sizes, and which line of a model's is its first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plot {
    pub(super) layout: Layout,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) lines_of_tile: usize,
    pub(super) first: usize,
}

/// Where a block lies in its tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The line of its group's coarse scales, if it has one.
    pub(super) coarse: usize,
    /// The line of its scales.
    pub(super) fine: usize,
    /// Which half of it, where each block has one.
    pub(super) side: usize,
    /// The first line of its codes.
    pub(super) codes: usize,
}

/// The lines of one tile.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a>(pub(super) &'a [Line]);

/// What one row says of one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowBlock {
    /// Codes.
    pub(super) words: Words,
    /// The scale of its first 16 columns and of its last.
    pub(super) scales: [f32; 2],
    /// What is added to each weight.
    pub(super) minimum: f32,
    /// Where each half has a whole number for a scale: these two, and what they are multiplied with.
    pub(super) halves: Option<([i32; 2], f32)>,
}

impl Place {
    pub(super) const fn of(form: Form, block: usize) -> Self {
        let (group, inside) = (block / GROUP, block % GROUP);
        let (stretch, within) = (inside / form.stretch(), inside % form.stretch());
        let coarse = group * form.group_lines();
        let fine =
            coarse + form.coarse_lines() + stretch * (1 + form.stretch() * form.code_lines());
        Self {
            coarse,
            fine,
            side: within,
            codes: fine + 1 + within * form.code_lines(),
        }
    }
}

/// Lines of a tile of so many columns.
fn lines_of_tile(form: Form, columns: usize) -> Option<usize> {
    let blocks = columns / BLOCK;
    let (groups, rest) = (blocks / GROUP, blocks % GROUP);
    let last = if rest == 0 {
        0
    } else {
        form.coarse_lines() + rest.div_ceil(form.stretch()) + rest * form.code_lines()
    };
    groups.checked_mul(form.group_lines())?.checked_add(last)
}

impl Layout {
    /// That of a format, if it is packed.
    fn of(format: Format) -> Option<Self> {
        let floats = || Wide::of(format).map(Self::Floats);
        Form::of(format).map(Self::Blocks).or_else(floats)
    }

    /// Lines of a tile of so many columns.
    fn lines_of_tile(self, columns: usize) -> Option<usize> {
        match self {
            Self::Blocks(form) => lines_of_tile(form, columns),
            Self::Floats(wide) => Some(wide.lines_of_tile(columns)),
        }
    }
}

impl Plot {
    /// A matrix whose first line is `first`; `None` where the format has no packed form.
    pub(crate) fn of(format: Format, rows: usize, columns: usize, first: usize) -> Option<Self> {
        let layout = Layout::of(format)?;
        Some(Self {
            layout,
            rows,
            columns,
            lines_of_tile: layout.lines_of_tile(columns)?,
            first,
        })
    }

    /// Lines of all its tiles.
    pub(crate) fn lines(&self) -> Option<usize> {
        self.lines_of_tile.checked_mul(self.rows.div_ceil(TILE))
    }

    /// Which of all lines is its first.
    pub(crate) const fn first_line(&self) -> usize {
        self.first
    }

    /// The matrix that was packed into this memory.
    pub(crate) fn matrix(self, memory: &Memory) -> Option<Packed> {
        let lines = self.first..self.first.checked_add(self.lines()?)?;
        Some(Packed {
            layout: self.layout,
            rows: self.rows,
            columns: self.columns,
            lines_of_tile: self.lines_of_tile,
            lines: Lines::of(memory, lines)?,
        })
    }
}

impl Packed {
    /// Memory of such a matrix once packed, in bytes; `None` where the format has no packed form.
    pub(crate) fn bytes_of(format: Format, rows: usize, columns: usize) -> Option<u64> {
        let lines = Plot::of(format, rows, columns, 0)?.lines()?;
        (lines as u64).checked_mul(size_of::<Line>() as u64)
    }

    /// Whether such a matrix meets activations as bytes; not so where the format has no packed form.
    pub(crate) fn meets_bytes_if(format: Format) -> bool {
        Layout::of(format).is_some_and(|layout| matches!(layout, Layout::Blocks(_)))
    }

    /// Whether it meets activations as bytes.
    pub(crate) const fn meets_bytes(&self) -> bool {
        matches!(self.layout, Layout::Blocks(_))
    }

    /// Packs `bytes`, which must be exactly `rows × columns` in `format`; `None` if they are not, or the format has no
    /// packed form.
    pub(crate) fn new(format: Format, rows: usize, columns: usize, bytes: &[u8]) -> Option<Self> {
        let plot = Plot::of(format, rows, columns, 0)?;
        let ground = Runs::new(&[plot.lines()?])?;
        let mut packing = Packing::begin(format, plot)?;
        packing.push(bytes, &ground, &mut Tray::default());
        packing.finish()?.matrix(&ground.finish())
    }

    /// Rows.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub(crate) const fn columns(&self) -> usize {
        self.columns
    }

    /// Memory taken, in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// How many tiles.
    pub(crate) const fn tile_count(&self) -> usize {
        self.rows.div_ceil(TILE)
    }

    /// Rows of some tiles together.
    pub(crate) fn rows_of(&self, tiles: &Range<usize>) -> usize {
        let row = |tile: usize| (tile * TILE).min(self.rows);
        row(tiles.end) - row(tiles.start.min(tiles.end))
    }

    /// Some tiles with their numbers, in the order of their rows.
    pub(super) fn tiles(&self, tiles: Range<usize>) -> impl Iterator<Item = (usize, Tile<'_>)> {
        let of_tile = self.lines_of_tile.max(1);
        let lines = self.lines.all();
        let lines = lines.get(tiles.start * of_tile..).unwrap_or_default();
        tiles.zip(lines.chunks_exact(of_tile).map(Tile))
    }

    /// Writes row `row` as 32 bit floats, exactly those the file says, into `target`; false where there is no such row.
    pub(crate) fn widen(&self, row: usize, target: &mut [f32]) -> bool {
        let number = row / TILE;
        let tile = self.tiles(number..number + 1).next();
        let Some((_, tile)) = tile.filter(|_| row < self.rows) else {
            return false;
        };
        let form = match self.layout {
            Layout::Blocks(form) => form,
            Layout::Floats(wide) => return wide.widen(tile.0, row % TILE, target),
        };
        for (index, target) in target.chunks_exact_mut(BLOCK).enumerate() {
            let Some(block) = tile.row_block(form, index, row % TILE) else {
                return false;
            };
            let scales = block.scales.into_iter().flat_map(|s| [s; BLOCK / 2]);
            let codes = block.words.into_iter().flat_map(u32::to_le_bytes);
            for ((target, code), scale) in target.iter_mut().zip(codes).zip(scales) {
                *target = scale * (i32::from(code) - form.bias()) as f32 + block.minimum;
            }
        }
        true
    }
}

impl Tile<'_> {
    /// What lane `lane` says of block `index`.
    pub(super) fn row_block(&self, form: Form, index: usize, lane: usize) -> Option<RowBlock> {
        let place = Place::of(form, index);
        let lines = self.0.get(place.codes..place.codes + form.code_lines())?;
        let coarse = |which| half_at(self.0, place.coarse * 2 + which);
        let fine = |which| half_at(self.0, place.fine * 2 + place.side + which);
        let mut halves = None;
        let (scales, minimum) = match form.scales() {
            // -0.0 changes no sum, not even the sign of a zero.
            Scales::One => ([float_of(fine(0)?, lane); 2], -0.0),
            Scales::Two => ([float_of(fine(0)?, lane); 2], float_of(fine(1)?, lane)),
            Scales::Group => {
                let [scale, minimum] = bytes_of(fine(0)?, lane);
                let d = float_of(coarse(0)?, lane) * f32::from(scale);
                ([d; 2], -(float_of(coarse(1)?, lane) * f32::from(minimum)))
            }
            Scales::Halves => {
                let d = float_of(coarse(0)?, lane);
                let numbers = bytes_of(fine(0)?, lane).map(|scale| i32::from(scale.cast_signed()));
                halves = Some((numbers, d));
                (numbers.map(|scale| d * scale as f32), -0.0)
            }
        };
        Some(RowBlock {
            words: words_of(form, lines, lane),
            scales,
            minimum,
            halves,
        })
    }
}

/// Half line `index` of `lines`.
#[inline]
pub(super) fn half_at(lines: &[Line], index: usize) -> Option<&Half> {
    let Line([even, odd]) = lines.get(index / 2)?;
    Some(if index.is_multiple_of(2) { even } else { odd })
}

fn lane_of(line: &Line, row: usize) -> u32 {
    line.0.as_flattened().get(row).copied().unwrap_or(0)
}

fn float_of(half: &Half, lane: usize) -> f32 {
    let word = half.get(lane / 2).copied().unwrap_or(0);
    f16::from_bits((word >> (lane % 2 * 16)) as u16).to_f32()
}

/// Byte `lane` of both rows of 16 bytes.
pub(super) fn bytes_of(half: &Half, lane: usize) -> [u8; 2] {
    [lane / 4, lane / 4 + 4].map(|word| {
        let word = half.get(word).copied().unwrap_or(0);
        (word >> (lane % 4 * 8)) as u8
    })
}

fn words_of(form: Form, lines: &[Line], row: usize) -> Words {
    let line = |index| lines.get(index).map_or(0, |line| lane_of(line, row));
    std::array::from_fn(|word| {
        let low = || line(word / 2) >> (word % 2 * 4) & 0x0f0f_0f0f;
        match form.bits() {
            4 => low(),
            5 => low() | (line(4) >> word & 0x0101_0101) << 4,
            6 => low() | (line(4 + word / 4) >> (word % 4 * 2) & 0x0303_0303) << 4,
            _ => line(word),
        }
    })
}
