//! Blocks of a file, of 16 rows at a time, into the lines of a tile. Layouts: `block_q4_0` and its neighbours in
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>.
//!
//! Some blocks of all rows are copied side by side, then turned into columns, then packed, a line or two at a time. What is done
//! to 16 rows is a function of its own, a loop over whole arrays: the compiler makes vectors of it. Where it sees several of them
//! together it gathers its vectors word by word, and takes twice as long.
//!
//! Invariants: every line of a tile is written, whatever it said before; bytes that are not there are no panic, and rows that
//! are not there say nothing: all their codes and scales are 0 in the tile.
#![allow(
    clippy::inline_always,
    reason = "what is written for all formats becomes a loop of its own for each"
)]

use super::pack::{Half, Line};
use super::shape::{
    Form, GROUP, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0, Scales, Shape, TILE,
};

/// Lanes of a byte each.
const LOW: u32 = 0x0f0f_0f0f;
const BIT: u32 = 0x0101_0101;
const TWO_BITS: u32 = 0x0303_0303;
const SIX_BITS: u32 = 0x3f3f_3f3f;

/// The most runs of 16 bytes that are packed together: two for each of eight blocks.
const MOST_RUNS: usize = 2 * GROUP;
/// The most numbers of 16 bits that a block has beside them.
const MOST_NUMBERS: usize = 4;

/// A word of each row.
type Column = [u32; TILE];
/// Sixteen bytes of each row, side by side; and what they are once they are turned.
type Run = [[u8; 16]; TILE];
type Turned = [Column; 4];
/// A number of 16 bits of each row.
type Numbers = [u16; TILE];

/// What some blocks of 16 rows say.
struct Stage {
    runs: [Run; MOST_RUNS],
    columns: [Turned; MOST_RUNS],
    numbers: [[Numbers; MOST_NUMBERS]; GROUP],
}

impl Form {
    /// Bytes of a block of the file.
    pub(super) const fn unit_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }
}

/// Packs up to 16 rows of the file into a tile.
pub(super) fn pack_tile(form: Form, tile: &mut [Line], rows: &[u8], row_bytes: usize) {
    match form {
        Form::Q4_0 => pack::<Q4_0, 18>(tile, rows, row_bytes),
        Form::Q4_1 => pack::<Q4_1, 20>(tile, rows, row_bytes),
        Form::Q5_0 => pack::<Q5_0, 22>(tile, rows, row_bytes),
        Form::Q5_1 => pack::<Q5_1, 24>(tile, rows, row_bytes),
        Form::Q8_0 => pack::<Q8_0, 34>(tile, rows, row_bytes),
        Form::Q4_K => pack::<Q4_K, 144>(tile, rows, row_bytes),
        Form::Q5_K => pack::<Q5_K, 176>(tile, rows, row_bytes),
        Form::Q6_K => pack::<Q6_K, 210>(tile, rows, row_bytes),
    }
}

fn pack<S: Shape, const N: usize>(tile: &mut [Line], rows: &[u8], row_bytes: usize) {
    let mut stage = Stage::new();
    let nothing = [nothing::<S, N>(); GROUP];
    let grouped = S::COARSE > 0;
    let units = if grouped { 1 } else { GROUP };
    let mut sixteen: [&[[u8; N]]; TILE] = [&[]; TILE];
    for (row, bytes) in sixteen.iter_mut().zip(rows.chunks_exact(row_bytes.max(1))) {
        *row = bytes.as_chunks().0;
    }
    for (index, lines) in tile.chunks_mut(S::GROUP_LINES).enumerate() {
        for (lane, row) in sixteen.iter().enumerate() {
            let row = row.get(index * units..).unwrap_or_default();
            let row = if row.is_empty() { &nothing } else { row };
            stage.take::<S, N>(lane, row.get(..units).unwrap_or(row));
        }
        turn(
            &stage.runs,
            &mut stage.columns,
            runs_of(S::FORM).len() * units,
        );
        if grouped {
            stage.pack_group::<S>(lines);
        } else {
            stage.pack_blocks::<S>(lines);
        }
    }
}

