//! Rows of one sequence through all layers, with candle's tensors.
//!
//! Invariant: it computes one sequence; how many rows pass at once depends on that sequence alone.

use candle_core::quantized::QMatMul;
use candle_core::{D, Module, Result, Tensor};
use candle_nn::ops::{rms_norm, softmax_last_dim};
use candle_nn::rotary_emb::{rope, rope_i};
use engine::{StepError, TokenId};

use super::cache::Cache;
use super::failed;
use super::model::{Layer, Model};
use crate::blueprint::{Blueprint, Gate, Sight, Turn};
use crate::rope::Angles;

/// Rows that pass at once at most.
const ROWS_AT_ONCE: usize = 256;
/// Scores of a layer at once, where one row alone has not more: 64 MiB.
const SCORES_AT_ONCE: usize = 1 << 24;

/// Rows of a sequence of up to `tokens` tokens that pass at once.
fn rows_at_once(sizes: &Blueprint, tokens: usize) -> usize {
    let of_row = sizes.heads.saturating_mul(tokens).max(1);
    (SCORES_AT_ONCE / of_row).clamp(1, ROWS_AT_ONCE)
}

/// What a pass works in at most, in bytes: the rows of a layer; its scores, with their mask and as shares; keys and values
/// widened, and those of a layer twice when they grow; the logits of a row.
pub(super) fn bytes_at_work(sizes: &Blueprint) -> u64 {
    let context = sizes.context as usize;
    // residual, normed, sum; queries, turned, attended and in order; keys, values and turned; gate, its part, up.
    let of_row = sizes
        .width
        .saturating_mul(3)
        .saturating_add(sizes.query_width().saturating_mul(4))
        .saturating_add(sizes.kv_width().saturating_mul(4))
        .saturating_add(sizes.feed_forward.saturating_mul(3));
    let scores = SCORES_AT_ONCE.max(sizes.heads.saturating_mul(context));
    let kv = sizes.kv_width().saturating_mul(context);
    // A layer that looks only so far has a mask of its own, and bounded scores are written anew.
    let manner = &sizes.manner;
    let more = usize::from(manner.near.is_some()) + usize::from(manner.score_cap.is_some());
    let floats = of_row
        .saturating_mul(ROWS_AT_ONCE)
        .saturating_add(scores.saturating_mul(4 + more))
        .saturating_add(kv.saturating_mul(3))
        .saturating_add(sizes.vocabulary.saturating_mul(5));
    floats.saturating_mul(size_of::<f32>()) as u64
}

impl Model {
    /// Appends the tokens to a sequence that holds `at` before them and has room for them; the last row as it leaves the last
    /// layer.
    pub(super) fn run(
        &self,
        tokens: &[TokenId],
        mut at: usize,
        cache: &Cache,
    ) -> std::result::Result<Tensor, StepError> {
        let mut last = None;
        for rows in tokens.chunks(rows_at_once(&self.blueprint, at + tokens.len())) {
            // The embedding says itself which row it has not got.
            let widened = self.embedding.widen(rows)?;
            let passed = self.pass(widened, rows.len(), at, cache);
            last = Some(passed.map_err(|error| failed(&error))?);
            at += rows.len();
        }
        last.ok_or_else(|| StepError::Compute("there are no rows".to_owned()))
    }

    /// The logits of one row.
    pub(super) fn logits(&self, last: &Tensor) -> std::result::Result<Vec<f32>, StepError> {
        let logits = || {
            let manner = &self.blueprint.manner;
            let normed = scaled(self.norm(last, &self.output_norm)?, manner.logits)?;
            let logits = self.output.forward(&normed)?.flatten_all()?;
            kept_within(logits, manner.logit_cap)?.to_vec1()
        };
        logits().map_err(|error| failed(&error))
    }

