//! AVX-512 with VNNI: a line of weights is one register, and one instruction multiplies it with four columns of a row.
//!
//! Memory is asked for ahead where eight rows are multiplied at once: there the processor is busy, and sees too late by itself
//! what comes next. With fewer rows it does see it, and to ask made it slower.

#![allow(
    clippy::indexing_slicing,
    reason = "arrays of a length that is known, indices that are constants once unrolled"
)]

use std::arch::x86_64::{
    __m128i, __m512, __m512i, _MM_HINT_T0, _mm_cvtsi128_si64, _mm_dpbusd_epi32, _mm_hadd_epi32,
    _mm_loadu_si128, _mm_prefetch, _mm_set1_epi8, _mm_setzero_si128, _mm_storeu_si128,
    _mm256_loadu_si256, _mm512_add_epi32, _mm512_add_ps, _mm512_and_ps, _mm512_and_si512,
    _mm512_andnot_ps, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cvtepi8_epi32,
    _mm512_cvtepi32_epi8, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_cvtepu16_epi32,
    _mm512_cvtph_ps, _mm512_cvttps_epi32, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_max_epu32, _mm512_mul_ps, _mm512_mullo_epi32, _mm512_or_ps, _mm512_or_si512,
    _mm512_reduce_max_epu32, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_slli_epi16, _mm512_slli_epi32, _mm512_srli_epi16, _mm512_storeu_ps,
    _mm512_sub_ps,
};
use std::ops::Range;

use half::{bf16, f16};

use crate::cpu::activations::{ALMOST_HALF, Block, PANEL, Panel, Panels, Rounding, scale_of};
use crate::cpu::lanes::{LINE, Lanes, Sixteen};
use crate::cpu::pack::{Half, Line, Packed, Tile};
use crate::cpu::shape::{BLOCK, Form, GROUP, Scales, Shape, TILE, for_form};

use super::Output;

/// Lines that are asked for ahead: 4 KiB.
const AHEAD: usize = 64;

/// Declares functions for this kind of processor.
macro_rules! compiled {
    ($($item:item)*) => { $(
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        $item
    )* };
}

super::compiled_anew!("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");

