//! AVX2: a line of weights is two registers of 8 rows. Products of bytes are added in pairs to 16 bits, so as many pairs as
//! cannot overflow are summed before they are widened.

#![allow(
    clippy::indexing_slicing,
    reason = "arrays of a length that is known, indices that are constants once unrolled"
)]

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _MM_HINT_T0, _mm_loadl_epi64, _mm_loadu_si128, _mm_prefetch,
    _mm256_abs_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256,
    _mm256_castsi256_ps, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32,
    _mm256_cvtepu16_epi32, _mm256_cvtph_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_mullo_epi32, _mm256_or_si256, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm256_sign_epi8, _mm256_slli_epi16, _mm256_slli_epi32, _mm256_srli_epi16, _mm256_storeu_ps,
    _mm256_sub_ps, _mm256_xor_si256,
};

use half::{bf16, f16};

use crate::cpu::activations::{Block, Panel, Panels, Plain as Rounder};
use crate::cpu::lanes::{LINE, Lanes, Sixteen};
use crate::cpu::pack::{Half, Line, Packed, Tile};
use crate::cpu::shape::{Form, Scales, Shape, TILE, for_form};

use super::Output;

/// Rows of a register: half a tile.
const LANES: usize = TILE / 2;

/// Declares functions for this kind of processor.
macro_rules! compiled {
    ($($item:item)*) => { $(
        #[target_feature(enable = "avx2,fma,f16c")]
        $item
    )* };
}

super::compiled_anew!("avx2,fma,f16c");