    fn pass(&self, widened: Vec<f32>, count: usize, at: usize, cache: &Cache) -> Result<Tensor> {
        let stream = Tensor::from_vec(widened, (count, self.blueprint.width), &self.device)?;
        let mut stream = scaled(stream, self.blueprint.manner.embedding)?;
        let view = View::new(self, at, count)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = self.norm(&stream, &layer.attention_norm)?;
            let attended = self.attend(layer, &normed, &view, (cache, index))?;
            let attended = layer.attention_output.forward(&attended)?;
            let behind = layer.norms_behind.as_ref();
            stream = self.added(stream, attended, behind.map(|(norm, _)| norm))?;
            let normed = self.norm(&stream, &layer.feed_forward_norm)?;
            let gate = layer.gate.forward(&normed)?;
            let gate = match self.blueprint.architecture.gate() {
                Gate::Silu => gate.silu()?,
                Gate::Gelu => gate.gelu()?,
            };
            let inner = (gate * layer.up.forward(&normed)?)?;
            let inner = layer.down.forward(&inner)?;
            stream = self.added(stream, inner, behind.map(|(_, norm)| norm))?;
        }
        stream.narrow(0, count - 1, 1)?.contiguous()
    }

    /// The residual stream with what a part of a layer made, behind its norm if it has one.
    fn added(&self, stream: Tensor, part: Tensor, norm: Option<&Tensor>) -> Result<Tensor> {
        let part = match norm {
            None => part,
            Some(norm) => self.norm(&part, norm)?,
        };
        stream + scaled(part, self.blueprint.manner.residual)?
    }

    fn norm(&self, rows: &Tensor, weight: &Tensor) -> Result<Tensor> {
        rms_norm(rows, weight, self.blueprint.norm_epsilon)
    }

    fn attend(
        &self,
        layer: &Layer,
        normed: &Tensor,
        view: &View,
        (cache, index): (&Cache, usize),
    ) -> Result<Tensor> {
        let sizes = &self.blueprint;
        let (heads, kv_heads, width) = (sizes.heads, sizes.kv_heads, sizes.head_width);
        let (count, tokens) = (view.count, view.at + view.count);
        let norms = layer.head_norms.as_ref();
        let (of_queries, of_keys) = (norms.map(|(norm, _)| norm), norms.map(|(_, norm)| norm));
        let queries = self.heads(&project(&layer.queries, normed)?, heads, of_queries)?;
        let keys = self.heads(&project(&layer.keys, normed)?, kv_heads, of_keys)?;
        let values = self.heads(&project(&layer.values, normed)?, kv_heads, None)?;
        let sight = sizes.manner.sight(index);
        let turns = view.turns(sight.turn);
        let queries = (self.turned(&queries, turns)? * f64::from(sizes.score_scale()))?;
        cache.write(index, view.at, &self.turned(&keys, turns)?, &values)?;
        let (keys, values) = cache.read(index, tokens)?;
        // The query heads that share keys stand one after another: each group is one matrix.
        let queries = queries.reshape((kv_heads, heads / kv_heads * count, width))?;
        let scores = queries.matmul(&keys.transpose(1, 2)?)?;
        let scores = scores.reshape((heads, count, tokens))?;
        let scores = kept_within(scores, sizes.manner.score_cap)?;
        let scores = match view.mask(sight) {
            None => scores,
            Some(mask) => scores.broadcast_add(mask)?,
        };
        let shares = softmax_last_dim(&scores)?;
        let shares = shares.reshape((kv_heads, heads / kv_heads * count, tokens))?;
        let attended = shares.matmul(&values)?.reshape((heads, count, width))?;
        let rows = attended.transpose(0, 1)?.contiguous()?;
        rows.reshape((count, heads * width))
    }

    /// `[row][head and element]` as `[head][row][element]`, each head normed where the model has such norms.
    fn heads(&self, rows: &Tensor, heads: usize, norm: Option<&Tensor>) -> Result<Tensor> {
        let (count, _) = rows.dims2()?;
        let mut split = rows.reshape((count, heads, self.blueprint.head_width))?;
        if let Some(norm) = norm {
            split = self.norm(&split.contiguous()?, norm)?;
        }
        split.transpose(0, 1)?.contiguous()
    }

    /// Each head turned by its place.
    fn turned(&self, heads: &Tensor, turns: Option<&(Tensor, Tensor)>) -> Result<Tensor> {
        let (width, turned) = (self.blueprint.head_width, self.blueprint.rope_width);
        let Some((cos, sin)) = turns.filter(|_| turned > 0) else {
            return Ok(heads.clone());
        };
        let front = heads.narrow(D::Minus1, 0, turned)?.contiguous()?;
        let front = front.unsqueeze(0)?;
        let front = if self.blueprint.architecture.rotates_halves() {
            rope(&front, cos, sin)?
        } else {
            rope_i(&front, cos, sin)?
        };
        let front = front.squeeze(0)?;
        if turned == width {
            return Ok(front);
        }
        let rest = heads.narrow(D::Minus1, turned, width - turned)?;
        Tensor::cat(&[&front, &rest.contiguous()?], D::Minus1)
    }
}

