//! Products that the members of a crew make together: each its share of every matrix, or all of it for the rows it holds.
//!
//! Invariant: what comes out has the same bits, whoever made which part of it.

use crate::cpu::{self, Activations};
use crate::crew::Member;
use crate::matrix::Matrix;
use crate::model::{Layer, Model};

use super::shared::{Scratch, Shared};

/// Who shares what with whom.
#[derive(Clone, Copy)]
pub(super) struct Sharing<'a> {
    pub(super) shared: &'a Shared,
    pub(super) member: &'a Member<'a>,
    /// Whether matrices are shared out; else the rows are.
    pub(super) by_matrix: bool,
}

impl Sharing<'_> {
    /// Products of several matrices, each with the input of its number, all of as many rows; `own` is room for this member's
    /// part of them.
    pub(super) fn products<const N: usize, const M: usize>(
        self,
        matrices: [(&Matrix, usize); N],
        mut inputs: [&mut Activations; M],
        own: &mut Vec<f32>,
        mut outputs: [&mut Vec<f32>; N],
    ) {
        let Self { shared, member, .. } = self;
        own.clear();
        for ((matrix, input), output) in matrices.iter().zip(&mut outputs) {
            let Some(input) = inputs.get_mut(*input) else {
                continue;
            };
            if !self.by_matrix {
                shared.checked(matrix.apply(input, output));
                continue;
            }
            let tiles = member.share(matrix.tiles(), 1);
            shared.checked(matrix.append_some(tiles, input, own));
            // Every element is written below.
            output.resize(matrix.rows_of_input(input) * matrix.rows(), 0.0);
        }
        if !self.by_matrix {
            return;
        }
        member.exchange(own, |number, part| {
            let mut left = part;
            for ((matrix, _), output) in matrices.iter().zip(&mut outputs) {
                let tiles = member.share_of(number, matrix.tiles(), 1);
                left = matrix.spread(tiles, left, output);
            }
        });
    }

    /// Gate and up, and what the gate lets through.
    pub(super) fn gated(self, layer: &Layer, model: &Model, scratch: &mut Scratch) {
        let Self { shared, member, .. } = self;
        let Scratch {
            normed,
            gate,
            up,
            own,
            ..
        } = scratch;
        let function = model.blueprint.architecture.gate();
        let gate = gate.rows_mut();
        if !self.by_matrix {
            shared.checked(layer.gate.apply(normed, gate));
            shared.checked(layer.up.apply(normed, up));
            cpu::let_through(model.kind, function, gate, up);
            return;
        }
        own.clear();
        up.clear();
        // Both have as many tiles.
        let tiles = member.share(layer.gate.tiles(), 1);
        shared.checked(layer.gate.append_some(tiles.clone(), normed, own));
        shared.checked(layer.up.append_some(tiles, normed, up));
        cpu::let_through(model.kind, function, own, up);
        // Every element is written below.
        gate.resize(layer.gate.rows_of_input(normed) * layer.gate.rows(), 0.0);
        member.exchange(own, |number, part| {
            let tiles = member.share_of(number, layer.gate.tiles(), 1);
            layer.gate.spread(tiles, part, gate);
        });
    }
}
