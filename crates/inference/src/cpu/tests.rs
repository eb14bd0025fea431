//! Every kernel against plain arithmetic and against the others, packing against candle's reading of the same bytes.
//! Floats of 16 bits are made by `from_f32_const`, for Miri does not know the instruction that `from_f32` takes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::borrow::Cow;

use candle_core::CpuStorage;
use proptest::prelude::*;

use super::activations::{Activations, Block};
use super::attention::Attention;
use super::pack::{Layout, Packed};
use super::shape::{BLOCK, TILE};
use super::{Kind, Precision, kernels};
use crate::blueprint::Gate;
use crate::format::Format;

/// Codes in a file of the formats that are packed, and where their scales of 16 bits lie in a block.
const PACKED: [(u32, &[usize]); 8] = [
    (2, &[0]),
    (3, &[0, 2]),
    (6, &[0]),
    (7, &[0, 2]),
    (8, &[0]),
    (12, &[0, 2]),
    (13, &[0, 2]),
    (14, &[208]),
];

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let x = self.0 ^ self.0 >> 29;
        x.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
    }

    /// Between -1 and 1.
    fn float(&mut self) -> f32 {
        (self.next() & 0xffff) as f32 / 32768.0 - 1.0
    }
}

/// A matrix to be made: bytes of a file.
struct Sample {
    format: Format,
    rows: usize,
    columns: usize,
    /// Aligned as the loader aligns them.
    bytes: Vec<u64>,
    length: usize,
}

impl Sample {
    /// `wild` scales may be infinite or no number.
    fn new(which: usize, rows: usize, units: usize, seed: u64, wild: bool) -> Self {
        let (code, scales) = PACKED[which];
        let format = Format::from_code(code).unwrap();
        let columns = units * format.block_elements() as usize;
        let unit = format.block_bytes() as usize;
        let length = rows * units * unit;
        let mut dice = Dice(seed);
        let mut bytes: Vec<u8> = (0..length).map(|_| dice.next() as u8).collect();
        if !wild {
            for block in bytes.chunks_exact_mut(unit) {
                for at in scales {
                    let scale = half::f16::from_f32_const(dice.float() / 10.0);
                    block[*at..*at + 2].copy_from_slice(&scale.to_le_bytes());
                }
            }
        }
        bytes.resize(length.next_multiple_of(8), 0);
        let words = bytes.as_chunks::<8>().0.iter();
        Self {
            format,
            rows,
            columns,
            bytes: words.map(|word| u64::from_ne_bytes(*word)).collect(),
            length,
        }
    }

    fn file(&self) -> Vec<u8> {
        let all = self.bytes.iter().flat_map(|word| word.to_ne_bytes());
        all.take(self.length).collect()
    }

    fn pack(&self) -> Packed {
        Packed::new(self.format, self.rows, self.columns, &self.file()).unwrap()
    }

    /// As candle reads it.
    fn floats(&self) -> Vec<f32> {
        // It asks for bytes that are aligned, which a `Vec` of bytes need not be.
        let bytes: &[u8] = bytemuck::cast_slice(&self.bytes);
        let file = Cow::Borrowed(&bytes[..self.length]);
        let read = self.format.dtype().from_data(file);
        match read.dequantize(self.rows * self.columns).unwrap() {
            CpuStorage::F32(values) => values,
            _ => panic!("no floats"),
        }
    }
}

fn activations(precision: Precision, rows: &[f32]) -> Activations {
    let mut made = Activations::new(precision);
    made.rows_mut().extend_from_slice(rows);
    made
}

fn product(packed: &Packed, kind: Kind, rows: &[f32]) -> Vec<f32> {
    product_keeping(Precision::Fast, packed, kind, rows)
}

fn product_keeping(precision: Precision, packed: &Packed, kind: Kind, rows: &[f32]) -> Vec<f32> {
    let count = rows.len() / packed.columns();
    let mut output = vec![f32::INFINITY; count * packed.rows()];
    let tiles = 0..packed.tile_count();
    let mut input = activations(precision, rows);
    packed.apply(kind, &mut input, tiles, &mut output);
    output
}

/// The same bits, or both no number: which NaN it is may differ.
fn bits(values: &[f32]) -> Vec<u32> {
    let of = |x: &f32| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() };
    values.iter().map(of).collect()
}

fn quantised(kind: Kind, row: &[f32]) -> Vec<Block> {
    let mut blocks = vec![Block::default(); row.len() / BLOCK];
    let of_row = blocks.len();
    kernels::quantise(kind, row.chunks_exact(row.len()), of_row, &mut blocks);
    blocks
}

fn whole_numbers(block: &Block) -> Vec<i8> {
    block.bytes.to_vec()
}

