//! Weights that are floats: against plain arithmetic in 64 bits, and every kind of kernel against the others.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::ops::Range;

use half::{bf16, f16};
use proptest::prelude::*;

use crate::cpu::activations::Activations;
use crate::cpu::memory::Runs;
use crate::cpu::pack::{Packed, Plot};
use crate::cpu::packing::{Packing, Tray};
use crate::cpu::precision::Precision;
use crate::cpu::shape::TILE;
use crate::cpu::{BLOCK, Kind};
use crate::format::Format;

/// Bytes of a number in a file.
type Write = fn(f32) -> Vec<u8>;

/// Codes in a file of the formats that are floats, and how their numbers are written; `_const` for Miri, which does not know
/// the instruction for the other.
const FLOATS: [(u32, Write); 3] = [
    (0, |x| x.to_le_bytes().to_vec()),
    (1, |x| f16::from_f32_const(x).to_le_bytes().to_vec()),
    (30, |x| bf16::from_f32(x).to_le_bytes().to_vec()),
];

/// What no sound file has, and what a file may have.
const WILD: [f32; 8] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    1e-40,
    6e-8,
    -0.0,
    1.0,
];

/// A number between -1 and 1 that looks random and is always the same.
fn number(seed: u64, index: usize) -> f32 {
    let mixed = (index as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

fn numbers(count: usize, seed: u64, size: f32) -> Vec<f32> {
    (0..count).map(|index| number(seed, index) * size).collect()
}

/// A matrix as it lies in a file.
struct Sample {
    format: Format,
    rows: usize,
    columns: usize,
    bytes: Vec<u8>,
}

impl Sample {
    fn new(which: usize, rows: usize, columns: usize, values: &[f32]) -> Self {
        let (code, write) = FLOATS[which];
        Self {
            format: Format::from_code(code).unwrap(),
            rows,
            columns,
            bytes: values.iter().flat_map(|x| write(*x)).collect(),
        }
    }

    fn pack(&self) -> Packed {
        Packed::new(self.format, self.rows, self.columns, &self.bytes).unwrap()
    }

    /// The numbers as the file says them.
    fn floats(&self) -> Vec<f32> {
        let halves = || self.bytes.as_chunks::<2>().0.iter();
        match self.format.code() {
            0 => {
                let words = self.bytes.as_chunks::<4>().0.iter();
                words.map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            1 => halves()
                .map(|bytes| f16::from_le_bytes(*bytes).to_f32())
                .collect(),
            _ => halves()
                .map(|bytes| bf16::from_le_bytes(*bytes).to_f32())
                .collect(),
        }
    }
}

fn some_tiles(packed: &Packed, kind: Kind, rows: &[f32], tiles: Range<usize>) -> Vec<f32> {
    let mut input = Activations::default();
    input.rows_mut().extend_from_slice(rows);
    let count = rows.len() / packed.columns();
    let mut output = vec![f32::INFINITY; count * packed.rows_of(&tiles)];
    packed.apply(kind, &mut input, tiles, &mut output);
    output
}

fn product(packed: &Packed, kind: Kind, rows: &[f32]) -> Vec<f32> {
    some_tiles(packed, kind, rows, 0..packed.tile_count())
}

/// The same bits, or both no number: which NaN it is may differ.
fn bits(values: &[f32]) -> Vec<u32> {
    let of = |x: &f32| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() };
    values.iter().map(of).collect()
}

fn cases(many: u32) -> ProptestConfig {
    // Under Miri a case takes long.
    let cases = if cfg!(miri) { 6 } else { many };
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

/// One or a few, the rest rarer.
fn up_to(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![1..most.min(6), 1..=most]
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn a_product_is_what_plain_arithmetic_says_with_every_kind(
        which in 0usize..3, rows in up_to(40), columns in up_to(150), count in up_to(18),
        seed in any::<u64>(), size in prop::sample::select(vec![1e-20f32, 1.0, 1e18]),
    ) {
        let sample = Sample::new(which, rows, columns, &numbers(rows * columns, seed, 2.0));
        let (packed, floats) = (sample.pack(), sample.floats());
        let input = numbers(count * columns, !seed, size);
        let portable = product(&packed, Kind::Portable, &input);
        for (x, results) in input.chunks_exact(columns).zip(portable.chunks_exact(rows)) {
            for (w, result) in floats.chunks_exact(columns).zip(results) {
                let terms = || x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
                let expected: f64 = terms().sum();
                // Each term is rounded, and then each sum that it is part of.
                let rounded = (columns / 2 + 3) as f64 * f64::from(f32::EPSILON) / 2.0;
                let margin = terms().map(f64::abs).sum::<f64>() * rounded + 1e-42;
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

    #[test]
    fn a_result_has_the_same_bits_whatever_is_computed_beside_it(
        which in 0usize..3, rows in up_to(70), columns in up_to(90),
        before in 0usize..20, after in 0usize..20, cut in 0usize..6, seed in any::<u64>(),
    ) {
        let sample = Sample::new(which, rows, columns, &numbers(rows * columns, seed, 0.1));
        let packed = sample.pack();
        let input = numbers((before + 1 + after) * columns, !seed, 3.0);
        let row = &input[before * columns..(before + 1) * columns];
        let cut = cut.min(packed.tile_count());
        for kind in Kind::here() {
            let alone = product(&packed, kind, row);
            let among = product(&packed, kind, &input);
            prop_assert_eq!(bits(&alone), bits(&among[before * rows..(before + 1) * rows]), "{}", kind);
            let mut parts = some_tiles(&packed, kind, row, 0..cut);
            parts.extend(some_tiles(&packed, kind, row, cut..packed.tile_count()));
            prop_assert_eq!(bits(&alone), bits(&parts), "{}, cut at {}", kind, cut);
        }
    }

    #[test]
    fn packed_rows_widen_to_the_floats_of_the_file(
        which in 0usize..3, rows in up_to(40), columns in up_to(150), seed in any::<u64>(),
    ) {
        let (_, write) = FLOATS[which];
        let width = write(0.0).len();
        // Any bits at all.
        let mut sample = Sample::new(which, rows, columns, &[]);
        let words = (0..rows * columns).map(|at| number(seed, at).to_bits().rotate_left(at as u32 % 32));
        sample.bytes = words.flat_map(|word| word.to_le_bytes()[..width].to_vec()).collect();
        let packed = sample.pack();
        let mut widened = vec![f32::INFINITY; rows * columns];
        for (row, target) in widened.chunks_exact_mut(columns).enumerate() {
            prop_assert!(packed.widen(row, target));
        }
        prop_assert_eq!(bits(&widened), bits(&sample.floats()));
        prop_assert!(!packed.widen(rows, &mut widened[..columns]));
        prop_assert!(!packed.widen(0, &mut vec![0.0; columns + 2]), "there are not so many columns");
        let said = Packed::bytes_of(sample.format, rows, columns);
        prop_assert_eq!(said, Some(packed.bytes()));
        let whole_tiles = rows.next_multiple_of(TILE) * columns * width;
        let over = packed.bytes() - whole_tiles as u64;
        prop_assert!(over.is_multiple_of(32) && over <= 32 * packed.tile_count() as u64, "{over} more");
    }

    #[test]
    fn it_does_not_matter_how_many_rows_come_at_a_time(
        which in 0usize..3, rows in up_to(100), columns in up_to(150), tiles in 1usize..5, seed in any::<u64>(),
    ) {
        let sample = Sample::new(which, rows, columns, &numbers(rows * columns, seed, 1.0));
        let plot = Plot::of(sample.format, rows, columns, 3).unwrap();
        let ground = Runs::new(&[plot.lines().unwrap() + 3]).unwrap();
        let mut packing = Packing::begin(sample.format, plot).unwrap();
        let (at_once, mut tray) = (packing.tile_bytes() * tiles, Tray::default());
        for rows in sample.bytes.chunks(at_once) {
            packing.push(rows, &ground, &mut tray);
        }
        let packed = packing.finish().unwrap().matrix(&ground.finish()).unwrap();
        let input = numbers(columns, !seed, 1.0);
        let whole = product(&sample.pack(), Kind::best(), &input);
        prop_assert_eq!(bits(&product(&packed, Kind::best(), &input)), bits(&whole));
    }

    #[test]
    fn no_weights_and_no_activations_are_too_wild(
        which in 0usize..3, rows in up_to(34), columns in up_to(70), count in up_to(9),
        picks in prop::collection::vec(prop::sample::select(WILD.to_vec()), 1..200),
        in_weights in any::<bool>(), seed in any::<u64>(),
    ) {
        let mut values = numbers(rows * columns, seed, 1.0);
        let mut input = numbers(count * columns, !seed, 1.0);
        let wild = if in_weights { &mut values } else { &mut input };
        for (target, pick) in wild.iter_mut().zip(picks) {
            *target = pick;
        }
        let sample = Sample::new(which, rows, columns, &values);
        let (packed, floats) = (sample.pack(), sample.floats());
        let portable = product(&packed, Kind::Portable, &input);
        for (x, results) in input.chunks_exact(columns).zip(portable.chunks_exact(rows)) {
            for (w, result) in floats.chunks_exact(columns).zip(results) {
                let no_number = x.iter().chain(w).any(|x| x.is_nan());
                prop_assert!(!no_number || result.is_nan(), "what is no number is lost: {result}");
            }
        }
        for kind in Kind::here() {
            prop_assert_eq!(bits(&product(&packed, kind, &input)), bits(&portable), "{}", kind);
        }
    }
}

#[test]
fn precision_does_not_matter_to_floats() {
    let (rows, columns) = (21, 3 * BLOCK);
    for which in 0..FLOATS.len() {
        let sample = Sample::new(which, rows, columns, &numbers(rows * columns, 7, 1.0));
        let packed = sample.pack();
        let all = [Precision::Fast, Precision::Exact].map(|precision| {
            let mut input = Activations::new(precision);
            input.rows_mut().extend(numbers(5 * columns, 8, 1.0));
            let mut output = vec![f32::NAN; 5 * rows];
            let tiles = 0..packed.tile_count();
            packed.apply(Kind::best(), &mut input, tiles, &mut output);
            bits(&output)
        });
        assert_eq!(all[0], all[1], "{}", sample.format);
    }
}

#[test]
fn bytes_of_another_length_are_refused() {
    for (which, (_, write)) in FLOATS.into_iter().enumerate() {
        let sample = Sample::new(which, 3, 5, &numbers(15, 1, 1.0));
        let (format, bytes) = (sample.format, &sample.bytes);
        assert_eq!(bytes.len(), 15 * write(0.0).len());
        assert!(Packed::new(format, 3, 5, bytes).is_some());
        for (rows, columns, bytes) in [
            (2, 5, &bytes[..]),
            (4, 5, bytes),
            (3, 4, bytes),
            (3, 6, bytes),
            (3, 5, &bytes[1..]),
            (0, 5, &[]),
            (3, 0, &[]),
            (usize::MAX, 5, bytes),
            (3, usize::MAX, bytes),
            (usize::MAX, usize::MAX, bytes),
        ] {
            let packed = Packed::new(format, rows, columns, bytes);
            assert!(packed.is_none(), "{format}: {rows} rows of {columns}");
        }
    }
}
