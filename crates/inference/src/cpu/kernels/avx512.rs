//! AVX-512 with VNNI: a line of weights is one register, and one instruction multiplies it with four columns of a row.

#![allow(
    clippy::indexing_slicing,
    reason = "arrays of a length that is known, indices that are constants once unrolled"
)]

use std::arch::x86_64::{
    __m128i, __m512, __m512i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_loadu_si256,
    _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps,
    _mm512_cvtepu8_epi32, _mm512_cvtph_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_mul_ps, _mm512_mullo_epi32, _mm512_or_si512, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi16, _mm512_srli_epi16,
    _mm512_storeu_ps, _mm512_sub_ps,
};

use crate::cpu::activations::{Block, Panel, Panels};
use crate::cpu::arithmetic::{Lanes, Sixteen};
use crate::cpu::pack::{Half, Line, Packed, Tile, half_at};
use crate::cpu::shape::{GROUP, Scales, Shape, TILE, for_form};

/// Blocks that are asked for ahead, by measurement.
const AHEAD: usize = 8;

/// Declares functions for this kind of processor.
macro_rules! compiled {
    ($($item:item)*) => { $(
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        $item
    )* };
}

super::compiled_anew!("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");

compiled! {
    pub(super) fn apply(packed: &Packed, panels: &Panels, output: &mut [f32]) {
        for_form!(packed.form, of_shape(packed, panels, output));
    }

    fn of_shape<S: Shape>(packed: &Packed, panels: &Panels, output: &mut [f32]) {
        for (index, tile) in packed.tiles().enumerate() {
            for panel in panels.clone() {
                match panel.rows {
                    8 => put(of_tile::<S, 8>(&tile, &panel), packed, &panel, index, output),
                    4 => put(of_tile::<S, 4>(&tile, &panel), packed, &panel, index, output),
                    2 => put(of_tile::<S, 2>(&tile, &panel), packed, &panel, index, output),
                    _ => put(of_tile::<S, 1>(&tile, &panel), packed, &panel, index, output),
                }
            }
        }
    }

    #[inline]
    fn put<const M: usize>(
        sums: [__m512; M],
        packed: &Packed,
        panel: &Panel,
        tile: usize,
        output: &mut [f32],
    ) {
        for (row, sum) in sums.into_iter().enumerate() {
            let mut values = [0.0; TILE];
            // SAFETY: it writes the 64 bytes of `values`, wherever they lie.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), sum) };
            super::store(output, packed.rows(), panel.first + row, tile, &values);
        }
    }

    /// The results of a tile's 16 rows for each of M rows of activations.
    #[inline]
    fn of_tile<S: Shape, const M: usize>(tile: &Tile, panel: &Panel) -> [__m512; M] {
        let mut sums = [_mm512_setzero_ps(); M];
        let blocks = panel.blocks.as_chunks::<M>().0.iter();
        let lines = tile.codes.chunks_exact(S::LINES);
        for (index, (blocks, lines)) in blocks.zip(lines).enumerate() {
            let Some(scales) = scales::<S>(tile, index) else { continue };
            if M <= 4 {
                fetch_ahead(lines);
            }
            let [first, last] = whole::<S, M>(lines, blocks);
            for (j, sum) in sums.iter_mut().enumerate() {
                let whole = match S::SCALES {
                    Scales::Halves => _mm512_add_epi32(
                        _mm512_mullo_epi32(first[j], scales.halves[0]),
                        _mm512_mullo_epi32(last[j], scales.halves[1]),
                    ),
                    _ => _mm512_add_epi32(first[j], last[j]),
                };
                let whole = _mm512_mul_ps(_mm512_cvtepi32_ps(whole), scales.scale);
                let product = _mm512_mul_ps(whole, _mm512_set1_ps(blocks[j].scale));
                let added = || _mm512_mul_ps(scales.minimum, _mm512_set1_ps(blocks[j].total));
                let block = match S::SCALES {
                    Scales::Two => _mm512_add_ps(product, added()),
                    Scales::Group => _mm512_sub_ps(product, added()),
                    Scales::One | Scales::Halves => product,
                };
                *sum = _mm512_add_ps(*sum, block);
            }
        }
        sums
    }

    /// The sums of whole numbers over the first and the last half of a block, without the bias.
    #[inline]
    fn whole<S: Shape, const M: usize>(lines: &[Line], blocks: &[Block; M]) -> [[__m512i; M]; 2] {
        let mut sums = [[_mm512_set1_epi32(0); M]; 2];
        for (half, sums) in sums.iter_mut().enumerate() {
            if S::BIAS != 0 {
                for (sum, block) in sums.iter_mut().zip(blocks) {
                    *sum = _mm512_set1_epi32(block.sums[half] * -S::BIAS);
                }
            }
            for word in half * 4..half * 4 + 4 {
                let codes = codes::<S>(lines, word);
                for (sum, block) in sums.iter_mut().zip(blocks) {
                    *sum = _mm512_dpbusd_epi32(*sum, codes, _mm512_set1_epi32(block.words[word]));
                }
            }
        }
        sums
    }

    /// Word `word` of all 16 rows: codes of a byte, without a sign.
    #[inline]
    fn codes<S: Shape>(lines: &[Line], word: usize) -> __m512i {
        if S::BITS == 8 {
            return load(&lines[word]);
        }
        let nibbles = load(&lines[word / 2]);
        let nibbles = if word.is_multiple_of(2) { nibbles } else { _mm512_srli_epi16::<4>(nibbles) };
        let low = _mm512_and_si512(nibbles, _mm512_set1_epi8(0x0f));
        let high = match S::BITS {
            5 => fifth(load(&lines[4]), word),
            6 => fifth_and_sixth(load(&lines[4 + word / 4]), word % 4),
            _ => return low,
        };
        _mm512_or_si512(low, high)
    }

    /// Bit `word` of each byte, as bit 4.
    #[inline]
    fn fifth(bits: __m512i, word: usize) -> __m512i {
        let moved = match word {
            0 => _mm512_slli_epi16::<4>(bits),
            1 => _mm512_slli_epi16::<3>(bits),
            2 => _mm512_slli_epi16::<2>(bits),
            3 => _mm512_slli_epi16::<1>(bits),
            4 => bits,
            5 => _mm512_srli_epi16::<1>(bits),
            6 => _mm512_srli_epi16::<2>(bits),
            _ => _mm512_srli_epi16::<3>(bits),
        };
        _mm512_and_si512(moved, _mm512_set1_epi8(0x10))
    }

    /// Bits `2 pair` and `2 pair + 1` of each byte, as bits 4 and 5.
    #[inline]
    fn fifth_and_sixth(bits: __m512i, pair: usize) -> __m512i {
        let moved = match pair {
            0 => _mm512_slli_epi16::<4>(bits),
            1 => _mm512_slli_epi16::<2>(bits),
            2 => bits,
            _ => _mm512_srli_epi16::<2>(bits),
        };
        _mm512_and_si512(moved, _mm512_set1_epi8(0x30))
    }

    #[inline]
    fn scales<S: Shape>(tile: &Tile, index: usize) -> Option<ScalesOf> {
        let none = _mm512_setzero_ps();
        let whole = [_mm512_set1_epi32(0); 2];
        let of = |scale, minimum, halves| Some(ScalesOf { scale, minimum, halves });
        match S::SCALES {
            Scales::One => of(floats(half_at(tile.fine, index)?), none, whole),
            Scales::Two => {
                let Line([d, m]) = tile.fine.get(index)?;
                of(floats(d), floats(m), whole)
            }
            Scales::Group => {
                let Line([d, m]) = tile.coarse.get(index / GROUP)?;
                let [scale, minimum] = bytes(half_at(tile.fine, index)?);
                let scale = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(scale));
                let minimum = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(minimum));
                of(_mm512_mul_ps(floats(d), scale), _mm512_mul_ps(floats(m), minimum), whole)
            }
            Scales::Halves => {
                let d = floats(half_at(tile.coarse, index / GROUP)?);
                let [a, b] = bytes(half_at(tile.fine, index)?);
                of(d, none, [_mm512_cvtepi8_epi32(a), _mm512_cvtepi8_epi32(b)])
            }
        }
    }

    /// Sixteen floats of 16 bits.
    #[inline]
    fn floats(half: &Half) -> __m512 {
        // SAFETY: it reads the 32 bytes of `half`, wherever they lie.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(half.as_ptr().cast()) })
    }

    /// Two rows of 16 bytes.
    #[inline]
    fn bytes(half: &Half) -> [__m128i; 2] {
        let (a, b) = half.split_at(4);
        // SAFETY: each reads 16 bytes, four words of the eight in `half`.
        unsafe { [_mm_loadu_si128(a.as_ptr().cast()), _mm_loadu_si128(b.as_ptr().cast())] }
    }

    /// Asks for the lines some blocks ahead: few rows of activations wait for memory, and for nothing else.
    #[inline]
    fn fetch_ahead(lines: &[Line]) {
        for line in lines {
            let ahead = std::ptr::from_ref(line).wrapping_add(AHEAD * lines.len());
            // Nothing is read: an address where nothing is does no harm.
            _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
        }
    }

    #[inline]
    fn load(line: &Line) -> __m512i {
        // SAFETY: it reads the 64 bytes of `line`.
        unsafe { _mm512_loadu_si512(std::ptr::from_ref(line).cast::<__m512i>()) }
    }
}