fn project((matrix, bias): &(QMatMul, Option<Tensor>), rows: &Tensor) -> Result<Tensor> {
    let product = matrix.forward(rows)?;
    match bias {
        None => Ok(product),
        Some(bias) => product.broadcast_add(bias),
    }
}

fn scaled(rows: Tensor, factor: f32) -> Result<Tensor> {
    if factor.to_bits() == 1.0f32.to_bits() {
        return Ok(rows);
    }
    rows * f64::from(factor)
}

/// `cap * tanh(x / cap)`, where there is a cap.
fn kept_within(values: Tensor, cap: Option<f32>) -> Result<Tensor> {
    let Some(cap) = cap.map(f64::from) else {
        return Ok(values);
    };
    (values / cap)?.tanh()? * cap
}

/// What the rows of a pass have in common in all layers.
struct View {
    at: usize,
    count: usize,
    /// Cosines and sines of layers that look at all tokens.
    far: (Tensor, Tensor),
    /// Of those that look only so far.
    near: Option<(Tensor, Tensor)>,
    /// Hides from each row what comes after it; a single row has nothing after it.
    mask: Option<Tensor>,
    /// Hides from each row what a layer that looks only so far does not see, where that is more.
    near_mask: Option<Tensor>,
}

impl View {
    fn new(model: &Model, at: usize, count: usize) -> Result<Self> {
        let mut angles = Angles::default();
        model.rope.turn(at..at + count, &mut angles);
        let table = |turn| {
            let (cos, sin) = angles.tables(turn).unwrap_or_default();
            let pairs = cos.len() / count.max(1);
            let table = |values| Tensor::from_slice(values, (count, pairs), &model.device);
            Ok::<_, candle_core::Error>((table(cos)?, table(sin)?))
        };
        let mask = |window: usize| {
            let shown =
                move |row: usize, token: usize| token <= at + row && token + window > at + row;
            let of_row = |row| {
                (0..at + count).map(move |token| {
                    if shown(row, token) {
                        0.0
                    } else {
                        f32::NEG_INFINITY
                    }
                })
            };
            let mask: Vec<f32> = (0..count).flat_map(of_row).collect();
            Tensor::from_vec(mask, (count, at + count), &model.device)
        };
        let all = at + count;
        let near = model.blueprint.manner.near;
        let narrow = near.filter(|near| near.window < all);
        Ok(Self {
            at,
            count,
            far: table(Turn::Far)?,
            near: near
                .and_then(|near| near.rope_base)
                .map(|_| table(Turn::Near))
                .transpose()?,
            mask: (count > 1).then(|| mask(all)).transpose()?,
            near_mask: narrow.map(|near| mask(near.window)).transpose()?,
        })
    }

    const fn turns(&self, turn: Turn) -> Option<&(Tensor, Tensor)> {
        match turn {
            Turn::Never => None,
            Turn::Near => self.near.as_ref(),
            Turn::Far => Some(&self.far),
        }
    }

    fn mask(&self, sight: Sight) -> Option<&Tensor> {
        let near = sight.window.and(self.near_mask.as_ref());
        near.or(self.mask.as_ref())
    }
}
