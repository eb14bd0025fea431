//! Keys and values of one sequence, in pages, so that memory follows the tokens really held.
//!
//! One page holds [`PAGE_TOKENS`] tokens of every layer as 16 bit floats: `[layer][key|value][head]`, then values as
//! `[token][element]`, keys as `[tile][element][token]` in tiles of 16 tokens, so that their scores are computed side by side.
//! 16 bits halve what a long context reads; what that costs is measured with the rest (`tests/fidelity.rs`).
//!
//! Pages are shared between a kept prefix and the sequences that begin with it, and copied by whoever writes into one
//! that is shared: one page at most, the one in which the common tokens end.
//!
//! Invariant: never more pages than the capacity needs; no page outlives those that hold it; a shared page never changes.

use std::sync::Arc;

use engine::StepError;
use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::blueprint::Blueprint;
use crate::cpu::TOKENS_OF_TILE;

/// Tokens of a page: large enough that a run over it is long, small enough that a short chat wastes little.
pub const PAGE_TOKENS: usize = 64;

/// One page.
pub type Page = Arc<Vec<f16>>;

/// The cache of one sequence, or of a kept prefix.
#[derive(Debug)]
pub struct KvCache {
    pages: Vec<Page>,
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
            .saturating_mul(size_of::<f16>() as u64)
    }

    /// An empty cache for up to `capacity` tokens that begins with the first `tokens` tokens of this one, in the same
    /// pages.
    #[must_use]
    pub fn share(&self, tokens: usize, capacity: usize) -> Self {
        let shared = self.pages.iter().take(tokens.div_ceil(PAGE_TOKENS));
        Self {
            pages: shared.map(Arc::clone).collect(),
            most_pages: capacity.div_ceil(PAGE_TOKENS),
            ..*self
        }
    }

    /// Lets the pages behind the first `tokens` tokens go.
    pub fn truncate(&mut self, tokens: usize) {
        self.pages.truncate(tokens.div_ceil(PAGE_TOKENS));
        self.pages.shrink_to_fit();
    }

    /// The pages held now.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// Takes the pages that `tokens` tokens need, of which the first `held` are there: those behind them can be written.
    ///
    /// # Errors
    /// `Compute` when memory cannot be had or the capacity is exceeded.
    pub fn reserve(&mut self, held: usize, tokens: usize) -> Result<(), StepError> {
        let needed = tokens.div_ceil(PAGE_TOKENS);
        if needed > self.most_pages {
            return Err(StepError::Compute(format!(
                "{tokens} tokens need {needed} kv pages; {} are allowed",
                self.most_pages
            )));
        }
        for page in self.pages.iter_mut().skip(held / PAGE_TOKENS) {
            if Arc::get_mut(page).is_none() {
                let mut own = empty_page(page.len())?;
                own.extend_from_slice(page);
                *page = Arc::new(own);
            }
        }
        let floats = self.layers * 2 * self.heads * self.run();
        while self.pages.len() < needed {
            let mut page = empty_page(floats)?;
            page.resize(floats, f16::ZERO);
            self.pages.push(Arc::new(page));
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
        let inside = position % PAGE_TOKENS;
        let width = self.head_width;
        for (head, source) in keys.chunks_exact(width).enumerate() {
            let tile = inside / TOKENS_OF_TILE * TOKENS_OF_TILE * width;
            let run = self.run_mut(layer, Side::Key, head, position)?;
            let lane = run.iter_mut().skip(tile + inside % TOKENS_OF_TILE);
            for (target, element) in lane.step_by(TOKENS_OF_TILE).zip(source) {
                *target = f16::from_f32(*element);
            }
        }
        for (head, source) in values.chunks_exact(width).enumerate() {
            let run = self.run_mut(layer, Side::Value, head, position)?;
            if let Some(target) = run.get_mut(inside * width..(inside + 1) * width) {
                target.convert_from_f32_slice(source);
            }
        }
        Ok(())
    }

    /// The keys of one head, page by page from page `from` on, in tiles; behind the last token written lies anything.
    pub fn keys(
        &self,
        layer: usize,
        head: usize,
        from: usize,
    ) -> impl Iterator<Item = &[f16]> + Clone {
        self.runs(layer, Side::Key, head, from)
    }

    /// The values of one head, page by page from page `from` on, token by token; behind the last token written lies anything.
    pub fn values(
        &self,
        layer: usize,
        head: usize,
        from: usize,
    ) -> impl Iterator<Item = &[f16]> + Clone {
        self.runs(layer, Side::Value, head, from)
    }

    fn runs(
        &self,
        layer: usize,
        side: Side,
        head: usize,
        pages: usize,
    ) -> impl Iterator<Item = &[f16]> + Clone {
        let (from, run) = (self.start(layer, side, head), self.run());
        let pages = self.pages.get(pages..).unwrap_or_default();
        pages
            .iter()
            .filter_map(move |page| page.get(from..from + run))
    }

    fn run_mut(
        &mut self,
        layer: usize,
        side: Side,
        head: usize,
        position: usize,
    ) -> Result<&mut [f16], StepError> {
        let (from, run) = (self.start(layer, side, head), self.run());
        let page = self.pages.get_mut(position / PAGE_TOKENS);
        page.and_then(Arc::get_mut)
            .and_then(|page| page.get_mut(from..from + run))
            .ok_or_else(|| StepError::Compute(format!("no kv page for position {position}")))
    }

    /// Elements of one head of one layer in a page.
    const fn run(&self) -> usize {
        PAGE_TOKENS * self.head_width
    }

    const fn start(&self, layer: usize, side: Side, head: usize) -> usize {
        ((layer * 2 + side as usize) * self.heads + head) * self.run()
    }
}

/// Room for a page, without anything in it.
fn empty_page(floats: usize) -> Result<Vec<f16>, StepError> {
    let mut page = Vec::new();
    page.try_reserve_exact(floats)
        .map_err(|error| StepError::Compute(format!("no memory for a kv page: {error}")))?;
    Ok(page)
}
