//! What the buffers of all members take at most: promised before a model is loaded, and kept whoever comes.
//!
//! A buffer keeps the largest size that it ever had, and how large a member's share is depends on how many came. So each is
//! counted with the largest share that it can ever have, which the last of the members has where nobody else came.
//!
//! Invariant: all is arithmetic on sizes; nothing here overflows.

use crate::blueprint::Blueprint;
use crate::cpu::{BLOCK, FLOATS_OF_BLOCK, HEADS_AT_ONCE, Precision, TILE, TOKENS_OF_TILE};

use super::{MANY_ROWS, ROWS_TOGETHER};

/// Tokens whose scores are counted: a file may claim a context of millions that nobody uses, and who does needs a thousand times
/// as much for its keys and values, which are leased.
const SCORED: usize = 1 << 15;

/// How large passes are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room<'a> {
    /// Of the model.
    pub(crate) sizes: &'a Blueprint,
    /// How activations are kept.
    pub(crate) precision: Precision,
    /// Members that may come; from 1.
    pub(crate) threads: usize,
    /// Rows that go through the layers at once.
    pub(crate) rows: usize,
    /// Rows whose logits are computed at once.
    pub(crate) sampling: usize,
    /// How its weights are multiplied.
    pub(crate) ways: Ways,
}

/// How the matrices of a model are multiplied: some so, some otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    /// Some meet activations as bytes.
    pub(crate) by_bytes: bool,
    /// Some as they lie in the file, with activations that candle rewrites.
    pub(crate) in_file: bool,
}

