//! One pass of activation rows through the model: each matrix is read once for all rows, whatever sequences they
//! belong to; attention looks at each row's own sequence.
//!
//! ```text
//!  rows of tokens ─ embedding ─┬─> norm ─ q k v ─ rope ─ attention(kv of the row's sequence) ─ output ─(+)─┐
//!                              └───────────────────────────── residual ─────────────────────────────────┘
//!                              ┌─> norm ─ gate, up ─ silu ─ down ─(+)─> next layer … norm ─> logits of rows that sample
//! ```
//!
//! Invariant: a row's result does not depend on the rows beside it.

use engine::{StepError, TokenId};

use crate::blueprint::Blueprint;
use crate::cpu::{self, Activations, Attention, BLOCK, FLOATS_OF_BLOCK, Kind};
use crate::kv::KvCache;
use crate::matrix::Matrix;
use crate::model::{Layer, Model};
use crate::ops;
use crate::rope::Angles;

/// One token on its way through the model.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which cache is its sequence's.
    pub cache: usize,
    /// Its place in the sequence, from 0.
    pub position: usize,
    /// The token.
    pub token: TokenId,
}

/// Buffers that are kept between steps, so that a step allocates almost nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    tokens: Vec<TokenId>,
    residual: Vec<f32>,
    normed: Activations,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    attended: Activations,
    projected: Vec<f32>,
    gate: Activations,
    up: Vec<f32>,
    scores: Vec<f32>,
    angles: Angles,
}

/// Floats that [`Scratch`] holds for each row at most, with the bytes of those that are multiplied. Activations that candle
/// rewrites for weights it multiplies are of one matrix at a time, and count as one more row of the widest kind.
pub(crate) fn floats_of_row(sizes: &Blueprint) -> usize {
    // residual, normed, projected; queries, attended; keys, values; gate, up; cos, sin.
    let streams = sizes.width.saturating_mul(3);
    let heads = sizes.query_width().saturating_mul(2);
    let kv = sizes.kv_width().saturating_mul(2);
    let inner = sizes.feed_forward.saturating_mul(2);
    let rewritten = sizes.width.max(sizes.feed_forward).max(sizes.query_width());
    let of_multiplied = [sizes.width, sizes.query_width(), sizes.feed_forward]
        .map(|width| width.div_ceil(BLOCK).saturating_mul(FLOATS_OF_BLOCK));
    let [normed, attended, gate] = of_multiplied;
    let bytes = normed.saturating_add(attended).saturating_add(gate);
    [
        streams,
        heads,
        kv,
        inner,
        sizes.rope_width,
        rewritten,
        bytes,
    ]
    .into_iter()
    .fold(0, usize::saturating_add)
}

/// Runs the rows through all layers; what each becomes stays in `scratch` for [`logits`]. The rows of a sequence must
/// be in order, and its cache must have pages for them.
///
/// # Errors
/// `Compute`.
pub fn run(
    model: &Model,
    rows: &[Row],
    caches: &mut [KvCache],
    scratch: &mut Scratch,
) -> Result<(), StepError> {
    // A token's life, stop 8: every row of the batch, through every layer.
    scratch.tokens.clear();
    scratch.tokens.extend(rows.iter().map(|row| row.token));
    model
        .embedding
        .widen_into(&scratch.tokens, &mut scratch.residual)?;
    model
        .rope
        .turn(rows.iter().map(|row| row.position), &mut scratch.angles);
    for (index, layer) in model.layers.iter().enumerate() {
        attention(model, layer, index, rows, caches, scratch)?;
        feed_forward(model, layer, scratch)?;
    }
    Ok(())
}

/// Logits of the rows at `indices` of the last [`run`], one vocabulary after another.
///
/// # Errors
/// `Compute`.
pub fn logits(
    model: &Model,
    indices: &[usize],
    scratch: &mut Scratch,
    logits: &mut Vec<f32>,
) -> Result<(), StepError> {
    let width = model.blueprint.width;
    let normed = scratch.normed.rows_mut();
    normed.clear();
    for &index in indices {
        let row = scratch
            .residual
            .chunks_exact(width)
            .nth(index)
            .ok_or_else(|| StepError::Compute(format!("there is no row {index}")))?;
        normed.extend_from_slice(row);
    }
    norm_rows(normed, &model.output_norm, model);
    let output = model.output.as_ref().unwrap_or(&model.embedding);
    output.apply(&mut scratch.normed, logits)
}

