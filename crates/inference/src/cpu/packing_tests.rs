//! The bytes of a tile are those that a plain packer makes, one row and one word after another.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use proptest::prelude::*;

use super::super::memory::{Lines, Runs};
use super::super::pack::{Half, Place, Words};
use super::super::shape::{BLOCK, Form, GROUP, Scales, Shape, for_form};
use super::*;

const LOW: u32 = 0x0f0f_0f0f;

/// A block of the file.
struct Unit<'a> {
    form: Form,
    bytes: &'a [u8],
}

/// Scales of 32 columns.
enum Fine {
    /// Numbers of 16 bits: `d`, and `m` where there is one.
    Numbers([u16; 2]),
    /// A scale and a minimum, or a scale for each half.
    Bytes([u8; 2]),
}

impl Unit<'_> {
    /// How often 32 columns a block of the file is.
    const fn blocks_of(form: Form) -> usize {
        if coarse_halves(form) == 0 { 1 } else { GROUP }
    }

    /// Scales of all its columns; meaningless where there are none.
    fn coarse(&self) -> [u16; 2] {
        match self.form {
            Form::Q6_K => [self.number(208), 0],
            _ => [self.number(0), self.number(2)],
        }
    }

    /// Scales of the `inside`th 32 columns.
    fn fine(&self, inside: usize) -> Fine {
        match self.form {
            Form::Q4_K | Form::Q5_K => Fine::Bytes(self.six_bits(inside)),
            Form::Q6_K => Fine::Bytes([0, 1].map(|half| self.byte(192 + inside * 2 + half))),
            _ => Fine::Numbers([self.number(0), self.number(2)]),
        }
    }

    /// Codes of the `inside`th 32 columns.
    fn words(&self, inside: usize) -> Words {
        match self.form {
            Form::Q4_0 => self.nibbles(2),
            Form::Q4_1 => self.nibbles(4),
            Form::Q5_0 => self.with_fifth(self.nibbles(6), 2),
            Form::Q5_1 => self.with_fifth(self.nibbles(8), 4),
            // Signed bytes: turning the highest bit adds 128.
            Form::Q8_0 => std::array::from_fn(|word| self.word(2 + word * 4) ^ 0x8080_8080),
            Form::Q4_K => self.k_nibbles(16, inside),
            Form::Q5_K => {
                let low = self.k_nibbles(48, inside);
                let high = |word| self.word(16 + word * 4) >> inside & 0x0101_0101;
                std::array::from_fn(|word| low.get(word).copied().unwrap_or(0) | high(word) << 4)
            }
            Form::Q6_K => self.six_bit_codes(inside),
        }
    }

    /// Sixteen bytes from `at`: low halves are columns 0 to 15, high halves 16 to 31.
    fn nibbles(&self, at: usize) -> Words {
        std::array::from_fn(|word| self.word(at + word % 4 * 4) >> (word / 4 * 4) & 0x0f0f_0f0f)
    }

    /// Adds the fifth bits, a word from `at` with a bit for each column.
    fn with_fifth(&self, low: Words, at: usize) -> Words {
        let bits = self.word(at);
        let mut words = low;
        for (index, word) in words.iter_mut().enumerate() {
            let four = bits >> (index * 4) & 0xf;
            // Bit c goes to bit 4 of byte c; the multiples do not meet.
            *word |= (four & 1 | (four & 2) << 7 | (four & 4) << 14 | (four & 8) << 21) << 4;
        }
        words
    }

    /// 32 bytes for two neighbours: the low halves are of the first, the high halves of the second.
    fn k_nibbles(&self, at: usize, inside: usize) -> Words {
        let first = at + inside / 2 * 32;
        std::array::from_fn(|word| self.word(first + word * 4) >> (inside % 2 * 4) & 0x0f0f_0f0f)
    }

    fn six_bit_codes(&self, inside: usize) -> Words {
        let (side, quarter) = (inside / 4, inside % 4);
        let low = side * 64 + quarter % 2 * 32;
        let high = 128 + side * 32;
        std::array::from_fn(|word| {
            let low = self.word(low + word * 4) >> (quarter / 2 * 4) & 0x0f0f_0f0f;
            let high = self.word(high + word * 4) >> (quarter * 2) & 0x0303_0303;
            low | high << 4
        })
    }

    /// Scale and minimum of 6 bits each, eight pairs in twelve bytes.
    fn six_bits(&self, inside: usize) -> [u8; 2] {
        let byte = |index| self.byte(4 + index);
        if inside < 4 {
            [byte(inside) & 63, byte(inside + 4) & 63]
        } else {
            let both = byte(inside + 4);
            [
                both & 0xf | byte(inside - 4) >> 6 << 4,
                both >> 4 | byte(inside) >> 6 << 4,
            ]
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    fn number(&self, at: usize) -> u16 {
        let bytes = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes))
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
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
            put_numbers(tile, coarse, coarse_halves(S::FORM), lane, unit.coarse());
            for inside in 0..blocks {
                let place = Place::of(S::FORM, index * blocks + inside);
                let fine = place.fine * 2 + place.side;
                match unit.fine(inside) {
                    Fine::Numbers(numbers) => {
                        put_numbers(tile, fine, 2 / S::STRETCH, lane, numbers);
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

/// Numbers of 16 bits that a row's coarse scales are.
const fn coarse_halves(form: Form) -> usize {
    match form.scales() {
        Scales::One | Scales::Two => 0,
        Scales::Group => 2,
        Scales::Halves => 1,
    }
}

fn half_at_mut(lines: &mut [Line], index: usize) -> Option<&mut Half> {
    let Line([even, odd]) = lines.get_mut(index / 2)?;
    Some(if index.is_multiple_of(2) { even } else { odd })
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

const CODES: [u32; 8] = [2, 3, 6, 7, 8, 12, 13, 14];

proptest! {
    #[test]
    fn a_tile_has_the_bytes_of_a_plain_packer(
        which in 0usize..8, rows in 1usize..40, units in 1usize..6, at_once in 1usize..4,
        seed in any::<u64>(),
    ) {
        let format = Format::from_code(*CODES.get(which).unwrap()).unwrap();
        let columns = units * format.block_elements() as usize;
        let row_bytes = units * format.block_bytes() as usize;
        let mut dice = seed;
        let bytes: Vec<u8> = (0..rows * row_bytes)
            .map(|_| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (dice >> 56) as u8
            })
            .collect();
        let plot = Plot::of(format, rows, columns, 0).unwrap();
        let Layout::Blocks(form) = plot.layout else { unreachable!() };
        let mut plain = Vec::new();
        for rows in bytes.chunks(row_bytes * TILE) {
            let mut tile = vec![Line::default(); plot.lines_of_tile];
            for_form!(form, pack_tile(&mut tile, rows, row_bytes));
            plain.extend(tile);
        }
        let ground = Runs::new(&[plain.len()]).unwrap();
        let mut packing = Packing::begin(format, plot).unwrap();
        // What lay there before is not to be seen.
        let mut tray = Tray(vec![Line([[0x5555_5555; 8]; 2]); 7]);
        for rows in bytes.chunks(row_bytes * TILE * at_once) {
            packing.push(rows, &ground, &mut tray);
        }
        prop_assert!(packing.finish().is_some());
        let made = Lines::of(&ground.finish(), 0..plain.len()).unwrap();
        let bytes_of = |lines: &[Line]| bytemuck::cast_slice::<Line, u8>(lines).to_vec();
        prop_assert_eq!(bytes_of(made.all()), bytes_of(&plain));
        prop_assert_eq!(BLOCK, columns / (units * Unit::blocks_of(form)));
    }
}
