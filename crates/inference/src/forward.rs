//! One pass of activation rows through the model: each matrix is read once for all rows, whatever sequences they
//! belong to; attention looks at each row's own sequence.
//!
//! ```text
//!  rows of tokens ─ embedding ─┬─> norm ─ q k v ─ rope ─ attention(kv of the row's sequence) ─ output ─(+)─┐
//!                              └───────────────────────────── residual ─────────────────────────────────┘
//!                              ┌─> norm ─ gate, up ─ down ─(+)─> next layer … norm ─> logits of rows that sample
//! ```
//!
//! That is Llama; what a family does beside, factors, bounds, windows and norms behind a part, its blueprint says.
//!
//! All members of a crew run the same pass. Where there are many rows each takes some of them, and they meet where a row looks
//! at keys of another's; where there are few, each takes a share of every matrix and of the heads, all hold all rows, and they
//! meet after each product.
//!
//! Invariant: a row's result depends neither on the rows beside it nor on who computes how much of it.

mod room;
mod shared;
mod sharing;

use std::ops::Range;
use std::sync::PoisonError;

use engine::StepError;

use crate::blueprint::{Sight, Turn};
use crate::cpu::{self, Attention, Precision};
use crate::crew::Member;
use crate::kv::PAGE_TOKENS;
use crate::model::{Layer, Model};
use crate::ops;

pub(crate) use room::{Room, Ways};
use shared::Scratch;
pub(crate) use shared::{Job, Row, Shared};
use sharing::Sharing;

/// Rows for each member from which on they are shared out instead of the matrices.
const MANY_ROWS: usize = 16;
/// Rows are shared out by so many: what the kernels take at once.
const ROWS_TOGETHER: usize = 8;

/// Whether the members of such a pass each take a share of every matrix, and so meet after each product.
pub(crate) const fn shares_matrices(rows: usize, members: usize) -> bool {
    rows < MANY_ROWS * members
}

/// Does a member's part of the job.
pub(crate) fn work(shared: &Shared, member: &Member<'_>) {
    let job = shared.job.read().unwrap_or_else(PoisonError::into_inner);
    if !job.rows.is_empty() {
        pass(shared, member, &job.rows, &job.wanted);
    }
    if !job.logits.is_empty() {
        logits(shared, member, job.logits.clone());
    }
}

/// Runs the rows through all layers and keeps those at `wanted` in `shared`. The rows of a sequence must be in order, and its
/// cache must have pages for them. What goes wrong is in `shared`.
fn pass(shared: &Shared, member: &Member<'_>, rows: &[Row], wanted: &[usize]) {
    let Some(scratch) = shared.scratches.get(member.number()) else {
        return;
    };
    let mut scratch = scratch.lock().unwrap_or_else(PoisonError::into_inner);
    let all = 0..rows.len();
    let by_matrix = member.of() > 1 && shares_matrices(rows.len(), member.of());
    let own = if by_matrix {
        all
    } else {
        member.share(rows.len(), ROWS_TOGETHER)
    };
    let mut pass = Pass {
        sharing: Sharing {
            shared,
            member,
            by_matrix,
        },
        model: &shared.model,
        rows,
        own,
        scratch: &mut scratch,
    };
    pass.through_layers();
    pass.hand_over(wanted);
}

