//! A model's weights in memory, each in its place.

use std::ops::ControlFlow;
use std::sync::Arc;

use engine::LoadError;

use crate::blueprint::Blueprint;
use crate::codec::Codec;
use crate::cpu::{Kind, Precision};
use crate::file::GgufFile;
use crate::forward::Ways;
use crate::layer::{self, Tensors};
use crate::matrix::Matrix;
use crate::rope::Rope;
use crate::vocabulary::Vocabulary;
use crate::weights::{self, Manner};

/// The tensor that tokens are looked up in.
const EMBEDDING: &str = "token_embd.weight";

/// One of its blocks.
pub type Layer = crate::layer::Layer<Matrix, Vec<f32>>;

/// A whole model; immutable once loaded.
pub struct Model {
    /// Its sizes.
    pub blueprint: Blueprint,
    /// Token embeddings.
    pub embedding: Matrix,
    /// All blocks.
    pub layers: Vec<Layer>,
    /// The last norm.
    pub output_norm: Vec<f32>,
    /// To logits; the embedding serves where it is `None`.
    pub output: Option<Matrix>,
    /// Position encoding.
    pub rope: Rope,
    /// Kernels of what stands between the products.
    pub kind: Kind,
    /// How faithfully activations meet the weights.
    pub precision: Precision,
    /// Memory of all weights, in bytes.
    pub weights_bytes: u64,
}

impl Model {
    /// Memory the weights of this file will take: matrices packed or as they lie in the file, vectors as 32 bit
    /// floats.
    ///
    /// # Errors
    /// `Malformed` for a missing tensor.
    pub fn bytes_needed(blueprint: &Blueprint, file: &GgufFile) -> Result<u64, LoadError> {
        let tensors = blueprint.tensors(file)?;
        Ok(tensors
            .iter()
            .map(|(_, info)| weights::resident(info))
            .sum())
    }

    /// How its matrices will be multiplied; an embedding that is only looked up does not matter. Several threads can, where none
    /// is multiplied as it lies in the file.
    ///
    /// # Errors
    /// `Malformed` for a missing tensor.
    pub(crate) fn ways(
        blueprint: &Blueprint,
        file: &GgufFile,
        kind: Option<Kind>,
    ) -> Result<Ways, LoadError> {
        let tensors = blueprint.tensors(file)?;
        let looked_up = |name: &str| name == EMBEDDING && !blueprint.tied_output;
        let mut ways = Ways {
            by_bytes: false,
            in_file: false,
        };
        for (name, info) in &tensors {
            if info.shape.len() == 2 && !looked_up(name) {
                let packed = kind.is_some() && Matrix::has_packed_form(info.format);
                ways.in_file |= !packed;
                ways.by_bytes |= packed && Matrix::packed_meets_bytes(info.format);
            }
        }
        Ok(ways)
    }

    /// The most memory that the weights take while so many threads read them: what is read already, some rows for each
    /// thread, and one tensor twice, as it lies in the file and as it stays, if it has no packed form. Those outside the
    /// layers, which are the large ones, are read first.
    ///
    /// # Errors
    /// `Malformed` for a missing tensor.
    pub fn bytes_while_loading(
        blueprint: &Blueprint,
        file: &GgufFile,
        threads: usize,
    ) -> Result<u64, LoadError> {
        let tensors = blueprint.tensors(file)?;
        Ok(weights::most_while_reading(&tensors, threads))
    }

    /// What makes logits of the last rows.
    pub(crate) fn to_logits(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.embedding)
    }

    /// Whether all that is multiplied is multiplied by our kernels.
    pub(crate) fn is_packed(&self) -> bool {
        let mut of_layers = self.layers.iter().flat_map(Layer::matrices);
        self.to_logits().is_packed() && of_layers.all(Matrix::is_packed)
    }

    /// Reads all weights for kernels of this kind, or for candle's where there is none, to be multiplied with activations that
    /// are kept so, and builds the codec beside it, telling `progress` after each tensor. Helpers may take part; what is read
    /// does not depend on them.
    ///
    /// # Errors
    /// `Io`, `Malformed`, `Unsupported`, or `Cancelled` when `progress` says to stop.
    pub(crate) fn load(
        blueprint: Blueprint,
        vocabulary: Vocabulary,
        file: &Arc<GgufFile>,
        (manner, precision): (Manner<'_>, Precision),
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<(Self, Codec), LoadError> {
        let of_file = (&blueprint, vocabulary);
        let (mut tensors, codec) = weights::read(file, of_file, manner, progress)?;
        let embedding = tensors.matrix(EMBEDDING)?;
        let output_norm = tensors.vector("output_norm.weight")?;
        let output = if blueprint.tied_output {
            None
        } else {
            Some(tensors.matrix("output.weight")?)
        };
        let divisors = tensors.optional_vector(blueprint.rope_divisors())?;
        let mut layers = Vec::new();
        for index in 0..blueprint.layers {
            layers.push(layer::read(&mut tensors, &blueprint, index)?);
        }
        let weights_bytes = tensors.bytes();
        let model = Self {
            kind: manner.kind.unwrap_or_else(Kind::best),
            rope: Rope::new(&blueprint, divisors.as_deref()),
            blueprint,
            embedding,
            layers,
            output_norm,
            output,
            weights_bytes,
            precision,
        };
        Ok((model, codec))
    }
}

impl Layer {
    fn matrices(&self) -> [&Matrix; 7] {
        let ((queries, _), (keys, _), (values, _)) = (&self.queries, &self.keys, &self.values);
        let output = &self.attention_output;
        [
            queries, keys, values, output, &self.gate, &self.up, &self.down,
        ]
    }
}