/// Where in a block of the file runs of 16 bytes begin: codes, then the upper bits of codes, then the scales of a K format.
const fn runs_of(form: Form) -> &'static [usize] {
    match form {
        Form::Q4_0 => &[2],
        Form::Q4_1 => &[4],
        Form::Q5_0 => &[6],
        Form::Q5_1 => &[8],
        Form::Q8_0 => &[2, 18],
        Form::Q4_K => &[16, 32, 48, 64, 80, 96, 112, 128, 0],
        Form::Q5_K => &[48, 64, 80, 96, 112, 128, 144, 160, 16, 32, 0],
        Form::Q6_K => &[0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192],
    }
}

/// The same of its numbers of 16 bits: scales, then fifth bits.
const fn numbers_of(form: Form) -> &'static [usize] {
    match form {
        Form::Q4_0 | Form::Q8_0 => &[0],
        Form::Q4_1 | Form::Q4_K | Form::Q5_K => &[0, 2],
        Form::Q5_0 => &[0, 2, 4],
        Form::Q5_1 => &[0, 2, 4, 6],
        Form::Q6_K => &[208],
    }
}

/// A block whose codes and scales are 0 once they are packed.
fn nothing<S: Shape, const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let (Form::Q8_0, Some((_, codes))) = (S::FORM, bytes.split_at_mut_checked(2)) {
        codes.fill(0x80);
    }
    bytes
}

/// The line of a block's scales in its group, and the first of its codes.
#[inline(always)]
const fn lines_of<S: Shape>(block: usize) -> (usize, usize) {
    let scales = S::COARSE + block / S::STRETCH * S::STRETCH_LINES;
    (scales, scales + 1 + block % S::STRETCH * S::LINES)
}

impl Stage {
    const fn new() -> Self {
        Self {
            runs: [[[0; 16]; TILE]; MOST_RUNS],
            columns: [[[0; TILE]; 4]; MOST_RUNS],
            numbers: [[[0; TILE]; MOST_NUMBERS]; GROUP],
        }
    }

    /// Takes the next blocks of a row.
    #[inline(always)]
    fn take<S: Shape, const N: usize>(&mut self, lane: usize, units: &[[u8; N]]) {
        let of_unit = runs_of(S::FORM);
        let runs = self.runs.chunks_exact_mut(of_unit.len());
        for ((unit, runs), numbers) in units.iter().zip(runs).zip(&mut self.numbers) {
            for (run, at) in runs.iter_mut().zip(of_unit) {
                if let Some(target) = run.get_mut(lane) {
                    *target = bytes_at(unit, *at);
                }
            }
            for (number, at) in numbers.iter_mut().zip(numbers_of(S::FORM)) {
                if let Some(target) = number.get_mut(lane) {
                    *target = u16::from_le_bytes(bytes_at(unit, *at));
                }
            }
        }
    }

    /// Blocks of 32 columns with scales of their own, as many as there are lines for.
    #[inline(always)]
    fn pack_blocks<S: Shape>(&self, group: &mut [Line]) {
        let columns = self.columns.chunks_exact(runs_of(S::FORM).len());
        for (block, (numbers, columns)) in self.numbers.iter().zip(columns).enumerate() {
            let (scales, codes) = lines_of::<S>(block);
            let Some((before, lines)) = group.split_at_mut_checked(codes) else {
                return;
            };
            let (Some(Line(scales)), Some(lines)) =
                (before.get_mut(scales), lines.get_mut(..S::LINES))
            else {
                return;
            };
            let [first, second, third, fourth] = numbers;
            match (scales, S::SCALES) {
                (scales, Scales::Two) => *scales = [half_of(first), half_of(second)],
                ([_, last], _) if block % S::STRETCH > 0 => *last = half_of(first),
                (scales, _) => *scales = [half_of(first), Half::default()],
            }
            match (columns, lines) {
                (&[[ref a, ref b, ref c, ref d]], [first, other, last, end, rest @ ..]) => {
                    put_nibbles(first, last, a, b);
                    put_nibbles(other, end, c, d);
                    if let [line] = rest {
                        let one = matches!(S::SCALES, Scales::One);
                        let (lower, upper) = if one {
                            (second, third)
                        } else {
                            (third, fourth)
                        };
                        put_fifth(line, lower, upper);
                    }
                }
                (columns, lines) => {
                    for (line, column) in lines.iter_mut().zip(columns.as_flattened()) {
                        put_signed(line, column);
                    }
                }
            }
        }
    }