compiled! {
    pub(super) fn apply(form: Form, packed: &Packed, panels: &Panels, output: &mut Output) {
        for_form!(form, of_shape(packed, panels, output));
    }

    fn of_shape<S: Shape>(packed: &Packed, panels: &Panels, output: &mut Output) {
        for (index, tile) in packed.tiles(output.tiles.clone()) {
            for panel in panels.clone() {
                match panel.rows {
                    // Eight rows at once would need more registers than there are.
                    8 => {
                        rows::<S, 8, 4>(tile, &panel, 0, index, output);
                        rows::<S, 8, 4>(tile, &panel, 4, index, output);
                    }
                    4 => rows::<S, 4, 4>(tile, &panel, 0, index, output),
                    2 => rows::<S, 2, 2>(tile, &panel, 0, index, output),
                    _ => rows::<S, 1, 1>(tile, &panel, 0, index, output),
                }
            }
        }
    }

    /// The results of a tile for M rows from `skip` of a panel of P.
    #[inline]
    fn rows<S: Shape, const P: usize, const M: usize>(
        tile: Tile,
        panel: &Panel,
        skip: usize,
        index: usize,
        output: &mut Output,
    ) {
        let halves = [
            of_half::<S, P, M>(tile, panel, skip, 0),
            of_half::<S, P, M>(tile, panel, skip, 1),
        ];
        for row in 0..M {
            let mut values = [0.0; TILE];
            for (target, half) in values.as_chunks_mut::<LANES>().0.iter_mut().zip(halves) {
                // SAFETY: it writes the 32 bytes of `target`, wherever they lie.
                unsafe { _mm256_storeu_ps(target.as_mut_ptr(), half[row]) };
            }
            output.store(panel.first + skip + row, index, &values);
        }
    }

    /// The results of 8 rows of a tile, its first or last.
    #[inline]
    fn of_half<S: Shape, const P: usize, const M: usize>(
        tile: Tile,
        panel: &Panel,
        skip: usize,
        half: usize,
    ) -> [__m256; M] {
        let mut sums = [_mm256_setzero_ps(); M];
        let mut panels = panel.blocks.as_chunks::<P>().0.iter();
        for group in tile.0.chunks(S::GROUP_LINES) {
            let Some((coarse, stretches)) = group.split_at_checked(S::COARSE) else { continue };
            let coarse = coarse_scales::<S>(coarse, half);
            for stretch in stretches.chunks(S::STRETCH_LINES) {
                let Some((fine, codes)) = stretch.split_first() else { continue };
                for (side, lines) in codes.chunks_exact(S::LINES).enumerate() {
                    let blocks = panels.next().and_then(|all| all[skip..].first_chunk::<M>());
                    let Some(blocks) = blocks else { return sums };
                    let scales = scales::<S>(coarse, &fine.0[side], &fine.0[1], half);
                    add_block::<S, M>(lines, blocks, &scales, half, &mut sums);
                }
            }
        }
        sums
    }

    /// Adds what one block gives.
    #[inline]
    fn add_block<S: Shape, const M: usize>(
        lines: &[Line],
        blocks: &[Block; M],
        scales: &ScalesOf,
        half: usize,
        sums: &mut [__m256; M],
    ) {
        let [first, last] = whole::<S, M>(lines, blocks, half);
        for (j, sum) in sums.iter_mut().enumerate() {
            let whole = match S::SCALES {
                Scales::Halves => _mm256_add_epi32(
                    _mm256_mullo_epi32(first[j], scales.halves[0]),
                    _mm256_mullo_epi32(last[j], scales.halves[1]),
                ),
                _ => _mm256_add_epi32(first[j], last[j]),
            };
            let whole = _mm256_mul_ps(_mm256_cvtepi32_ps(whole), scales.scale);
            let product = _mm256_mul_ps(whole, _mm256_set1_ps(blocks[j].scale));
            let added = || _mm256_mul_ps(scales.minimum, _mm256_set1_ps(blocks[j].total));
            let block = match S::SCALES {
                Scales::Two => _mm256_add_ps(product, added()),
                Scales::Group => _mm256_sub_ps(product, added()),
                Scales::One | Scales::Halves => product,
            };
            *sum = _mm256_add_ps(*sum, block);
        }
    }

    /// The sums of whole numbers over the first and the last half of a block, without the bias.
    #[inline]
    fn whole<S: Shape, const M: usize>(
        lines: &[Line],
        blocks: &[Block; M],
        side: usize,
    ) -> [[__m256i; M]; 2] {
        let ones = _mm256_set1_epi16(1);
        let mut sums = [[_mm256_setzero_si256(); M]; 2];
        for (half, sums) in sums.iter_mut().enumerate() {
            if S::BIAS != 0 && S::BITS != 8 {
                for (sum, block) in sums.iter_mut().zip(blocks) {
                    *sum = _mm256_set1_epi32(block.sums[half] * -S::BIAS);
                }
            }
            // Four pairs of 5 bits and 7 sum to 31 * 127 * 2 * 4 < 2^15; of 6 bits only two pairs do, of 8 bits one.
            let at_once = match S::BITS { 4 | 5 => 4, 6 => 2, _ => 1 };
            let mut word = half * 4;
            while word < half * 4 + 4 {
                let mut pairs = [_mm256_setzero_si256(); M];
                for word in word..word + at_once {
                    let codes = codes::<S>(lines, word, side);
                    for (pair, block) in pairs.iter_mut().zip(blocks) {
                        let values = _mm256_set1_epi32(block.word(word));
                        *pair = _mm256_add_epi16(*pair, products::<S>(codes, values));
                    }
                }
                for (sum, pair) in sums.iter_mut().zip(pairs) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, ones));
                }
                word += at_once;
            }
        }
        sums
    }

    /// Products of bytes, added in pairs.
    #[inline]
    fn products<S: Shape>(codes: __m256i, values: __m256i) -> __m256i {
        if S::BITS == 8 {
            // 255 * 127 * 2 would saturate: so with a sign, 128 * 127 * 2 < 2^15, and the sign goes to the other factor.
            _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(values, codes))
        } else {
            _mm256_maddubs_epi16(codes, values)
        }
    }

    /// Word `word` of 8 rows: codes of a byte, without a sign, but for those of 8 bits.
    #[inline]
    fn codes<S: Shape>(lines: &[Line], word: usize, side: usize) -> __m256i {
        if S::BITS == 8 {
            return _mm256_xor_si256(load(&lines[word], side), _mm256_set1_epi8(-128));
        }
        let nibbles = load(&lines[word / 2], side);
        let nibbles = if word.is_multiple_of(2) { nibbles } else { _mm256_srli_epi16::<4>(nibbles) };
        let low = _mm256_and_si256(nibbles, _mm256_set1_epi8(0x0f));
        let high = match S::BITS {
            5 => fifth(load(&lines[4], side), word),
            6 => fifth_and_sixth(load(&lines[4 + word / 4], side), word % 4),
            _ => return low,
        };
        _mm256_or_si256(low, high)
    }

    /// Bit `word` of each byte, as bit 4.
    #[inline]
    fn fifth(bits: __m256i, word: usize) -> __m256i {
        let moved = match word {
            0 => _mm256_slli_epi16::<4>(bits),
            1 => _mm256_slli_epi16::<3>(bits),
            2 => _mm256_slli_epi16::<2>(bits),
            3 => _mm256_slli_epi16::<1>(bits),
            4 => bits,
            5 => _mm256_srli_epi16::<1>(bits),
            6 => _mm256_srli_epi16::<2>(bits),
            _ => _mm256_srli_epi16::<3>(bits),
        };
        _mm256_and_si256(moved, _mm256_set1_epi8(0x10))
    }

    /// Bits `2 pair` and `2 pair + 1` of each byte, as bits 4 and 5.
    #[inline]
    fn fifth_and_sixth(bits: __m256i, pair: usize) -> __m256i {
        let moved = match pair {
            0 => _mm256_slli_epi16::<4>(bits),
            1 => _mm256_slli_epi16::<2>(bits),
            2 => bits,
            _ => _mm256_srli_epi16::<2>(bits),
        };
        _mm256_and_si256(moved, _mm256_set1_epi8(0x30))
    }

    /// Coarse scales and minimums of a group, zero where there are none.
    #[inline]
    fn coarse_scales<S: Shape>(lines: &[Line], half: usize) -> [__m256; 2] {
        match (S::SCALES, lines.first()) {
            (Scales::Group, Some(Line([d, m]))) => [floats(d, half), floats(m, half)],
            (Scales::Halves, Some(Line([d, _]))) => [floats(d, half), _mm256_setzero_ps()],
            _ => [_mm256_setzero_ps(); 2],
        }
    }

    /// Scales of a block: its own half line, and the one behind it where it has two.
    #[inline]
    fn scales<S: Shape>(coarse: [__m256; 2], own: &Half, second: &Half, half: usize) -> ScalesOf {
        let (none, [d, m]) = ([_mm256_setzero_si256(); 2], coarse);
        let (scale, minimum, halves) = match S::SCALES {
            Scales::One => (floats(own, half), m, none),
            Scales::Two => (floats(own, half), floats(second, half), none),
            Scales::Group => {
                let [scale, minimum] = bytes(own, half);
                let scale = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(scale));
                let minimum = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(minimum));
                (_mm256_mul_ps(d, scale), _mm256_mul_ps(m, minimum), none)
            }
            Scales::Halves => {
                let [a, b] = bytes(own, half);
                (d, m, [_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(b)])
            }
        };
        ScalesOf { scale, minimum, halves }
    }

    /// Eight floats of 16 bits, of the first rows or the last.
    #[inline]
    fn floats(half: &Half, side: usize) -> __m256 {
        let four = &half.as_chunks::<4>().0[side];
        // SAFETY: it reads the 16 bytes of `four`, wherever they lie.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(four.as_ptr().cast()) })
    }

    /// Two rows of 16 bytes: the first 8 or the last of each.
    #[inline]
    fn bytes(half: &Half, side: usize) -> [__m128i; 2] {
        let pairs = half.as_chunks::<2>().0;
        let (a, b) = (&pairs[side], &pairs[2 + side]);
        // SAFETY: each reads the 8 bytes of a pair of words, wherever they lie.
        unsafe { [_mm_loadl_epi64(a.as_ptr().cast()), _mm_loadl_epi64(b.as_ptr().cast())] }
    }

    /// The first 8 rows of a line, or the last.
    #[inline]
    fn load(line: &Line, side: usize) -> __m256i {
        let half = &line.0[side];
        // SAFETY: it reads the 32 bytes of `half`, wherever they lie.
        unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
    }
}

