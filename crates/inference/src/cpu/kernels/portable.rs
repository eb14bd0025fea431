//! Plain Rust, for every processor, and what the others are compared with.

use crate::cpu::activations::{Block, PANEL, Panel, Panels};
use crate::cpu::pack::{Packed, RowBlock, Tile};
use crate::cpu::shape::{BLOCK, Form, TILE};

use super::Output;

/// Columns of a block as numbers wide enough to be multiplied.
type Wide = [i16; BLOCK];

pub(super) fn apply(form: Form, packed: &Packed, panels: &Panels, output: &mut Output) {
    for (index, tile) in packed.tiles(output.tiles.clone()) {
        for panel in panels.clone() {
            let sums = of_tile(form, tile, &panel);
            for (row, values) in sums.iter().take(panel.rows).enumerate() {
                output.store(panel.first + row, index, values);
            }
        }
    }
}

fn of_tile(form: Form, tile: Tile, panel: &Panel) -> [[f32; TILE]; PANEL] {
    let mut sums = [[0.0; TILE]; PANEL];
    let mut activations = [[0; BLOCK]; PANEL];
    for (index, blocks) in panel.blocks.chunks_exact(panel.rows.max(1)).enumerate() {
        for (wide, block) in activations.iter_mut().zip(blocks) {
            *wide = block.bytes.map(i16::from);
        }
        for lane in 0..TILE {
            let Some(weights) = tile.row_block(form, index, lane) else {
                continue;
            };
            let codes = widen(weights.words);
            for ((sums, block), wide) in sums.iter_mut().zip(blocks).zip(&activations) {
                if let Some(sum) = sums.get_mut(lane) {
                    *sum = add_block(form, &weights, &codes, block, wide, *sum);
                }
            }
        }
    }
    sums
}

fn add_block(
    form: Form,
    weights: &RowBlock,
    codes: &Wide,
    block: &Block,
    activations: &Wide,
    sum: f32,
) -> f32 {
    let mut halves = [0i32; 2];
    let pairs = codes.as_chunks::<16>().0.iter();
    for (half, (a, b)) in halves
        .iter_mut()
        .zip(pairs.zip(activations.as_chunks::<16>().0))
    {
        *half = a
            .iter()
            .zip(b)
            .map(|(a, b)| i32::from(*a) * i32::from(*b))
            .sum();
    }
    for (half, sum) in halves.iter_mut().zip(block.sums) {
        *half -= form.bias() * sum;
    }
    let [first, last] = halves;
    let (whole, scale) = match weights.halves {
        Some((scales, common)) => (first * scales[0] + last * scales[1], common),
        None => (first + last, weights.scales[0]),
    };
    let scaled = whole as f32 * scale * block.scale;
    if form.has_minimum() {
        sum + (scaled + weights.minimum * block.total)
    } else {
        sum + scaled
    }
}

fn widen(words: [u32; 8]) -> Wide {
    let mut wide = [0; BLOCK];
    for (wide, word) in wide.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *wide = word.to_le_bytes().map(i16::from);
    }
    wide
}