/// The products in 64 bits, and how far 32 bits may be off: each block's terms are rounded a few times.
fn plainly(packed: &Packed, row: &[f32]) -> Vec<(f64, f64)> {
    let blocks = quantised(Kind::Portable, row);
    let Layout::Blocks(form) = packed.layout else {
        panic!("floats have no blocks")
    };
    let mut results = Vec::new();
    for (index, tile) in packed.tiles(0..packed.tile_count()) {
        for lane in 0..TILE.min(packed.rows() - index * TILE) {
            let (mut sum, mut size) = (0.0f64, 0.0f64);
            for (b, block) in blocks.iter().enumerate() {
                let weights = tile.row_block(form, b, lane).unwrap();
                let codes = weights.words.iter().flat_map(|word| word.to_le_bytes());
                for (column, (code, value)) in codes.zip(whole_numbers(block)).enumerate() {
                    let weight = f64::from(weights.scales[column / 16])
                        * f64::from(i32::from(code) - form.bias());
                    let value = f64::from(block.scale) * f64::from(value);
                    sum += weight * value;
                    size += (weight * value).abs();
                }
                let added = f64::from(weights.minimum) * f64::from(block.total);
                sum += added;
                size += added.abs();
            }
            let rounded = (3 * blocks.len() + 4) as f64 * f64::from(f32::EPSILON);
            results.push((sum, size * rounded + 1e-30));
        }
    }
    results
}

fn some_rows(count: usize, columns: usize, seed: u64, size: f32) -> Vec<f32> {
    let mut dice = Dice(seed);
    (0..count * columns).map(|_| dice.float() * size).collect()
}