/// Logits of `which` of the rows that were wanted of the last [`pass`], one vocabulary after another.
fn logits(shared: &Shared, member: &Member<'_>, which: Range<usize>) {
    let Some(scratch) = shared.scratches.get(member.number()) else {
        return;
    };
    let mut scratch = scratch.lock().unwrap_or_else(PoisonError::into_inner);
    let model = &shared.model;
    let width = model.blueprint.width;
    {
        let wanted = shared.wanted.read().unwrap_or_else(PoisonError::into_inner);
        let rows = wanted.get(which.start * width..which.end * width);
        norm_rows(
            rows.unwrap_or_default(),
            &model.output_norm,
            model,
            scratch.last.rows_mut(),
        );
        ops::scale(scratch.last.rows_mut(), model.blueprint.manner.logits);
    }
    let output = model.to_logits();
    let leads = member.number() == 0;
    let Scratch { last, own, .. } = &mut *scratch;
    let mut target = leads.then(|| {
        let target = shared.logits.lock();
        target.unwrap_or_else(PoisonError::into_inner)
    });
    if member.of() == 1 {
        if let Some(target) = &mut target {
            shared.checked(output.apply(last, target));
            keep_within(model, target);
        }
        return;
    }
    own.clear();
    let tiles = member.share(output.tiles(), 1);
    shared.checked(output.append_some(tiles, last, own));
    if let Some(target) = &mut target {
        // Every element is written below.
        target.resize(which.len() * output.rows(), 0.0);
    }
    member.exchange(own, |number, part| {
        if let Some(target) = &mut target {
            let tiles = member.share_of(number, output.tiles(), 1);
            output.spread(tiles, part, target);
        }
    });
    if let Some(target) = &mut target {
        keep_within(model, target);
    }
}

/// Logits within their bounds, if they have such.
fn keep_within(model: &Model, logits: &mut [f32]) {
    if let Some(cap) = model.blueprint.manner.logit_cap {
        cpu::keep_within(model.kind, logits, cap);
    }
}

/// One member's view of a pass.
struct Pass<'a> {
    sharing: Sharing<'a>,
    model: &'a Model,
    rows: &'a [Row],
    /// The rows this member holds.
    own: Range<usize>,
    scratch: &'a mut Scratch,
}

impl<'a> Pass<'a> {
    fn through_layers(&mut self) {
        // A token's life, stop 8: every row of the batch, through every layer.
        let (shared, model, rows) = (self.sharing.shared, self.model, self.own_rows());
        let scratch = &mut *self.scratch;
        scratch.tokens.clear();
        scratch.tokens.extend(rows.iter().map(|row| row.token));
        let widened = model
            .embedding
            .widen_into(&scratch.tokens, &mut scratch.residual);
        shared.checked(widened);
        ops::scale(&mut scratch.residual, model.blueprint.manner.embedding);
        let positions = rows.iter().map(|row| row.position);
        model.rope.turn(positions, &mut scratch.angles);
        for (index, layer) in model.layers.iter().enumerate() {
            let sight = model.blueprint.manner.sight(index);
            self.queries_keys_values(layer, sight.turn);
            self.remember(index);
            self.attend(index, sight);
            self.add_attended(layer);
            self.feed_forward(layer);
        }
    }

