//! Whoever comes to a pass of whatever size, no member holds more than was counted; and what was counted can happen.

use proptest::prelude::*;

use super::super::shares_matrices;
use super::*;
use crate::blueprint::{Architecture, Manner};
use crate::crew::share_of;

const MOST_ROWS: usize = 256;

fn sizes(kv_heads: usize, of_kv: usize, head_width: usize, width: usize) -> Blueprint {
    Blueprint {
        architecture: Architecture::Llama,
        layers: 1,
        width: width * BLOCK,
        heads: kv_heads * of_kv,
        kv_heads,
        head_width,
        rope_width: head_width,
        rope_base: 1e4,
        rope_factor: 1.0,
        feed_forward: 3 * BLOCK,
        norm_epsilon: 1e-5,
        vocabulary: 1234,
        context: 100,
        tied_output: true,
        manner: Manner::default(),
    }
}

fn room(sizes: &Blueprint, threads: usize) -> Room<'_> {
    Room {
        sizes,
        precision: Precision::Fast,
        threads,
        rows: MOST_ROWS,
        sampling: 16,
        ways: Ways {
            by_bytes: true,
            in_file: false,
        },
    }
}

/// Rows that a member really holds.
fn held(number: usize, members: usize, rows: usize) -> usize {
    if members > 1 && shares_matrices(rows, members) {
        rows
    } else {
        share_of(number, members, rows, ROWS_TOGETHER).len()
    }
}

#[test]
fn no_member_holds_more_rows_than_are_counted_and_each_can_hold_as_many() {
    let sizes = sizes(1, 1, 16, 1);
    for threads in 1..20 {
        for number in 0..threads {
            let most = (number + 1..=threads)
                .flat_map(|members| (1..=MOST_ROWS).map(move |rows| (members, rows)))
                .map(|(members, rows)| held(number, members, rows));
            let counted = room(&sizes, threads).rows_of(number);
            assert_eq!(Some(counted), most.max(), "{number} of {threads}");
        }
    }
}

/// Two threads, once one after the other came and once both: both have whole buffers, where one number would be shared.
#[test]
fn who_comes_once_is_counted_for_good() {
    let sizes = sizes(2, 3, 32, 8);
    let [one, two, four] = [1, 2, 4].map(|threads| room(&sizes, threads));
    assert_eq!([two.rows_of(0), two.rows_of(1)], [256, 128]);
    assert_eq!(
        [0, 1, 2, 3].map(|member| four.rows_of(member)),
        [256, 128, 88, 64]
    );
    let row = one.floats_of_row();
    assert!(two.floats() - one.floats() > 100 * row);
    assert!(four.floats() - two.floats() > 150 * row);
}

#[test]
fn only_what_is_multiplied_so_takes_room() {
    let sizes = sizes(2, 3, 32, 8);
    let of = |by_bytes, in_file| {
        let ways = Ways { by_bytes, in_file };
        Room {
            ways,
            ..room(&sizes, 1)
        }
        .floats()
    };
    let (neither, widest) = (of(false, false), sizes.width.max(sizes.query_width()));
    assert_eq!(of(false, true) - neither, MOST_ROWS * widest);
    let blocks = |width: usize| width.div_ceil(BLOCK) * FLOATS_OF_BLOCK;
    // Rows that are multiplied, values twice over, and those that sample.
    let [width, queries, inner] =
        [sizes.width, sizes.query_width(), sizes.feed_forward].map(blocks);
    let valued = 3 * sizes.width + 2 * width;
    let of_row = width + queries + inner + valued;
    assert_eq!(of(true, false) - neither, MOST_ROWS * of_row + 16 * width);
}

#[test]
fn what_is_exact_takes_more_and_what_cannot_be_is_no_overflow() {
    let sizes = sizes(2, 3, 32, 8);
    for threads in [1, 3] {
        let fast = room(&sizes, threads);
        let exact = Room {
            precision: Precision::Exact,
            ..fast
        };
        assert!(exact.floats() > fast.floats());
        // A claim of millions is counted no further than `SCORED`.
        for (context, counted) in [(30_000, 30_000), (1 << 24, 1 << 15)] {
            let longer = Blueprint {
                context,
                ..sizes.clone()
            };
            let scores = room(&longer, threads).floats() - fast.floats();
            assert_eq!(scores, threads * 3 * (counted - 112));
        }
    }
    let huge = Blueprint {
        vocabulary: usize::MAX,
        feed_forward: usize::MAX,
        ..sizes
    };
    assert_eq!(room(&huge, 3).floats(), usize::MAX);
}

proptest! {
    /// What is made and handed over, by the rules of a pass.
    #[test]
    fn no_member_hands_over_more_than_is_counted(
        kv_heads in 1usize..5, of_kv in 1usize..9, head_width in (1usize..9).prop_map(|w| w * 4), width in 1usize..9,
        threads in 2usize..24, members in 0usize..24, number in 0usize..24, rows in 1usize..=MOST_ROWS,
    ) {
        let members = 2 + members % (threads - 1);
        let number = number % members;
        let sizes = sizes(kv_heads, of_kv, head_width, width);
        let room = room(&sizes, threads);
        let tiles = |outputs: usize| share_of(number, members, outputs.div_ceil(TILE), 1).len() * TILE;
        let rows_held = held(number, members, rows);
        let (queries, keys) = (sizes.query_width(), sizes.kv_width());
        let handed = if shares_matrices(rows, members) {
            let attended = share_of(number, members, rows * kv_heads, 1).len() * of_kv * head_width;
            [
                rows * (tiles(queries) + 2 * tiles(keys)),
                rows * tiles(sizes.width),
                rows * tiles(sizes.feed_forward),
                attended,
            ].into_iter().max().unwrap_or(0)
        } else {
            rows_held * sizes.width.max(2 * keys)
        };
        let handed = handed.max(tiles(sizes.vocabulary) * rows.min(16));
        let by_matrix = room.made_by_matrix();
        prop_assert!(handed <= room.handed_over(number, by_matrix));
        prop_assert!(handed.max(rows_held * sizes.width) <= room.own(number, by_matrix));
    }
}