compiled! {
    pub(super) fn apply(form: Form, packed: &Packed, panels: &Panels, output: &mut Output) {
        for_form!(form, of_shape(packed, panels, output));
    }

    fn of_shape<S: Shape>(packed: &Packed, panels: &Panels, output: &mut Output) {
        for (index, tile) in packed.tiles(output.tiles.clone()) {
            for panel in panels.clone() {
                match panel.rows {
                    8 => put(of_tile::<S, 8>(tile, &panel), &panel, index, output),
                    4 => put(of_tile::<S, 4>(tile, &panel), &panel, index, output),
                    2 => put(of_tile::<S, 2>(tile, &panel), &panel, index, output),
                    _ => put(of_tile::<S, 1>(tile, &panel), &panel, index, output),
                }
            }
        }
    }

    #[inline]
    fn put<const M: usize>(sums: [__m512; M], panel: &Panel, tile: usize, output: &mut Output) {
        for (row, sum) in sums.into_iter().enumerate() {
            let mut values = [0.0; TILE];
            // SAFETY: it writes the 64 bytes of `values`, wherever they lie.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), sum) };
            output.store(panel.first + row, tile, &values);
        }
    }

    /// The results of a tile's 16 rows for each of M rows of activations.
    #[inline]
    fn of_tile<S: Shape, const M: usize>(tile: Tile, panel: &Panel) -> [__m512; M] {
        let mut sums = [_mm512_setzero_ps(); M];
        let blocks = panel.blocks.as_chunks::<M>().0;
        if S::COARSE == 0 {
            add_stretches::<S, M>(tile.0, blocks, [_mm512_setzero_ps(); 2], &mut sums);
        } else {
            let groups = tile.0.chunks(S::GROUP_LINES);
            for (group, blocks) in groups.zip(blocks.chunks(GROUP)) {
                let Some((coarse, stretches)) = group.split_first() else { continue };
                add_stretches::<S, M>(stretches, blocks, coarse_scales::<S>(coarse), &mut sums);
            }
        }
        sums
    }

    /// Adds what a run of stretches gives: all of a tile, or of a group.
    #[inline]
    fn add_stretches<S: Shape, const M: usize>(
        lines: &[Line],
        blocks: &[[Block; M]],
        coarse: [__m512; 2],
        sums: &mut [__m512; M],
    ) {
        if S::STRETCH == 1 {
            for (stretch, blocks) in lines.chunks_exact(S::STRETCH_LINES).zip(blocks) {
                let Some((fine, codes)) = stretch.split_first() else { continue };
                let scales = scales::<S>(coarse, fine, 0);
                add_block::<S, M>(codes, blocks, &scales, sums);
            }
            return;
        }
        // Each side written out: with a side that is only known at run time it took twice as long.
        for (stretch, blocks) in lines.chunks(S::STRETCH_LINES).zip(blocks.chunks(S::STRETCH)) {
            let Some((fine, codes)) = stretch.split_first() else { continue };
            let mut sides = codes.chunks_exact(S::LINES).zip(blocks);
            if let Some((codes, blocks)) = sides.next() {
                add_block::<S, M>(codes, blocks, &scales::<S>(coarse, fine, 0), sums);
            }
            if let Some((codes, blocks)) = sides.next() {
                add_block::<S, M>(codes, blocks, &scales::<S>(coarse, fine, 1), sums);
            }
        }
    }

    /// Adds what one block gives.
    #[inline]
    fn add_block<S: Shape, const M: usize>(
        lines: &[Line],
        blocks: &[Block; M],
        scales: &ScalesOf,
        sums: &mut [__m512; M],
    ) {
        if M == PANEL {
            for line in lines {
                let later = std::ptr::from_ref(line).wrapping_add(AHEAD);
                _mm_prefetch::<_MM_HINT_T0>(later.cast());
            }
        }
        let whole = match S::SCALES {
            Scales::Halves => {
                let mut first = products::<S, M>(lines, blocks, 0..4, |block| block.sums[0]);
                let last = products::<S, M>(lines, blocks, 4..8, |block| block.sums[1]);
                for (first, last) in first.iter_mut().zip(last) {
                    let (a, b) = (_mm512_mullo_epi32(*first, scales.halves[0]), scales.halves[1]);
                    *first = _mm512_add_epi32(a, _mm512_mullo_epi32(last, b));
                }
                first
            }
            // Of few rows two chains, so that no product waits long for the one before it.
            _ if M < 4 => {
                let mut first = products::<S, M>(lines, blocks, 0..4, |block| block.sums[0]);
                let last = products::<S, M>(lines, blocks, 4..8, |block| block.sums[1]);
                for (first, last) in first.iter_mut().zip(last) {
                    *first = _mm512_add_epi32(*first, last);
                }
                first
            }
            _ => products::<S, M>(lines, blocks, 0..8, |block| block.sums[0] + block.sums[1]),
        };
        for ((sum, block), whole) in sums.iter_mut().zip(blocks).zip(whole) {
            let whole = _mm512_mul_ps(_mm512_cvtepi32_ps(whole), scales.scale);
            let product = _mm512_mul_ps(whole, _mm512_set1_ps(block.scale));
            let added = || _mm512_mul_ps(scales.minimum, _mm512_set1_ps(block.total));
            let term = match S::SCALES {
                Scales::Two => _mm512_add_ps(product, added()),
                Scales::Group => _mm512_sub_ps(product, added()),
                Scales::One | Scales::Halves => product,
            };
            *sum = _mm512_add_ps(*sum, term);
        }
    }

    /// The sums of whole numbers over some words of a block, without the bias; `total` is what the bias stands at.
    #[inline]
    fn products<S: Shape, const M: usize>(
        lines: &[Line],
        blocks: &[Block; M],
        words: Range<usize>,
        total: impl Fn(&Block) -> i32,
    ) -> [__m512i; M] {
        let mut sums = [_mm512_set1_epi32(0); M];
        if S::BIAS != 0 {
            for (sum, block) in sums.iter_mut().zip(blocks) {
                *sum = _mm512_set1_epi32(total(block) * -S::BIAS);
            }
        }
        for word in words {
            let codes = codes::<S>(lines, word);
            for (sum, block) in sums.iter_mut().zip(blocks) {
                *sum = _mm512_dpbusd_epi32(*sum, codes, _mm512_set1_epi32(block.word(word)));
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

    /// Coarse scales and minimums of a group.
    #[inline]
    fn coarse_scales<S: Shape>(Line([d, m]): &Line) -> [__m512; 2] {
        match S::SCALES {
            Scales::Group => [floats(d), floats(m)],
            _ => [floats(d), _mm512_setzero_ps()],
        }
    }

    /// Scales of the block whose scales lie on this side of their line.
    #[inline]
    fn scales<S: Shape>(coarse: [__m512; 2], fine: &Line, side: usize) -> ScalesOf {
        let (none, [d, m]) = ([_mm512_set1_epi32(0); 2], coarse);
        let (scale, minimum, halves) = match S::SCALES {
            Scales::One => (floats(&fine.0[side]), m, none),
            Scales::Two => (floats(&fine.0[0]), floats(&fine.0[1]), none),
            Scales::Group => {
                let [scale, minimum] = bytes(&fine.0[side]);
                let scale = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(scale));
                let minimum = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(minimum));
                (_mm512_mul_ps(d, scale), _mm512_mul_ps(m, minimum), none)
            }
            Scales::Halves => {
                let [a, b] = bytes(&fine.0[side]);
                (d, m, [_mm512_cvtepi8_epi32(a), _mm512_cvtepi8_epi32(b)])
            }
        };
        ScalesOf { scale, minimum, halves }
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

    /// As the plain one: the same operations on more columns at once, and sums of whole numbers.
    #[inline]
    fn rounded(source: &[f32; BLOCK]) -> Block {
        let (first, last) = source.split_at(BLOCK / 2);
        // SAFETY: each reads 64 bytes, 16 numbers of the 32.
        let columns = unsafe { [_mm512_loadu_ps(first.as_ptr()), _mm512_loadu_ps(last.as_ptr())] };
        let sign = _mm512_set1_ps(-0.0);
        let [a, b] = columns.map(|x| _mm512_castps_si512(_mm512_andnot_ps(sign, x)));
        let largest = f32::from_bits(_mm512_reduce_max_epu32(_mm512_max_epu32(a, b)));
        let Some((scale, inverse)) = scale_of(largest) else {
            return Block::without_scale(largest);
        };
        let (inverse, half) = (_mm512_set1_ps(inverse), _mm512_set1_ps(ALMOST_HALF));
        let [a, b] = columns.map(|x| {
            let half = _mm512_or_ps(half, _mm512_and_ps(sign, x));
            let whole = _mm512_cvttps_epi32(_mm512_add_ps(_mm512_mul_ps(x, inverse), half));
            _mm512_cvtepi32_epi8(whole)
        });
        let mut bytes = [0i8; BLOCK];
        let (first, last) = bytes.split_at_mut(BLOCK / 2);
        // SAFETY: each writes 16 bytes of the 32.
        unsafe {
            _mm_storeu_si128(first.as_mut_ptr().cast(), a);
            _mm_storeu_si128(last.as_mut_ptr().cast(), b);
        }
        let [a, b] = [a, b].map(|bytes| {
            _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), bytes)
        });
        let pairs = _mm_hadd_epi32(a, b);
        let both = _mm_cvtsi128_si64(_mm_hadd_epi32(pairs, pairs));
        Block::of(bytes, scale, [both as i32, (both >> 32) as i32])
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

/// Makes blocks of activations; only functions that are compiled for this kind ask it.
struct Rounder;

#[allow(
    clippy::inline_always,
    reason = "its function must be part of those that are compiled for this kind"
)]
impl Rounding for Rounder {
    #[inline(always)]
    fn block(source: &[f32; BLOCK]) -> Block {
        // SAFETY: only functions of this file ask for it, which are called where the processor has what it needs.
        unsafe { rounded(source) }
    }
}

