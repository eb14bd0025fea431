//! How packed lines lie is known to copies on disk: a change is seen here, and wants another number.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::sync::{Mutex, PoisonError};

use super::FORM;
use crate::cpu::{Ground, Packing, Plot, Tray};
use crate::format::Format;

/// Lines as they come.
struct Seen(Mutex<Vec<u8>>);

impl Ground for Seen {
    fn put(&self, at: usize, lines: &[u8]) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let length = seen.len().max(at + lines.len());
        seen.resize(length, 0);
        seen.get_mut(at..at + lines.len())
            .unwrap()
            .copy_from_slice(lines);
        true
    }
}

/// The sum of 21 rows of nine blocks of 32 or two of 256, of bytes that are all different.
fn sum_of(format: Format) -> u32 {
    let columns = if format.block_elements() > 32 {
        512
    } else {
        288
    };
    let row = columns as u64 / format.block_elements() * format.block_bytes();
    let mut dice = 1u64;
    let bytes: Vec<u8> = (0..row * 21)
        .map(|_| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 56) as u8
        })
        .collect();
    let plot = Plot::of(format, 21, columns, 0).unwrap();
    let mut packing = Packing::begin(format, plot).unwrap();
    let seen = Seen(Mutex::default());
    packing.push(&bytes, &seen, &mut Tray::default());
    packing.finish().unwrap();
    crc32fast::hash(&seen.0.into_inner().unwrap())
}

#[test]
fn packed_lines_lie_as_this_form_says() {
    let packed = (0..40).filter_map(Format::from_code).filter(|format| {
        let columns = usize::try_from(format.block_elements()).unwrap();
        Plot::of(*format, 1, columns, 0).is_some()
    });
    let sums: Vec<String> = packed
        .map(|format| format!("{format} {:08x}", sum_of(format)))
        .collect();
    let known = "form 1: F32 1a053423, F16 a51d8d04, Q4_0 2836cbce, Q4_1 f349b695, Q5_0 5d839052, Q5_1 6aba2cf5, \
                 Q8_0 48a7043c, Q4_K 14446118, Q5_K 27812e91, Q6_K ffcfa29f, BF16 a51d8d04";
    let now = format!("form {FORM}: {}", sums.join(", "));
    assert_eq!(
        now, known,
        "if lines lie otherwise now, FORM has to be another number"
    );
}