    /// 256 columns that share their coarse scales.
    #[inline(always)]
    fn pack_group<S: Shape>(&self, group: &mut [Line]) {
        let six_bits = matches!(S::FORM, Form::Q6_K);
        let (codes, rest) = self.columns.as_flattened().split_at(32);
        for (index, eight) in codes.as_chunks::<8>().0.iter().enumerate() {
            // 32 bytes, their low halves of one block, their high halves of another.
            let [low, high] = if six_bits {
                let low = index / 2 * 4 + index % 2;
                [low, low + 2]
            } else {
                [index * 2, index * 2 + 1]
            };
            for (line, [even, odd]) in eight.as_chunks().0.iter().enumerate() {
                let lines = [low, high].map(|block| lines_of::<S>(block).1 + line);
                if let Ok([low, high]) = group.get_disjoint_mut(lines) {
                    put_nibbles(low, high, even, odd);
                }
            }
        }
        let [[first, second, ..], ..] = &self.numbers;
        let (upper, scales) = match S::FORM {
            Form::Q4_K => (0, 0),
            Form::Q5_K => (8, 8),
            _ => (16, 16),
        };
        let upper = rest.get(..upper).unwrap_or_default();
        for block in 0..GROUP {
            let codes = lines_of::<S>(block).1;
            let lines = group
                .get_mut(codes + 4..codes + S::LINES)
                .unwrap_or_default();
            if six_bits {
                let columns = upper.chunks_exact(8).nth(block / 4).unwrap_or_default();
                for (line, columns) in lines.iter_mut().zip(columns.as_chunks::<4>().0) {
                    *line = bytemuck::cast(collected(columns, block % 4 * 2, TWO_BITS, 2));
                }
            } else if let ([line], Some(columns)) = (lines, upper.first_chunk()) {
                put_bits(line, columns, block);
            }
        }
        let Some(scales) = rest.get(scales..).and_then(<[_]>::first_chunk) else {
            return;
        };
        let fine = if six_bits {
            bytes_of_halves(scales)
        } else {
            bytes_of_six_bits(scales)
        };
        for (block, [first, second]) in fine.iter().enumerate() {
            if let Some(Line(scales)) = group.get_mut(lines_of::<S>(block).0)
                && let Some(scales) = scales.get_mut(block % S::STRETCH)
            {
                *scales = half_of_bytes(first, second);
            }
        }
        if let Some(Line(coarse)) = group.first_mut() {
            let second = if six_bits {
                Half::default()
            } else {
                half_of(second)
            };
            *coarse = [half_of(first), second];
        }
    }
}

#[inline(always)]
fn bytes_at<const N: usize, const M: usize>(unit: &[u8; N], at: usize) -> [u8; M] {
    let bytes = unit.get(at..).and_then(<[u8]>::first_chunk);
    bytes.copied().unwrap_or([0; M])
}

/// Rows to columns.
#[inline(never)]
fn turn(runs: &[Run; MOST_RUNS], columns: &mut [Turned; MOST_RUNS], count: usize) {
    for (run, [first, second, third, fourth]) in runs.iter().zip(columns).take(count) {
        let targets = first.iter_mut().zip(second).zip(third).zip(fourth);
        for (row, (((first, second), third), fourth)) in run.iter().zip(targets) {
            let words = bytemuck::cast::<_, [[u8; 4]; 4]>(*row);
            [*first, *second, *third, *fourth] = words.map(u32::from_le_bytes);
        }
    }
}

/// Low halves of two words to one line, high halves to the other.
#[inline(never)]
fn put_nibbles(low: &mut Line, high: &mut Line, even: &Column, odd: &Column) {
    let lines = low.0.as_flattened_mut().iter_mut();
    let lines = lines.zip(high.0.as_flattened_mut());
    for ((low, high), (even, odd)) in lines.zip(even.iter().zip(odd)) {
        *low = even & LOW | (odd & LOW) << 4;
        *high = even >> 4 & LOW | odd & !LOW;
    }
}

/// Signed bytes: turning the highest bit adds 128.
#[inline(never)]
fn put_signed(line: &mut Line, column: &Column) {
    for (target, word) in line.0.as_flattened_mut().iter_mut().zip(column) {
        *target = word ^ 0x8080_8080;
    }
}