/// Scales of a block, a lane for each row.
#[derive(Clone, Copy)]
struct ScalesOf {
    scale: __m256,
    /// What is added, or, where its shape says so, subtracted.
    minimum: __m256,
    /// Whole numbers for the first and the last half.
    halves: [__m256i; 2],
}

/// Sixteen numbers in registers; made by functions that are compiled for this kind alone.
#[derive(Clone, Copy)]
struct Numbers([__m256; 2]);

#[allow(
    clippy::inline_always,
    reason = "its functions must be part of those that are compiled for this kind"
)]
impl Sixteen for Numbers {
    const MANY: bool = false;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: only functions of this file have such numbers, which are called where the processor has what it needs.
        Self(unsafe { [_mm256_setzero_ps(); 2] })
    }

    #[inline(always)]
    fn of(numbers: &Lanes) -> Self {
        let (low, high) = numbers.split_at(LANES);
        // SAFETY: as above; each reads 32 bytes, half of `numbers`, wherever they lie.
        Self(unsafe {
            [
                _mm256_loadu_ps(low.as_ptr()),
                _mm256_loadu_ps(high.as_ptr()),
            ]
        })
    }

    #[inline(always)]
    fn widened(halves: &[f16; TILE]) -> Self {
        let (low, high) = halves.split_at(LANES);
        // SAFETY: as above; each reads 16 bytes, half of `halves`, wherever they lie.
        Self(unsafe {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(low.as_ptr().cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(high.as_ptr().cast())),
            ]
        })
    }

    #[inline(always)]
    fn widened_upper(halves: &[bf16; TILE]) -> Self {
        let (low, high) = halves.split_at(LANES);
        // SAFETY: as above; each reads 16 bytes, half of `halves`, wherever they lie.
        Self(unsafe {
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(low.as_ptr().cast()));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(high.as_ptr().cast()));
            [low, high].map(|words| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words)))
        })
    }

    #[inline(always)]
    fn times(self, factor: f32) -> Self {
        let [low, high] = self.0;
        // SAFETY: as above.
        Self(unsafe {
            let factor = _mm256_set1_ps(factor);
            [_mm256_mul_ps(factor, low), _mm256_mul_ps(factor, high)]
        })
    }

    #[inline(always)]
    fn add_product(self, factor: f32, values: Self) -> Self {
        let ([a, b], [low, high]) = (self.0, values.0);
        // SAFETY: as above.
        Self(unsafe {
            let factor = _mm256_set1_ps(factor);
            [
                _mm256_add_ps(a, _mm256_mul_ps(factor, low)),
                _mm256_add_ps(b, _mm256_mul_ps(factor, high)),
            ]
        })
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, other.0);
        // SAFETY: as above.
        Self(unsafe { [_mm256_add_ps(a, c), _mm256_add_ps(b, d)] })
    }

    #[inline(always)]
    fn numbers(self) -> Lanes {
        let mut numbers = [0.0; TILE];
        let (low, high) = numbers.split_at_mut(LANES);
        // SAFETY: as above; each writes 32 bytes, half of `numbers`.
        unsafe {
            _mm256_storeu_ps(low.as_mut_ptr(), self.0[0]);
            _mm256_storeu_ps(high.as_mut_ptr(), self.0[1]);
        }
        numbers
    }

    #[inline(always)]
    fn ask_for(halves: &[f16]) {
        for line in halves.chunks(LINE) {
            // SAFETY: nothing is read; every processor with the rest has this.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
}
