//! A model's weights on the device, each in its place; the embedding beside it, for its rows are looked up and not multiplied.

use std::ops::ControlFlow;

use candle_core::quantized::QMatMul;
use candle_core::{Device, Tensor};
use engine::LoadError;

use super::weights::Reader;
use crate::blueprint::Blueprint;
use crate::file::GgufFile;
use crate::layer::{self, Tensors};
use crate::matrix::Matrix;
use crate::rope::Rope;

/// The tensor that tokens are looked up in.
pub(super) const EMBEDDING: &str = "token_embd.weight";

/// One of its blocks.
pub(super) type Layer = layer::Layer<QMatMul, Tensor>;

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
        let divisors = reader.optional_values(blueprint.rope_divisors())?;
        let mut layers = Vec::new();
        for index in 0..blueprint.layers {
            layers.push(layer::read(&mut reader, &blueprint, index)?);
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
