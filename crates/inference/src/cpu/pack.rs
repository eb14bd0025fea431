//! Weights in tiles of 16 rows, so that one register holds the same columns of 16 rows and no sum runs across lanes.
//!
//! A tile is whole lines of 64 bytes: coarse scales of its groups, scales of its blocks, then the codes. In a line of codes
//! lane `r` holds 4 columns of row `r`. Codes of 4 bits lie two to a byte: word `2g` of a row's block in the low half of
//! line `g`, word `2g + 1` in the high half; their fifth bits follow in one line (bit `w` of a byte belongs to word `w`),
//! fifth and sixth bits in two. A half line holds 16 numbers of 16 bits, one a row, or two rows of 16 bytes.
//!
//! It takes what the file takes, but for the last rows, which get a whole tile, and at most three lines a tile.
//!
//! Invariants: the packed form says exactly what the file says; nothing here is believed of the bytes but their number.

use half::f16;

use super::shape::{BLOCK, Form, GROUP, Scales, TILE};
use super::unit::{Fine, Unit};
use crate::format::Format;

/// Eight words: 16 numbers of 16 bits, or 32 bytes, the first in the lowest bits.
pub(super) type Half = [u32; 8];

/// A line of the cache.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [Half; 2]);

/// Columns 4 w … 4 w + 3 of a block's row in word w, codes without a sign.
pub(super) type Words = [u32; 8];

/// A packed matrix.
pub(crate) struct Packed {
    pub(super) form: Form,
    rows: usize,
    columns: usize,
    layout: Layout,
    lines: Vec<Line>,
}

/// Lines of each part of a tile.
#[derive(Clone, Copy, Debug)]
struct Layout {
    coarse: usize,
    fine: usize,
    codes: usize,
}

/// The parts of one tile.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub(super) coarse: &'a [Line],
    pub(super) fine: &'a [Line],
    pub(super) codes: &'a [Line],
}

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

impl Layout {
    fn new(form: Form, columns: usize) -> Option<Self> {
        let blocks = columns / BLOCK;
        let groups = blocks.div_ceil(GROUP);
        Some(Self {
            coarse: groups.checked_mul(form.coarse_halves())?.div_ceil(2),
            fine: blocks.checked_mul(form.fine_halves())?.div_ceil(2),
            codes: blocks.checked_mul(form.code_lines())?,
        })
    }

    fn lines(self) -> Option<usize> {
        self.coarse.checked_add(self.fine)?.checked_add(self.codes)
    }
}

impl Packed {
    /// Memory of such a matrix once packed, in bytes; `None` where the format has no packed form.
    pub(crate) fn bytes_of(format: Format, rows: usize, columns: usize) -> Option<u64> {
        let lines = Layout::new(Form::of(format)?, columns)?.lines()?;
        let lines = lines.checked_mul(rows.div_ceil(TILE))?;
        (lines as u64).checked_mul(size_of::<Line>() as u64)
    }

    /// Packs `bytes`, which must be exactly `rows × columns` in `format`; `None` if they are not, or the format has no
    /// packed form.
    pub(crate) fn new(format: Format, rows: usize, columns: usize, bytes: &[u8]) -> Option<Self> {
        let form = Form::of(format)?;
        let unit = usize::try_from(format.block_bytes()).ok()?;
        let of_unit = usize::try_from(format.block_elements()).ok()?;
        let row_bytes = (columns / of_unit).checked_mul(unit)?;
        let sound = columns.is_multiple_of(of_unit) && rows.checked_mul(row_bytes)? == bytes.len();
        if !sound || bytes.is_empty() {
            return None;
        }
        let layout = Layout::new(form, columns)?;
        let lines = layout.lines()?.checked_mul(rows.div_ceil(TILE))?;
        let mut packed = Self {
            form,
            rows,
            columns,
            layout,
            lines: vec![Line::default(); lines],
        };
        for (tile, rows) in packed
            .lines
            .chunks_exact_mut(layout.lines()?)
            .zip(bytes.chunks(row_bytes.checked_mul(TILE)?))
        {
            for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
                pack_row(form, layout, tile, lane, row.chunks_exact(unit));
            }
        }
        Some(packed)
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
        (self.lines.len() * size_of::<Line>()) as u64
    }

    /// The tiles, in the order of their rows.
    pub(super) fn tiles(&self) -> impl Iterator<Item = Tile<'_>> {
        let layout = self.layout;
        let whole = layout.coarse + layout.fine + layout.codes;
        self.lines
            .chunks_exact(whole.max(1))
            .map(move |lines| Tile::new(lines, layout))
    }

    /// Writes row `row` as 32 bit floats, exactly those the file says, into `target`; false where there is no such row.
    pub(crate) fn widen(&self, row: usize, target: &mut [f32]) -> bool {
        let tile = self.tiles().nth(row / TILE).filter(|_| row < self.rows);
        let Some(tile) = tile else { return false };
        for (index, target) in target.chunks_exact_mut(BLOCK).enumerate() {
            let Some(block) = tile.row_block(self.form, index, row % TILE) else {
                return false;
            };
            let scales = block.scales.into_iter().flat_map(|s| [s; BLOCK / 2]);
            let codes = block.words.into_iter().flat_map(u32::to_le_bytes);
            for ((target, code), scale) in target.iter_mut().zip(codes).zip(scales) {
                *target = scale * (i32::from(code) - self.form.bias()) as f32 + block.minimum;
            }
        }
        true
    }
}

