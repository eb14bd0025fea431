//! Matrices of every format: packed and as they lie in the file they say the same, and shares of one are the whole.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::*;

/// Codes of the formats that are packed, and of those that are not.
const PACKED: [u32; 11] = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 30];
const UNPACKED: [u32; 3] = [10, 11, 15];

fn number(index: usize) -> f32 {
    ((index as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// A matrix packed, and as it lies in the file.
fn both(format: Format, rows: usize, columns: usize) -> [Matrix; 2] {
    let values: Vec<f32> = (0..rows * columns).map(number).collect();
    let bytes = Tensor::from_vec(values, (rows, columns), &Device::Cpu)
        .and_then(|tensor| QTensor::quantize(&tensor, format.dtype()))
        .and_then(|tensor| Ok(tensor.data()?.into_owned()))
        .unwrap();
    // Aligned as the loader aligns them.
    let length = bytes.len();
    let mut words = vec![0u64; length.div_ceil(8)];
    let aligned: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    aligned[..length].copy_from_slice(&bytes);
    let bytes = &aligned[..length];
    let packed = Matrix::new(Kind::best(), format, rows, columns, bytes);
    let in_file = Matrix::in_file(format, rows, columns, bytes);
    [packed.unwrap(), in_file.unwrap()]
}

fn input(count: usize, columns: usize) -> Activations {
    let mut input = Activations::new(crate::cpu::Precision::Exact);
    input
        .rows_mut()
        .extend((0..count * columns).map(|at| number(at + 77)));
    input
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Columns that a format can have, near this many.
fn whole_blocks(format: Format, columns: usize) -> usize {
    columns.next_multiple_of(format.block_elements() as usize)
}

#[test]
fn all_but_three_formats_are_packed_and_say_what_the_file_says() {
    for code in PACKED.into_iter().chain(UNPACKED) {
        let format = Format::from_code(code).unwrap();
        let (rows, columns) = (37, whole_blocks(format, 75));
        let [packed, in_file] = both(format, rows, columns);
        assert_eq!(packed.is_packed(), PACKED.contains(&code), "{format}");
        assert_eq!(
            Matrix::has_packed_form(format),
            packed.is_packed(),
            "{format}"
        );
        assert!(!in_file.is_packed());
        let lies = in_file.bytes();
        let needed = Matrix::bytes_needed(format, rows as u64, columns as u64, lies);
        assert_eq!(packed.bytes(), needed, "{format}");
        let ids = [36, 0, 16, 15];
        let widened = packed.widen(&ids).unwrap();
        assert_eq!(
            bits(&widened),
            bits(&in_file.widen(&ids).unwrap()),
            "{format}"
        );
        for matrix in [packed, in_file] {
            let error = matrix.widen(&[1, 37]).unwrap_err();
            assert!(error.to_string().contains("37"), "{error}");
            let mut wrong = input(1, columns + 1);
            let error = matrix.apply(&mut wrong, &mut Vec::new()).unwrap_err();
            assert!(matches!(error, StepError::Compute(_)), "{error}");
            let mut none = vec![1.0];
            matrix.apply(&mut input(0, columns), &mut none).unwrap();
            assert!(none.is_empty(), "{format}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn shares_of_a_product_are_the_whole_and_near_that_of_the_file(
        which in 0..PACKED.len(), rows in 1usize..90, columns in 1usize..300, count in 1usize..11,
        cuts in prop::collection::vec(0usize..8, 0..4),
    ) {
        let format = Format::from_code(PACKED[which]).unwrap();
        // Some of candle's kernels take two blocks of 32 at once, and panic where one is left.
        let blocks = if format.block_elements() == 32 { 64 } else { 1 };
        let columns = whole_blocks(format, columns.next_multiple_of(blocks));
        let [packed, in_file] = both(format, rows, columns);
        let mut input = input(count, columns);
        let (mut whole, mut plain) = (Vec::new(), Vec::new());
        packed.apply(&mut input, &mut whole).unwrap();
        in_file.apply(&mut input, &mut plain).unwrap();
        // A sum of so many products of numbers up to 1; candle rounds activations of most formats to 8 bits.
        let margin = if in_file.rounds() { 0.03 } else { 1e-5 } * (columns as f32).sqrt();
        for (ours, plain) in whole.iter().zip(&plain) {
            prop_assert!((ours - plain).abs() < margin, "{format}: {ours}, but it is {plain}");
        }
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(packed.tiles())).collect();
        cuts.extend([0, packed.tiles()]);
        cuts.sort_unstable();
        let mut parts = Vec::new();
        for pair in cuts.windows(2) {
            packed.append_some(pair[0]..pair[1], &mut input, &mut parts).unwrap();
        }
        let mut spread = vec![f32::NAN; whole.len()];
        let mut left = parts.as_slice();
        for pair in cuts.windows(2) {
            left = packed.spread(pair[0]..pair[1], left, &mut spread);
        }
        prop_assert!(left.is_empty());
        prop_assert_eq!(bits(&spread), bits(&whole), "{}", format);
    }
}

impl Matrix {
    /// Whether candle rounds what it multiplies with.
    fn rounds(&self) -> bool {
        match &self.weights {
            Weights::InFile { blocks, .. } => blocks.dtype().block_size() > 1,
            Weights::Packed(..) => false,
        }
    }
}
