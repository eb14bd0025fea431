//! Keys and values of one sequence on the device: of each layer two tensors, `[head][token][element]`, of 16 bit floats.
//!
//! They have room for whole pages and grow by these, so that memory follows the tokens really held. A kept prefix and the
//! sequences that begin with all of its pages share the tensors; who writes into shared ones takes a copy of its own first,
//! and who needs fewer pages takes a copy at once: so nobody holds more than is counted for it.
//!
//! Invariants: never more pages than the capacity needs; a shared tensor never changes.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};
use engine::StepError;

use super::failed;
use crate::blueprint::Blueprint;
use crate::kv::PAGE_TOKENS;

/// The cache of one sequence, or of a kept prefix.
#[derive(Clone)]
pub(super) struct Cache {
    /// None before the first token.
    layers: Arc<Vec<Kept>>,
    pages: usize,
    most_pages: usize,
}

struct Kept {
    keys: Tensor,
    values: Tensor,
}

impl Cache {
    /// For up to `capacity` tokens; takes no memory yet.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            layers: Arc::default(),
            pages: 0,
            most_pages: capacity.div_ceil(PAGE_TOKENS),
        }
    }

    /// A cache for up to `capacity` tokens that begins with the first `tokens` of this one.
    pub(super) fn share(
        &self,
        tokens: usize,
        capacity: usize,
    ) -> std::result::Result<Self, StepError> {
        let mut shared = self.clone();
        shared.most_pages = capacity.div_ceil(PAGE_TOKENS);
        shared.truncate(tokens)?;
        Ok(shared)
    }

    /// Lets the pages behind the first `tokens` tokens go.
    pub(super) fn truncate(&mut self, tokens: usize) -> std::result::Result<(), StepError> {
        let pages = tokens.div_ceil(PAGE_TOKENS);
        if pages == 0 {
            self.layers = Arc::default();
            self.pages = 0;
        } else if pages < self.pages {
            self.resize(tokens, pages).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// Makes room for `tokens` tokens, of which the first `held` are there: those behind them can be written.
    pub(super) fn reserve(
        &mut self,
        sizes: &Blueprint,
        device: &Device,
        held: usize,
        tokens: usize,
    ) -> std::result::Result<(), StepError> {
        let needed = tokens.div_ceil(PAGE_TOKENS);
        if needed > self.most_pages {
            return Err(StepError::Compute(format!(
                "{tokens} tokens need {needed} kv pages; {} are allowed",
                self.most_pages
            )));
        }
        let made = if self.layers.is_empty() {
            let empty = || Kept::empty(sizes.kv_heads, needed, sizes.head_width, device);
            let layers: Result<Vec<Kept>> = (0..sizes.layers).map(|_| empty()).collect();
            layers.map(|layers| {
                self.layers = Arc::new(layers);
                self.pages = needed;
            })
        } else if needed > self.pages || Arc::get_mut(&mut self.layers).is_none() {
            self.resize(held, needed.max(self.pages))
        } else {
            Ok(())
        };
        made.map_err(|error| failed(&error))
    }

    /// Room for so many pages, the first `held` tokens as they were. What nobody shares is replaced layer by layer.
    fn resize(&mut self, held: usize, pages: usize) -> Result<()> {
        if let Some(own) = Arc::get_mut(&mut self.layers) {
            for kept in own {
                *kept = kept.resized(held, pages)?;
            }
        } else {
            let resized = self.layers.iter().map(|kept| kept.resized(held, pages));
            self.layers = Arc::new(resized.collect::<Result<_>>()?);
        }
        self.pages = pages;
        Ok(())
    }

    /// Stores the keys and values (`[head][token][element]`) of one layer from place `at` on, for which room was made.
    pub(super) fn write(
        &self,
        layer: usize,
        at: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<()> {
        let kept = self.layer(layer)?;
        let narrow = |tensor: &Tensor| tensor.to_dtype(DType::F16)?.contiguous();
        kept.keys.slice_set(&narrow(keys)?, 1, at)?;
        kept.values.slice_set(&narrow(values)?, 1, at)
    }

    /// The keys and values of the first `tokens` tokens of one layer, as 32 bit floats.
    pub(super) fn read(&self, layer: usize, tokens: usize) -> Result<(Tensor, Tensor)> {
        let kept = self.layer(layer)?;
        let widen = |tensor: &Tensor| tensor.narrow(1, 0, tokens)?.to_dtype(DType::F32);
        Ok((widen(&kept.keys)?, widen(&kept.values)?))
    }

    fn layer(&self, layer: usize) -> Result<&Kept> {
        let kept = self.layers.get(layer);
        kept.ok_or_else(|| candle_core::Error::msg(format!("no room was made in layer {layer}")))
    }

    /// What tells those who share it from others, and the memory it takes in bytes.
    pub(super) fn memory(&self) -> (*const (), u64) {
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let kept = |kept: &Kept| bytes(&kept.keys) + bytes(&kept.values);
        let all: usize = self.layers.iter().map(kept).sum();
        (Arc::as_ptr(&self.layers).cast(), all as u64)
    }
}

impl Kept {
    fn empty(heads: usize, pages: usize, width: usize, device: &Device) -> Result<Self> {
        let zeros = || Tensor::zeros((heads, pages * PAGE_TOKENS, width), DType::F16, device);
        Ok(Self {
            keys: zeros()?,
            values: zeros()?,
        })
    }

    fn resized(&self, held: usize, pages: usize) -> Result<Self> {
        let (heads, _, width) = self.keys.dims3()?;
        let resized = Self::empty(heads, pages, width, self.keys.device())?;
        if held > 0 {
            let front = |tensor: &Tensor| tensor.narrow(1, 0, held)?.contiguous();
            resized.keys.slice_set(&front(&self.keys)?, 1, 0)?;
            resized.values.slice_set(&front(&self.values)?, 1, 0)?;
        }
        Ok(resized)
    }
}