impl<'a> Tile<'a> {
    fn new(lines: &'a [Line], layout: Layout) -> Self {
        let (coarse, lines) = lines.split_at_checked(layout.coarse).unwrap_or_default();
        let (fine, codes) = lines.split_at_checked(layout.fine).unwrap_or_default();
        Self {
            coarse,
            fine,
            codes,
        }
    }

    /// What lane `lane` says of block `index`.
    pub(super) fn row_block(&self, form: Form, index: usize, lane: usize) -> Option<RowBlock> {
        let first = index * form.code_lines();
        let lines = self.codes.get(first..first + form.code_lines())?;
        let coarse = |which| half_at(self.coarse, index / GROUP * form.coarse_halves() + which);
        let fine = |which| half_at(self.fine, index * form.fine_halves() + which);
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

fn half_at_mut(lines: &mut [Line], index: usize) -> Option<&mut Half> {
    let Line([even, odd]) = lines.get_mut(index / 2)?;
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

/// Packs one row of the file into lane `lane` of a tile.
fn pack_row<'a>(
    form: Form,
    layout: Layout,
    tile: &mut [Line],
    lane: usize,
    units: impl Iterator<Item = &'a [u8]>,
) {
    let (coarse, rest) = tile.split_at_mut(layout.coarse);
    let (fine, codes) = rest.split_at_mut(layout.fine);
    let mut codes = codes.chunks_exact_mut(form.code_lines());
    let mut block = 0;
    for (group, unit) in units.enumerate() {
        let unit = Unit { form, bytes: unit };
        for (which, number) in unit
            .coarse()
            .into_iter()
            .take(form.coarse_halves())
            .enumerate()
        {
            put_16(coarse, group * form.coarse_halves() + which, lane, number);
        }
        for inside in 0..unit.blocks() {
            match unit.fine(inside) {
                Fine::Numbers(numbers) => {
                    for (which, number) in numbers.into_iter().take(form.fine_halves()).enumerate()
                    {
                        put_16(fine, block * form.fine_halves() + which, lane, number);
                    }
                }
                Fine::Bytes(bytes) => put_8(fine, block, lane, bytes),
            }
            if let Some(lines) = codes.next() {
                put_words(form.bits(), lines, lane, unit.words(inside));
            }
            block += 1;
        }
    }
}

fn put_16(lines: &mut [Line], half: usize, lane: usize, number: u16) {
    if let Some(word) = half_at_mut(lines, half).and_then(|half| half.get_mut(lane / 2)) {
        *word |= u32::from(number) << (lane % 2 * 16);
    }
}

fn put_8(lines: &mut [Line], half: usize, lane: usize, bytes: [u8; 2]) {
    let Some(half) = half_at_mut(lines, half) else {
        return;
    };
    for (byte, first) in bytes.into_iter().zip([0, 4]) {
        if let Some(word) = half.get_mut(first + lane / 4) {
            *word |= u32::from(byte) << (lane % 4 * 8);
        }
    }
}

fn put_words(bits: u32, lines: &mut [Line], row: usize, words: Words) {
    let mut put = |line: usize, value: u32| {
        let line = lines.get_mut(line).map(|line| line.0.as_flattened_mut());
        if let Some(word) = line.and_then(|line| line.get_mut(row)) {
            *word |= value;
        }
    };
    if bits == 8 {
        for (line, word) in words.into_iter().enumerate() {
            put(line, word);
        }
        return;
    }
    for (index, word) in words.into_iter().enumerate() {
        put(index / 2, (word & 0x0f0f_0f0f) << (index % 2 * 4));
        match bits {
            5 => put(4, (word >> 4 & 0x0101_0101) << index),
            6 => put(4 + index / 4, (word >> 4 & 0x0303_0303) << (index % 4 * 2)),
            _ => {}
        }
    }
}