impl Room<'_> {
    /// Floats of all buffers, beside weights and keys and values.
    pub(crate) fn floats(&self) -> usize {
        let sizes = self.sizes;
        let by_matrix = self.made_by_matrix();
        let members = (0..self.threads).map(|number| {
            // Where others find it there are two, of this meeting and of the one before; the three change places.
            let places = if self.threads == 1 { 1 } else { 3 };
            let own = self.own(number, by_matrix).saturating_mul(places);
            let rows = self.rows_of(number).saturating_mul(self.floats_of_row());
            sum([rows, own, self.last(), self.scores()])
        });
        let wanted = sizes.width.saturating_mul(self.rows);
        let logits = sizes.vocabulary.saturating_mul(self.sampling);
        // Activations that candle rewrites for weights it multiplies: of one matrix at a time, and by one thread.
        let widest = sizes.width.max(sizes.feed_forward).max(sizes.query_width());
        let rewritten = if self.ways.in_file {
            widest.saturating_mul(self.rows)
        } else {
            0
        };
        sum([sum(members), wanted, logits, rewritten])
    }

    /// Rows that a member holds: all those of a pass that shares matrices, or its share of a larger one.
    fn rows_of(&self, number: usize) -> usize {
        let by_matrix = if self.threads > 1 {
            self.rows_by_matrix(self.threads)
        } else {
            0
        };
        by_matrix.max(self.share_of_rows(number + 1))
    }

    /// Rows of the largest pass in which so many members share matrices.
    fn rows_by_matrix(&self, members: usize) -> usize {
        let fewer = MANY_ROWS.saturating_mul(members).saturating_sub(1);
        fewer.min(self.rows)
    }

    /// Rows that one of so many members has, where those are shared out.
    fn share_of_rows(&self, members: usize) -> usize {
        let pieces = self.rows.div_ceil(ROWS_TOGETHER).div_ceil(members);
        pieces.saturating_mul(ROWS_TOGETHER).min(self.rows)
    }

    /// Floats that a member holds for each row, with the bytes of those that are multiplied.
    fn floats_of_row(&self) -> usize {
        let sizes = self.sizes;
        let [width, queries, inner] = [sizes.width, sizes.query_width(), sizes.feed_forward];
        // residual, normed, projected; queries, attended; keys, values; gate, up; cos, sin; the token.
        let near = sizes.manner.near.and_then(|near| near.rope_base);
        let tables = if near.is_some() { 2 } else { 1 };
        let turns = sizes.rope_width.saturating_mul(tables);
        let floats = [(3, width), (2, queries), (2, sizes.kv_width()), (2, inner)];
        let floats = floats.map(|(times, width)| width.saturating_mul(times));
        let multiplied = [width, queries, inner].map(|width| self.beside(width, self.precision));
        // What values are made of.
        let valued = match self.precision {
            Precision::Fast if self.ways.by_bytes => {
                width.saturating_add(self.beside(width, Precision::Exact))
            }
            Precision::Fast | Precision::Exact => 0,
        };
        sum([sum(floats), turns, 1, sum(multiplied), valued])
    }

    /// What a row takes beside itself once it is multiplied: its bytes, and where it is kept exactly the floats of both planes.
    fn beside(&self, width: usize, precision: Precision) -> usize {
        let bytes = width.div_ceil(BLOCK).saturating_mul(FLOATS_OF_BLOCK);
        match precision {
            _ if !self.ways.by_bytes => 0,
            Precision::Fast => bytes,
            Precision::Exact => bytes.saturating_add(width).saturating_mul(2),
        }
    }

    /// Rows that sample, with what their product takes.
    fn last(&self) -> usize {
        let width = self.sizes.width;
        let row = width.saturating_add(self.beside(width, self.precision));
        row.saturating_mul(self.sampling)
    }

    /// Of the longest context, as far as it is counted.
    fn scores(&self) -> usize {
        let heads = self.sizes.heads / self.sizes.kv_heads.max(1);
        let tokens = (self.sizes.context as usize).min(SCORED);
        let tokens = tokens.next_multiple_of(TOKENS_OF_TILE);
        tokens.saturating_mul(heads.clamp(1, HEADS_AT_ONCE))
    }

    /// What a member makes of a product, or of attention, where matrices are shared, whoever comes.
    fn made_by_matrix(&self) -> usize {
        let sizes = self.sizes;
        let (queries, keys) = (sizes.query_width(), sizes.kv_width());
        let groups = sizes.kv_heads.max(1);
        let made = (2..=self.threads).map(|members| {
            let rows = self.rows_by_matrix(members);
            let projected = [queries, keys, keys].map(|width| share_of_outputs(width, members));
            let of_row = sum(projected)
                .max(share_of_outputs(sizes.width, members))
                .max(share_of_outputs(sizes.feed_forward, members));
            let attended = rows.saturating_mul(groups).div_ceil(members);
            let attended = attended.saturating_mul(queries / groups);
            rows.saturating_mul(of_row).max(attended)
        });
        made.max().unwrap_or(0)
    }

    /// What a member hands to others: nothing, where it is the only one that may come.
    fn handed_over(&self, number: usize, by_matrix: usize) -> usize {
        if self.threads == 1 {
            return 0;
        }
        let members = (number + 1).max(2);
        let sizes = self.sizes;
        // Keys and values; rows that sample.
        let of_row = sizes.kv_width().saturating_mul(2).max(sizes.width);
        let of_rows = self.share_of_rows(members).saturating_mul(of_row);
        let logits = share_of_outputs(sizes.vocabulary, members).saturating_mul(self.sampling);
        by_matrix.max(of_rows).max(logits)
    }

    /// What a member hands over before it does, or the rows that sample of those it holds.
    fn own(&self, number: usize, by_matrix: usize) -> usize {
        let wanted = self.rows_of(number).saturating_mul(self.sizes.width);
        wanted.max(self.handed_over(number, by_matrix))
    }
}

/// Outputs of a matrix that one of so many members computes.
fn share_of_outputs(outputs: usize, members: usize) -> usize {
    let tiles = outputs.div_ceil(TILE).div_ceil(members);
    tiles.saturating_mul(TILE)
}

fn sum(sizes: impl IntoIterator<Item = usize>) -> usize {
    sizes.into_iter().fold(0, usize::saturating_add)
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