    fn own_rows(&self) -> &'a [Row] {
        self.rows.get(self.own.clone()).unwrap_or_default()
    }

    fn queries_keys_values(&mut self, layer: &Layer, turn: Turn) {
        let (model, scratch) = (self.model, &mut *self.scratch);
        norm_rows(
            &scratch.residual,
            &layer.attention_norm,
            model,
            scratch.normed.rows_mut(),
        );
        let values = &layer.values.0;
        // Where all is kept exactly, or nothing is rounded, one input is as good as the other.
        let apart = model.precision == Precision::Fast && values.meets_bytes();
        if apart {
            let exact = scratch.valued.rows_mut();
            exact.clear();
            exact.extend_from_slice(scratch.normed.rows());
        }
        self.sharing.products(
            [
                (&layer.queries.0, 0),
                (&layer.keys.0, 0),
                (values, usize::from(apart)),
            ],
            [&mut scratch.normed, &mut scratch.valued],
            &mut scratch.own,
            [&mut scratch.queries, &mut scratch.keys, &mut scratch.values],
        );
        for (bias, output) in [
            (&layer.queries.1, &mut scratch.queries),
            (&layer.keys.1, &mut scratch.keys),
            (&layer.values.1, &mut scratch.values),
        ] {
            if let Some(bias) = bias {
                for row in output.chunks_exact_mut(bias.len().max(1)) {
                    ops::add(row, bias);
                }
            }
        }
        if let Some((of_queries, of_keys)) = &layer.head_norms {
            let epsilon = model.blueprint.norm_epsilon;
            for (rows, weight) in [
                (&mut scratch.queries, of_queries),
                (&mut scratch.keys, of_keys),
            ] {
                cpu::rms_norm_in_place(model.kind, rows, weight, epsilon);
            }
        }
        let (sizes, rope) = (&model.blueprint, &model.rope);
        let head = sizes.head_width;
        for (rows, width) in [
            (&mut scratch.queries, sizes.query_width()),
            (&mut scratch.keys, sizes.kv_width()),
        ] {
            rope.rotate(rows, (width, head), &scratch.angles, turn);
        }
    }

    /// Keys and values of all rows go into their caches before anybody looks: a row sees what came before it and itself.
    fn remember(&mut self, layer: usize) {
        let Sharing { shared, member, .. } = self.sharing;
        let (leads, rows) = (member.number() == 0, self.rows);
        let Scratch {
            keys, values, own, ..
        } = &mut *self.scratch;
        if self.sharing.by_matrix || member.of() == 1 {
            if leads {
                shared.checked(write(shared, layer, rows, keys, values));
            }
        } else {
            own.clear();
            own.extend_from_slice(keys);
            own.extend_from_slice(values);
            member.exchange(own, |number, part| {
                if leads {
                    let (keys, values) = part.split_at(part.len() / 2);
                    let theirs = member.share_of(number, rows.len(), ROWS_TOGETHER);
                    let rows = rows.get(theirs).unwrap_or_default();
                    shared.checked(write(shared, layer, rows, keys, values));
                }
            });
        }
        member.meet();
    }

    /// Attention of rows to heads, one group of query heads after the other.
    fn attend(&mut self, layer: usize, sight: Sight) {
        let Sharing {
            shared,
            member,
            by_matrix,
        } = self.sharing;
        let sizes = &self.model.blueprint;
        let groups = sizes.kv_heads.max(1);
        let group_width = sizes.heads / groups * sizes.head_width;
        let rows = self.own_rows();
        let items = rows.len() * groups;
        let mine = if by_matrix {
            member.share(items, 1)
        } else {
            0..items
        };
        let scratch = &mut *self.scratch;
        // Every element is written below, or comes from another.
        let target = if by_matrix {
            &mut scratch.own
        } else {
            scratch.attended.rows_mut()
        };
        target.resize(mine.len() * group_width, 0.0);
        let of_mine = scratch.queries.chunks_exact(group_width).skip(mine.start);
        let pairs = of_mine.zip(target.chunks_exact_mut(group_width));
        let caches = shared.caches();
        let first_item = mine.start;
        let before = |row: usize| Some(rows.get(row.checked_sub(1)?)?.cache);
        for (item, (queries, attended)) in mine.zip(pairs) {
            let row = rows.get(item / groups);
            let cache = row.and_then(|row| Some((row, caches.get(row.cache)?)));
            let Some((row, cache)) = cache else {
                shared.note(StepError::Compute(format!("there is no cache of {row:?}")));
                continue;
            };
            // Pages before the first token that is looked at are not even read.
            let first = sight.first(row.position);
            let skipped = first / PAGE_TOKENS;
            let attention = Attention {
                queries,
                attended,
                head_width: sizes.head_width,
                tokens: row.position + 1 - skipped * PAGE_TOKENS,
                hidden: first - skipped * PAGE_TOKENS,
                scale: sizes.score_scale(),
                cap: sizes.manner.score_cap,
                waits: item - first_item < groups || before(item / groups) != Some(row.cache),
                scores: &mut scratch.scores,
            };
            let (keys, values) = (
                cache.keys(layer, item % groups, skipped),
                cache.values(layer, item % groups, skipped),
            );
            cpu::attend(self.model.kind, attention, keys, values);
        }
        drop(caches);
        if by_matrix {
            let attended = scratch.attended.rows_mut();
            attended.clear();
            member.exchange(&mut scratch.own, |_, part| attended.extend_from_slice(part));
        }
    }

    fn add_attended(&mut self, layer: &Layer) {
        let scratch = &mut *self.scratch;
        self.sharing.products(
            [(&layer.attention_output, 0)],
            [&mut scratch.attended],
            &mut scratch.own,
            [&mut scratch.projected],
        );
        self.add_projected(layer.norms_behind.as_ref().map(|(norm, _)| norm));
    }

    fn feed_forward(&mut self, layer: &Layer) {
        let (model, scratch) = (self.model, &mut *self.scratch);
        norm_rows(
            &scratch.residual,
            &layer.feed_forward_norm,
            model,
            scratch.normed.rows_mut(),
        );
        self.sharing.gated(layer, model, scratch);
        self.sharing.products(
            [(&layer.down, 0)],
            [&mut scratch.gate],
            &mut scratch.own,
            [&mut scratch.projected],
        );
        self.add_projected(layer.norms_behind.as_ref().map(|(_, norm)| norm));
    }

    /// What a part of the layer made goes into the residual stream, behind its norm if it has one.
    fn add_projected(&mut self, norm: Option<&Vec<f32>>) {
        let (model, scratch) = (self.model, &mut *self.scratch);
        let sizes = &model.blueprint;
        if let Some(norm) = norm {
            cpu::rms_norm_in_place(model.kind, &mut scratch.projected, norm, sizes.norm_epsilon);
        }
        ops::scale(&mut scratch.projected, sizes.manner.residual);
        ops::add(&mut scratch.residual, &scratch.projected);
    }

    /// Those that are wanted go where all find them, in their order.
    fn hand_over(&mut self, wanted: &[usize]) {
        let Sharing {
            shared,
            member,
            by_matrix,
        } = self.sharing;
        let width = self.model.blueprint.width.max(1);
        let Scratch { residual, own, .. } = &mut *self.scratch;
        own.clear();
        let mine = wanted
            .iter()
            .filter_map(|row| row.checked_sub(self.own.start));
        for row in mine.filter(|row| *row < self.own.len()) {
            own.extend_from_slice(residual.chunks_exact(width).nth(row).unwrap_or_default());
        }
        let leads = member.number() == 0;
        let put = |part: &[f32], anew: bool| {
            let all = shared.wanted.write();
            let mut all = all.unwrap_or_else(PoisonError::into_inner);
            if anew {
                all.clear();
            }
            all.extend_from_slice(part);
        };
        if by_matrix || member.of() == 1 {
            if leads {
                put(own, true);
            }
        } else {
            member.exchange(own, |number, part| {
                if leads {
                    put(part, number == 0);
                }
            });
        }
        member.meet();
    }
}

fn write(
    shared: &Shared,
    layer: usize,
    rows: &[Row],
    keys: &[f32],
    values: &[f32],
) -> Result<(), StepError> {
    let width = shared.model.blueprint.kv_width().max(1);
    let mut caches = shared.caches_mut();
    let pairs = keys.chunks_exact(width).zip(values.chunks_exact(width));
    for (row, (keys, values)) in rows.iter().zip(pairs) {
        let cache = caches.get_mut(row.cache);
        let cache =
            cache.ok_or_else(|| StepError::Compute(format!("there is no cache {}", row.cache)))?;
        cache.write(layer, row.position, keys, values)?;
    }
    Ok(())
}

/// Norms of rows that are as long as `weight`, into `normed`, which is resized.
fn norm_rows(rows: &[f32], weight: &[f32], model: &Model, normed: &mut Vec<f32>) {
    let width = weight.len().max(1);
    // Every element is written below.
    normed.resize(rows.len(), 0.0);
    for (row, normed) in rows.chunks_exact(width).zip(normed.chunks_exact_mut(width)) {
        let epsilon = model.blueprint.norm_epsilon;
        cpu::rms_norm(model.kind, row, weight, epsilon, normed);
    }
}
