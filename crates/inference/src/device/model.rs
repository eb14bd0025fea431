//! A model's weights on the device, each in its place; the embedding beside it, for its rows are looked up and not multiplied.

use std::ops::ControlFlow;

use candle_core::quantized::QMatMul;
use candle_core::{Device, Tensor};
use engine::LoadError;

use super::weights::Reader;
use crate::blueprint::{Architecture, Blueprint};
use crate::file::GgufFile;
use crate::matrix::Matrix;
use crate::rope::Rope;

/// The tensor that tokens are looked up in.
pub(super) const EMBEDDING: &str = "token_embd.weight";

/// One transformer block, as [`crate::model::Layer`] has it.
pub(super) struct Layer {
    pub(super) attention_norm: Tensor,
    pub(super) queries: (QMatMul, Option<Tensor>),
    pub(super) keys: (QMatMul, Option<Tensor>),
    pub(super) values: (QMatMul, Option<Tensor>),
    pub(super) head_norms: Option<(Tensor, Tensor)>,
    pub(super) attention_output: QMatMul,
    pub(super) feed_forward_norm: Tensor,
    pub(super) gate: QMatMul,
    pub(super) up: QMatMul,
    pub(super) down: QMatMul,
}

/// A whole model; immutable once loaded.
pub(super) struct Model {
    pub(super) blueprint: Blueprint,
    pub(super) device: Device,
    pub(super) embedding: Matrix,
    pub(super) layers: Vec<Layer>,
    pub(super) output_norm: Tensor,
    pub(super) output: QMatMul,
    pub(super) rope: Rope,
}

impl Model {
    /// Reads all weights to the device, telling `progress` after each tensor.
    pub(super) fn load(
        blueprint: Blueprint,
        file: &GgufFile,
        device: &Device,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self, LoadError> {
        let mut reader = Reader::new(file, &blueprint, device, progress)?;
        let embedding = reader.rows(EMBEDDING)?;
        let output_norm = reader.vector("output_norm.weight")?;
        let output = reader.matrix(if blueprint.tied_output {
            EMBEDDING
        } else {
            "output.weight"
        })?;
        let divisors = match file.tensor("rope_freqs.weight") {
            None => None,
            Some(_) => Some(reader.values("rope_freqs.weight")?),
        };
        let mut layers = Vec::new();
        for index in 0..blueprint.layers {
            layers.push(read_layer(&mut reader, &blueprint, index)?);
        }
        Ok(Self {
            rope: Rope::new(&blueprint, divisors.as_deref()),
            device: reader.device().clone(),
            blueprint,
            embedding,
            layers,
            output_norm,
            output,
        })
    }
}

fn read_layer(
    reader: &mut Reader<'_>,
    blueprint: &Blueprint,
    index: usize,
) -> Result<Layer, LoadError> {
    let name = |tail: &str| format!("blk.{index}.{tail}");
    let mut projection = |part: &str| {
        Ok((
            reader.matrix(&name(&format!("{part}.weight")))?,
            reader.optional_vector(&name(&format!("{part}.bias")))?,
        ))
    };
    let queries = projection("attn_q")?;
    let keys = projection("attn_k")?;
    let values = projection("attn_v")?;
    let head_norms = if blueprint.architecture == Architecture::Qwen3 {
        Some((
            reader.vector(&name("attn_q_norm.weight"))?,
            reader.vector(&name("attn_k_norm.weight"))?,
        ))
    } else {
        None
    };
    Ok(Layer {
        attention_norm: reader.vector(&name("attn_norm.weight"))?,
        queries,
        keys,
        values,
        head_norms,
        attention_output: reader.matrix(&name("attn_output.weight"))?,
        feed_forward_norm: reader.vector(&name("ffn_norm.weight"))?,
        gate: reader.matrix(&name("ffn_gate.weight"))?,
        up: reader.matrix(&name("ffn_up.weight"))?,
        down: reader.matrix(&name("ffn_down.weight"))?,
    })
}
