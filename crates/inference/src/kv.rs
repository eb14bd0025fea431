//! Keys and values of one sequence, in pages, so that memory follows the tokens really held.
//!
//! One page holds [`PAGE_TOKENS`] tokens of every layer as 32 bit floats: `[layer][key|value][head][token][element]`.
//! 32 bits, because the reference keeps 32, and rounding here would hide differences that matter.
//!
//! Invariant: never more pages than the capacity needs; no page outlives its sequence.

use engine::StepError;

use crate::blueprint::Blueprint;

/// Tokens of a page: large enough that a run over it is long, small enough that a short chat wastes little.
pub const PAGE_TOKENS: usize = 64;

/// The cache of one sequence.
#[derive(Debug)]
pub struct KvCache {
    pages: Vec<Vec<f32>>,
    heads: usize,
    head_width: usize,
    layers: usize,
    most_pages: usize,
}

#[derive(Clone, Copy)]
enum Side {
    Key = 0,
    Value = 1,
}

impl KvCache {
    /// An empty cache for up to `capacity` tokens; takes no page yet.
    pub fn new(blueprint: &Blueprint, capacity: usize) -> Self {
        Self {
            pages: Vec::new(),
            heads: blueprint.kv_heads,
            head_width: blueprint.head_width,
            layers: blueprint.layers,
            most_pages: capacity.div_ceil(PAGE_TOKENS),
        }
    }

    /// Memory of one token in bytes.
    pub fn bytes_per_token(blueprint: &Blueprint) -> u64 {
        (blueprint.layers as u64)
            .saturating_mul(2)
            .saturating_mul(blueprint.kv_width() as u64)
            .saturating_mul(size_of::<f32>() as u64)
    }

    /// Memory taken now, in bytes.
    pub fn bytes(&self) -> u64 {
        let floats: usize = self.pages.iter().map(Vec::len).sum();
        (floats * size_of::<f32>()) as u64
    }

    /// Takes the pages that `tokens` tokens need.
    ///
    /// # Errors
    /// `Compute` when memory cannot be had or the capacity is exceeded.
    pub fn reserve(&mut self, tokens: usize) -> Result<(), StepError> {
        let needed = tokens.div_ceil(PAGE_TOKENS);
        if needed > self.most_pages {
            return Err(StepError::Compute(format!(
                "{tokens} tokens need {needed} kv pages; {} are allowed",
                self.most_pages
            )));
        }
        let floats = self.layers * 2 * self.heads * self.run();
        while self.pages.len() < needed {
            let mut page = Vec::new();
            page.try_reserve_exact(floats)
                .map_err(|error| StepError::Compute(format!("no memory for a kv page: {error}")))?;
            page.resize(floats, 0.0);
            self.pages.push(page);
        }
        Ok(())
    }

    /// Stores a token's keys and values (all heads one after another) of one layer.
    ///
    /// # Errors
    /// `Compute` when no page was reserved for the position.
    pub fn write(
        &mut self,
        layer: usize,
        position: usize,
        keys: &[f32],
        values: &[f32],
    ) -> Result<(), StepError> {
        for (side, source) in [(Side::Key, keys), (Side::Value, values)] {
            for (head, source) in source.chunks_exact(self.head_width).enumerate() {
                let from = self.start(layer, side, head) + position % PAGE_TOKENS * self.head_width;
                let target = self
                    .pages
                    .get_mut(position / PAGE_TOKENS)
                    .and_then(|page| page.get_mut(from..from + self.head_width))
                    .ok_or_else(|| {
                        StepError::Compute(format!("no kv page for position {position}"))
                    })?;
                target.copy_from_slice(source);
            }
        }
        Ok(())
    }

    /// The keys of the first `tokens` tokens of one head, token by token.
    pub fn keys(&self, layer: usize, head: usize, tokens: usize) -> impl Iterator<Item = &[f32]> {
        self.rows(layer, Side::Key, head, tokens)
    }

    /// The values of the first `tokens` tokens of one head, token by token.
    pub fn values(&self, layer: usize, head: usize, tokens: usize) -> impl Iterator<Item = &[f32]> {
        self.rows(layer, Side::Value, head, tokens)
    }

    fn rows(
        &self,
        layer: usize,
        side: Side,
        head: usize,
        tokens: usize,
    ) -> impl Iterator<Item = &[f32]> {
        let from = self.start(layer, side, head);
        let (run, width) = (self.run(), self.head_width);
        self.pages
            .iter()
            .filter_map(move |page| page.get(from..from + run))
            .flat_map(move |run| run.chunks_exact(width))
            .take(tokens)
    }

    /// Elements of one head of one layer in a page.
    const fn run(&self) -> usize {
        PAGE_TOKENS * self.head_width
    }

    const fn start(&self, layer: usize, side: Side, head: usize) -> usize {
        ((layer * 2 + side as usize) * self.heads + head) * self.run()
    }
}