fn cases(many: u32) -> ProptestConfig {
    // Under Miri a case takes long.
    let cases = if cfg!(miri) { 6 } else { many };
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

/// Up to `many`; few under Miri.
const fn up_to(many: usize) -> std::ops::Range<usize> {
    1..if cfg!(miri) { 4 } else { many }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn a_product_is_what_plain_arithmetic_says_with_every_kind(
        which in 0usize..8, rows in up_to(40), units in up_to(5), count in up_to(18),
        seed in any::<u64>(), size in prop::sample::select(vec![1e-20f32, 1e-3, 1.0, 300.0, 1e18]),
    ) {
        let packed = Sample::new(which, rows, units, seed, false).pack();
        let input = some_rows(count, packed.columns(), seed ^ 1, size);
        let portable = product(&packed, Kind::Portable, &input);
        for (row, results) in input.chunks_exact(packed.columns()).zip(portable.chunks_exact(rows)) {
            for ((expected, margin), result) in plainly(&packed, row).into_iter().zip(results) {
                prop_assert!(
                    (f64::from(*result) - expected).abs() <= margin,
                    "{result}, but it is {expected}, give or take {margin}"
                );
            }
        }
        for kind in Kind::here() {
            prop_assert_eq!(bits(&product(&packed, kind, &input)), bits(&portable), "{}", kind);
        }
    }

    /// Two bytes: what the first leaves of at most half a step is kept in steps of 254 to the largest of it.
    #[test]
    fn a_product_that_is_kept_exactly_is_nearly_that_of_the_floats_with_every_kind(
        which in 0usize..8, rows in up_to(40), units in up_to(5), count in up_to(18),
        seed in any::<u64>(), size in prop::sample::select(vec![1e-3f32, 1.0, 300.0]),
    ) {
        let sample = Sample::new(which, rows, units, seed, false);
        let (packed, weights) = (sample.pack(), sample.floats());
        let columns = packed.columns();
        let input = some_rows(count, columns, seed ^ 3, size);
        let exact = |kind, rows: &[f32]| product_keeping(Precision::Exact, &packed, kind, rows);
        let portable = exact(Kind::Portable, &input);
        for (row, results) in input.chunks_exact(columns).zip(portable.chunks_exact(rows)) {
            let largest = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            let step = f64::from(largest) / (254.0 * 254.0);
            for (weights, result) in weights.chunks_exact(columns).zip(results) {
                let pairs = || weights.iter().zip(row).map(|(w, x)| (f64::from(*w), f64::from(*x)));
                let expected: f64 = pairs().map(|(w, x)| w * x).sum();
                let rounded: f64 = pairs().map(|(w, x)| w.abs() * (step * 1.01 + x.abs() * 3e-6)).sum();
                let margin = rounded + 1e-30;
                prop_assert!(
                    (f64::from(*result) - expected).abs() <= margin,
                    "{result}, but it is {expected}, give or take {margin}"
                );
            }
        }
        for kind in Kind::here() {
            prop_assert_eq!(bits(&exact(kind, &input)), bits(&portable), "{}", kind);
            let row = &input[(count - 1) * columns..];
            let alone = exact(kind, row);
            prop_assert_eq!(bits(&alone), bits(&portable[(count - 1) * rows..]), "{} alone", kind);
        }
    }

    #[test]
    fn a_row_has_the_same_bits_whatever_rows_stand_beside_it(
        which in 0usize..8, rows in up_to(34), units in up_to(4),
        before in up_to(20), after in up_to(20), seed in any::<u64>(),
    ) {
        let packed = Sample::new(which, rows, units, seed, false).pack();
        let input = some_rows(before + 1 + after, packed.columns(), seed ^ 2, 3.0);
        let row = &input[before * packed.columns()..(before + 1) * packed.columns()];
        for kind in Kind::here() {
            let alone = product(&packed, kind, row);
            let among = product(&packed, kind, &input);
            prop_assert_eq!(bits(&alone), bits(&among[before * rows..(before + 1) * rows]), "{}", kind);
        }
    }

    #[test]
    fn packed_rows_widen_to_the_floats_of_the_file(
        which in 0usize..8, rows in up_to(40), units in up_to(4), seed in any::<u64>(), wild in any::<bool>(),
    ) {
        let sample = Sample::new(which, rows, units, seed, wild);
        let packed = sample.pack();
        let mut widened = vec![f32::INFINITY; rows * packed.columns()];
        for (row, target) in widened.chunks_exact_mut(packed.columns()).enumerate() {
            prop_assert!(packed.widen(row, target));
        }
        prop_assert_eq!(bits(&widened), bits(&sample.floats()));
        prop_assert!(!packed.widen(rows, &mut widened[..packed.columns()]));
        let said = Packed::bytes_of(sample.format, rows, packed.columns());
        prop_assert_eq!(said, Some(packed.bytes()));
    }

    #[test]
    fn no_weights_and_no_activations_are_too_wild(
        which in 0usize..8, rows in up_to(34), units in up_to(3), seed in any::<u64>(),
        values in prop::collection::vec(
            prop_oneof![
                any::<u32>().prop_map(f32::from_bits),
                prop::sample::select(vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::MAX, f32::MIN, 1e-40, 1e-38, 1.0]),
            ],
            1..600,
        ),
    ) {
        let packed = Sample::new(which, rows, units, seed, true).pack();
        let columns = packed.columns();
        let mut input = some_rows(values.len().div_ceil(columns), columns, seed, 1.0);
        input[..values.len()].copy_from_slice(&values);
        let portable = product(&packed, Kind::Portable, &input);
        for (row, results) in input.chunks_exact(columns).zip(portable.chunks_exact(rows)) {
            if row.iter().any(|x| !x.is_finite()) {
                prop_assert!(results.iter().all(|x| x.is_nan()), "what is no number is lost");
            }
        }
        for kind in Kind::here() {
            prop_assert_eq!(bits(&product(&packed, kind, &input)), bits(&portable), "{}", kind);
        }
    }

    #[test]
    fn a_block_of_bytes_is_as_near_as_bytes_can_be(seed in any::<u64>(), size in 0.1f32..1e6) {
        let row = some_rows(1, 2 * BLOCK, seed, size);
        let blocks = quantised(Kind::Portable, &row);
        for (block, source) in blocks.iter().zip(row.chunks_exact(BLOCK)) {
            let largest = source.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            let scale = largest / 127.0;
            prop_assert_eq!(block.scale.to_bits(), scale.to_bits());
            let values = whole_numbers(block);
            for (value, x) in values.iter().zip(source) {
                prop_assert!(*value > i8::MIN);
                let off = (f32::from(*value) * block.scale - x).abs();
                prop_assert!(off <= block.scale * 0.5001, "{off} with steps of {}", block.scale);
            }
            let sum = |half: &[i8]| half.iter().map(|x| i32::from(*x)).sum::<i32>();
            prop_assert_eq!(block.sums, [sum(&values[..16]), sum(&values[16..])]);
            let total = sum(&values) as f32 * block.scale;
            prop_assert_eq!(block.total.to_bits(), total.to_bits());
        }
        for kind in Kind::here() {
            prop_assert_eq!(&quantised(kind, &row), &blocks, "{}", kind);
        }
    }
}

