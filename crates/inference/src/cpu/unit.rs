//! One block of a file as it lies there, read as codes and scales. Layouts: `block_q4_0` and its neighbours in
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>.
//!
//! Invariant: bytes that are not there read as 0, so that a short block is no panic; `pack` gives none that is short.

use super::pack::Words;
use super::shape::{Form, GROUP};

/// A block of the file.
pub(super) struct Unit<'a> {
    pub(super) form: Form,
    pub(super) bytes: &'a [u8],
}

/// Scales of 32 columns.
pub(super) enum Fine {
    /// Numbers of 16 bits: `d`, and `m` where there is one.
    Numbers([u16; 2]),
    /// A scale and a minimum, or a scale for each half.
    Bytes([u8; 2]),
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

impl Unit<'_> {
    /// How often 32 columns a block of the file is.
    pub(super) const fn blocks_of(form: Form) -> usize {
        if form.coarse_halves() == 0 { 1 } else { GROUP }
    }

    /// Scales of all its columns; meaningless where there are none.
    pub(super) fn coarse(&self) -> [u16; 2] {
        match self.form {
            Form::Q6_K => [self.number(208), 0],
            _ => [self.number(0), self.number(2)],
        }
    }

    /// Scales of the `inside`th 32 columns.
    pub(super) fn fine(&self, inside: usize) -> Fine {
        match self.form {
            Form::Q4_K | Form::Q5_K => Fine::Bytes(self.six_bits(inside)),
            Form::Q6_K => Fine::Bytes([0, 1].map(|half| self.byte(192 + inside * 2 + half))),
            _ => Fine::Numbers([self.number(0), self.number(2)]),
        }
    }

    /// Codes of the `inside`th 32 columns.
    pub(super) fn words(&self, inside: usize) -> Words {
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