fn attention(
    model: &Model,
    layer: &Layer,
    index: usize,
    rows: &[Row],
    caches: &mut [KvCache],
    scratch: &mut Scratch,
) -> Result<(), StepError> {
    let sizes = &model.blueprint;
    let (head_width, query_width, kv_width) =
        (sizes.head_width, sizes.query_width(), sizes.kv_width());
    let normed = scratch.normed.rows_mut();
    normed.clone_from(&scratch.residual);
    norm_rows(normed, &layer.attention_norm, model);
    project(&layer.queries, &mut scratch.normed, &mut scratch.queries)?;
    project(&layer.keys, &mut scratch.normed, &mut scratch.keys)?;
    project(&layer.values, &mut scratch.normed, &mut scratch.values)?;
    if let Some((of_queries, of_keys)) = &layer.head_norms {
        norm_rows(&mut scratch.queries, of_queries, model);
        norm_rows(&mut scratch.keys, of_keys, model);
    }
    let rope = &model.rope;
    rope.rotate(
        &mut scratch.queries,
        query_width,
        head_width,
        &scratch.angles,
    );
    rope.rotate(&mut scratch.keys, kv_width, head_width, &scratch.angles);
    let attended = scratch.attended.rows_mut();
    attended.resize(scratch.queries.len(), 0.0);
    let pairs = scratch
        .keys
        .chunks_exact(kv_width)
        .zip(scratch.values.chunks_exact(kv_width));
    let heads = scratch
        .queries
        .chunks_exact(query_width)
        .zip(attended.chunks_exact_mut(query_width));
    for ((row, (keys, values)), (queries, attended)) in rows.iter().zip(pairs).zip(heads) {
        let cache = caches
            .get_mut(row.cache)
            .ok_or_else(|| StepError::Compute(format!("there is no cache {}", row.cache)))?;
        // A row is written before the next one looks, so each sees itself and what came before it, and no more.
        cache.write(index, row.position, keys, values)?;
        let span = Span {
            cache,
            layer: index,
            tokens: row.position + 1,
            group_width: sizes.heads / sizes.kv_heads.max(1) * head_width,
            head_width,
        };
        attend(model.kind, &span, queries, attended, &mut scratch.scores);
    }
    layer
        .attention_output
        .apply(&mut scratch.attended, &mut scratch.projected)?;
    ops::add(&mut scratch.residual, &scratch.projected);
    Ok(())
}

/// The part of a cache one row looks at.
struct Span<'a> {
    cache: &'a KvCache,
    layer: usize,
    tokens: usize,
    /// Elements of the query heads that share a key and value head.
    group_width: usize,
    head_width: usize,
}

/// Attention of one row, a group of heads after the other.
fn attend(kind: Kind, span: &Span, queries: &[f32], attended: &mut [f32], scores: &mut Vec<f32>) {
    let groups = queries
        .chunks_exact(span.group_width)
        .zip(attended.chunks_exact_mut(span.group_width));
    for (head, (queries, attended)) in groups.enumerate() {
        let attention = Attention {
            queries,
            attended,
            head_width: span.head_width,
            tokens: span.tokens,
            scores: &mut *scores,
        };
        let keys = span.cache.keys(span.layer, head);
        cpu::attend(kind, attention, keys, span.cache.values(span.layer, head));
    }
}

fn feed_forward(model: &Model, layer: &Layer, scratch: &mut Scratch) -> Result<(), StepError> {
    let normed = scratch.normed.rows_mut();
    normed.clone_from(&scratch.residual);
    norm_rows(normed, &layer.feed_forward_norm, model);
    let gate = scratch.gate.rows_mut();
    layer.gate.apply(&mut scratch.normed, gate)?;
    layer.up.apply(&mut scratch.normed, &mut scratch.up)?;
    cpu::gate_with_silu(model.kind, gate, &scratch.up);
    layer
        .down
        .apply(&mut scratch.gate, &mut scratch.projected)?;
    ops::add(&mut scratch.residual, &scratch.projected);
    Ok(())
}

fn project(
    (weights, bias): &(Matrix, Option<Vec<f32>>),
    input: &mut Activations,
    output: &mut Vec<f32>,
) -> Result<(), StepError> {
    weights.apply(input, output)?;
    if let Some(bias) = bias {
        for row in output.chunks_exact_mut(bias.len().max(1)) {
            ops::add(row, bias);
        }
    }
    Ok(())
}

fn norm_rows(rows: &mut [f32], weight: &[f32], model: &Model) {
    for row in rows.chunks_exact_mut(weight.len().max(1)) {
        cpu::rms_norm(model.kind, row, weight, model.blueprint.norm_epsilon);
    }
}