/// Sixteen numbers in registers; made by functions that are compiled for this kind alone.
#[derive(Clone, Copy)]
struct Numbers(__m512);

#[allow(
    clippy::inline_always,
    reason = "its functions must be part of those that are compiled for this kind"
)]
impl Sixteen for Numbers {
    const MANY: bool = true;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: only functions of this file have such numbers, which are called where the processor has what it needs.
        Self(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    fn of(numbers: &Lanes) -> Self {
        // SAFETY: as above; it reads the 64 bytes of `numbers`, wherever they lie.
        Self(unsafe { _mm512_loadu_ps(numbers.as_ptr()) })
    }

    #[inline(always)]
    fn widened(halves: &[f16; TILE]) -> Self {
        // SAFETY: as above; it reads the 32 bytes of `halves`, wherever they lie.
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(halves.as_ptr().cast())) })
    }

    #[inline(always)]
    fn widened_upper(halves: &[bf16; TILE]) -> Self {
        // SAFETY: as above; it reads the 32 bytes of `halves`, wherever they lie.
        Self(unsafe {
            let words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(halves.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
        })
    }

    #[inline(always)]
    fn times(self, factor: f32) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_mul_ps(_mm512_set1_ps(factor), self.0) })
    }

    #[inline(always)]
    fn add_product(self, factor: f32, values: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_add_ps(self.0, _mm512_mul_ps(_mm512_set1_ps(factor), values.0)) })
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

    #[inline(always)]
    fn ask_for(halves: &[f16]) {
        for line in halves.chunks(LINE) {
            // SAFETY: nothing is read; every processor with the rest has this.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
}