/// Scales of a block, a lane for each row.
#[derive(Clone, Copy)]
struct ScalesOf {
    scale: __m512,
    /// What is added, or, where its shape says so, subtracted.
    minimum: __m512,
    /// Whole numbers for the first and the last half.
    halves: [__m512i; 2],
}

/// Sixteen numbers in registers; made by functions that are compiled for this kind alone.
#[derive(Clone, Copy)]
struct Numbers(__m512);

#[allow(
    clippy::inline_always,
    reason = "its functions must be part of those that are compiled for this kind"
)]
impl Sixteen for Numbers {
    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: only `attend` of this file has such numbers, and is called where the processor has what it needs.
        Self(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    fn add_product(self, factor: f32, values: &Lanes) -> Self {
        // SAFETY: as above; it reads the 64 bytes of `values`, wherever they lie.
        Self(unsafe {
            let (factor, values) = (_mm512_set1_ps(factor), _mm512_loadu_ps(values.as_ptr()));
            if cfg!(target_feature = "fma") {
                _mm512_fmadd_ps(factor, values, self.0)
            } else {
                _mm512_add_ps(_mm512_mul_ps(factor, values), self.0)
            }
        })
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn numbers(self) -> Lanes {
        let mut numbers = [0.0; TILE];
        // SAFETY: as above; it writes the 64 bytes of `numbers`, wherever they lie.
        unsafe { _mm512_storeu_ps(numbers.as_mut_ptr(), self.0) };
        numbers
    }
}