#[test]
fn what_stands_between_the_products_has_the_same_bits_with_every_kind() {
    let (width, tokens) = (72, 130);
    let pages = some_rows(3, 64 * width, 1, 2.0);
    let halves: Vec<_> = pages
        .iter()
        .map(|x| half::f16::from_f32_const(*x))
        .collect();
    let keys = || halves.chunks_exact(64 * width);
    let queries = some_rows(3, width, 2, 2.0);
    let all = |kind: Kind| {
        let mut attended = vec![f32::NAN; queries.len()];
        let mut scores = Vec::new();
        let attention = Attention {
            queries: &queries,
            attended: &mut attended,
            head_width: width,
            tokens,
            hidden: 21,
            scale: 0.12,
            cap: Some(3.0),
            waits: true,
            scores: &mut scores,
        };
        kernels::attend(kind, attention, keys(), keys());
        let mut normed = vec![f32::NAN; queries.len()];
        let weight = &pages[..queries.len()];
        kernels::rms_norm(kind, &queries, weight, 1e-5, &mut normed);
        let mut in_place = queries.clone();
        kernels::rms_norm_in_place(kind, &mut in_place, weight, 1e-5);
        assert_eq!(bits(&normed), bits(&in_place), "{kind}");
        let [silu, gelu] = [Gate::Silu, Gate::Gelu].map(|function| {
            let mut gate = queries.clone();
            kernels::let_through(kind, function, &mut gate, weight);
            gate
        });
        let mut bounded = queries.clone();
        kernels::keep_within(kind, &mut bounded, 1.5);
        [attended, normed, silu, gelu, bounded].map(|values| bits(&values))
    };
    let portable = all(Kind::Portable);
    assert!(
        portable
            .iter()
            .flatten()
            .all(|bits| f32::from_bits(*bits).is_finite())
    );
    for kind in Kind::here() {
        assert_eq!(all(kind), portable, "{kind}");
    }
}

#[test]
fn the_largest_sums_do_not_overflow() {
    for (which, (_, scales)) in PACKED.into_iter().enumerate() {
        for (byte, value) in [
            (0xff, 1.0),
            (0x80, 1.0),
            (0x7f, -1.0),
            (0x00, -1.0),
            (0xff, -1.0),
        ] {
            let mut sample = Sample::new(which, 17, 2, 5, false);
            let scales: Vec<usize> = scales.iter().flat_map(|at| [*at, at + 1]).collect();
            let unit = sample.format.block_bytes() as usize;
            let mut bytes = sample.file();
            for (at, target) in bytes.iter_mut().enumerate() {
                if !scales.contains(&(at % unit)) {
                    *target = byte;
                }
            }
            sample.length = bytes.len();
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let words = bytes.as_chunks::<8>().0.iter();
            sample.bytes = words.map(|word| u64::from_ne_bytes(*word)).collect();
            let packed = sample.pack();
            let input = vec![value; packed.columns() * 9];
            let portable = product(&packed, Kind::Portable, &input);
            let expected = plainly(&packed, &input[..packed.columns()]);
            for ((expected, margin), result) in expected.into_iter().zip(&portable) {
                let off = (f64::from(*result) - expected).abs();
                assert!(
                    off <= margin,
                    "{}: {result}, but it is {expected}",
                    sample.format
                );
            }
            for kind in Kind::here() {
                let results = product(&packed, kind, &input);
                assert_eq!(
                    bits(&results),
                    bits(&portable),
                    "{} with {kind}",
                    sample.format
                );
            }
        }
    }
}

#[test]
fn bytes_of_another_length_are_refused() {
    let sample = Sample::new(1, 3, 2, 1, false);
    let file = sample.file();
    let try_with =
        |rows, columns, bytes: &[u8]| Packed::new(Format::Q4_1, rows, columns, bytes).is_some();
    assert!(try_with(3, 64, &file));
    for (rows, columns, bytes) in [
        (2, 64, &file[..]),
        (3, 32, &file),
        (3, 64, &file[1..]),
        (3, 65, &file),
        (0, 64, &[]),
        (3, 0, &[]),
        (usize::MAX, 64, &file),
    ] {
        assert!(!try_with(rows, columns, bytes), "{rows} rows of {columns}");
    }
    let without = Format::from_code(10).unwrap();
    assert!(Packed::new(without, 1, 256, &[0; 84]).is_none());
}

#[test]
fn changed_rows_are_made_bytes_anew() {
    let packed = Sample::new(1, 5, 2, 3, false).pack();
    let (first, second) = (some_rows(3, 64, 1, 1.0), some_rows(3, 64, 2, 1.0));
    let mut input = activations(Precision::Fast, &first);
    let mut output = vec![0.0; 15];
    let tiles = 0..packed.tile_count();
    packed.apply(Kind::best(), &mut input, tiles, &mut output);
    input.rows_mut().clone_from(&second);
    let tiles = 0..packed.tile_count();
    packed.apply(Kind::best(), &mut input, tiles, &mut output);
    assert_eq!(
        bits(&output),
        bits(&product(&packed, Kind::best(), &second))
    );
}