/// Fifth bits, each row's 32 in their order: bit `4 w + c` goes to bit `w` of byte `c`.
#[inline(never)]
fn put_fifth(line: &mut Line, lower: &Numbers, upper: &Numbers) {
    let numbers = lower.iter().zip(upper);
    for (target, (lower, upper)) in line.0.as_flattened_mut().iter_mut().zip(numbers) {
        let all = u32::from(*lower) | u32::from(*upper) << 16;
        let mut bits = 0;
        for word in 0..8 {
            let four = all >> (word * 4);
            bits |= (four & 1 | (four & 2) << 7 | (four & 4) << 14 | (four & 8) << 21) << word;
        }
        *target = bits;
    }
}

/// Bit `shift` of each byte of eight words, those of word `w` to bits `w`.
#[inline(never)]
fn put_bits(line: &mut Line, words: &[Column; 8], shift: usize) {
    let [first, last] = [0, 1].map(|half| {
        let four = words.as_chunks().0.get(half);
        four.map_or([0; TILE], |four| collected(four, shift, BIT, 1))
    });
    for (target, (first, last)) in line
        .0
        .as_flattened_mut()
        .iter_mut()
        .zip(first.iter().zip(last))
    {
        *target = first | last << 4;
    }
}

/// Some bits of each byte of four words from bit `shift`, those of the next word `step` bits above those of the one before.
#[inline(never)]
fn collected(words: &[Column; 4], shift: usize, mask: u32, step: usize) -> Column {
    let [first, second, third, fourth] = words;
    let words = first.iter().zip(second).zip(third).zip(fourth);
    let mut all = [0; TILE];
    for (target, (((first, second), third), fourth)) in all.iter_mut().zip(words) {
        let bits = |word: &u32| word >> shift & mask;
        *target = bits(first)
            | bits(second) << step
            | bits(third) << (2 * step)
            | bits(fourth) << (3 * step);
    }
    all
}

/// Scale and minimum of 6 bits each, eight pairs in the last twelve bytes: of each block 16 of either.
#[inline(never)]
fn bytes_of_six_bits(words: &Turned) -> [[[u8; TILE]; 2]; GROUP] {
    let mut bytes = [[[0; TILE]; 2]; GROUP];
    let [_, first, second, third] = words;
    let (early, late) = bytes.split_at_mut(4);
    for (index, ([scale, minimum], [later, later_minimum])) in
        early.iter_mut().zip(late).enumerate()
    {
        let byte = |word: u32| (word >> (index * 8)) as u8;
        for (target, word) in scale.iter_mut().zip(first) {
            *target = byte(word & SIX_BITS);
        }
        for (target, word) in minimum.iter_mut().zip(second) {
            *target = byte(word & SIX_BITS);
        }
        // The upper two bits of the last four stand above those of the first.
        for ((target, word), above) in later.iter_mut().zip(third).zip(first) {
            *target = byte(word & LOW | (above >> 6 & TWO_BITS) << 4);
        }
        for ((target, word), above) in later_minimum.iter_mut().zip(third).zip(second) {
            *target = byte(word >> 4 & LOW | (above >> 6 & TWO_BITS) << 4);
        }
    }
    bytes
}

/// A scale for each half of a block, in their order.
#[inline(never)]
fn bytes_of_halves(words: &Turned) -> [[[u8; TILE]; 2]; GROUP] {
    let mut bytes = [[[0; TILE]; 2]; GROUP];
    for (index, target) in bytes.as_flattened_mut().iter_mut().enumerate() {
        if let Some(column) = words.get(index / 4) {
            for (byte, word) in target.iter_mut().zip(column) {
                *byte = (word >> (index % 4 * 8)) as u8;
            }
        }
    }
    bytes
}

#[inline(never)]
fn half_of(numbers: &Numbers) -> Half {
    let mut half = Half::default();
    for (word, [low, high]) in half.iter_mut().zip(numbers.as_chunks().0) {
        *word = u32::from(*low) | u32::from(*high) << 16;
    }
    half
}

#[inline(never)]
fn half_of_bytes(first: &[u8; TILE], second: &[u8; TILE]) -> Half {
    let mut half = Half::default();
    let bytes = first.as_chunks().0.iter().chain(second.as_chunks().0);
    for (word, four) in half.iter_mut().zip(bytes) {
        *word = u32::from_le_bytes(*four);
    }
    half
}
