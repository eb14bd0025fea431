//! The weights in memory, and how they get there: one tensor at a time, telling how far it is, ready to stop.

use std::ops::ControlFlow;

use engine::LoadError;

use crate::blueprint::{Architecture, Blueprint};
use crate::cpu::{Kind, Precision};
use crate::file::GgufFile;
use crate::header::TensorInfo;
use crate::matrix::Matrix;
use crate::rope::Rope;

/// One transformer block.
pub struct Layer {
    /// Norm before attention.
    pub attention_norm: Vec<f32>,
    /// To queries, keys and values, each with its bias where the model has one.
    pub queries: (Matrix, Option<Vec<f32>>),
    /// See `queries`.
    pub keys: (Matrix, Option<Vec<f32>>),
    /// See `queries`.
    pub values: (Matrix, Option<Vec<f32>>),
    /// Norms of each query and key head, where the model has them.
    pub head_norms: Option<(Vec<f32>, Vec<f32>)>,
    /// From the heads back to the residual stream.
    pub attention_output: Matrix,
    /// Norm before the feed-forward part.
    pub feed_forward_norm: Vec<f32>,
    /// The gate of the feed-forward part.
    pub gate: Matrix,
    /// What the gate lets through.
    pub up: Matrix,
    /// Back to the residual stream.
    pub down: Matrix,
}

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
        Ok(tensors.into_iter().map(resident_bytes).sum())
    }

    /// The most memory that the weights take while they are read: what is read already, and one tensor twice, as it
    /// lies in the file and as it stays. Those outside the layers, which are the large ones, are read first.
    ///
    /// # Errors
    /// `Malformed` for a missing tensor.
    pub fn bytes_while_loading(blueprint: &Blueprint, file: &GgufFile) -> Result<u64, LoadError> {
        let outside = outside_layers(blueprint);
        let (mut read, mut most) = (0u64, 0u64);
        for name in &outside {
            let Some(tensor) = file.tensor(name) else {
                return Err(file.malformed(format!("tensor `{name}` is missing")));
            };
            read = read.saturating_add(resident_bytes(tensor));
            most = most.max(read.saturating_add(staged_bytes(tensor.bytes)));
        }
        let of_layers = file.tensors().filter(|(name, _)| !outside.contains(name));
        let largest = of_layers.map(|(_, tensor)| tensor.bytes).max();
        let total = Self::bytes_needed(blueprint, file)?;
        Ok(most.max(total.saturating_add(staged_bytes(largest.unwrap_or(0)))))
    }

    /// Whether all its matrices are multiplied by our kernels.
    pub(crate) fn is_packed(&self) -> bool {
        let outside = self.output.iter().chain([&self.embedding]);
        let of_layers = self.layers.iter().flat_map(Layer::matrices);
        outside.chain(of_layers).all(Matrix::is_packed)
    }

    /// Reads all weights for kernels of this kind, or for candle's where there is none, telling `progress` after each
    /// tensor.
    ///
    /// # Errors
    /// `Io`, `Malformed`, or `Cancelled` when `progress` says to stop.
    pub fn load(
        blueprint: Blueprint,
        file: &GgufFile,
        kind: Option<Kind>,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self, LoadError> {
        let total = Self::bytes_needed(&blueprint, file)?;
        let mut tensors = Tensors {
            file,
            kind,
            staging: Vec::new(),
            total,
            read: 0,
            progress,
        };
        let embedding = tensors.matrix("token_embd.weight")?;
        let output_norm = tensors.vector("output_norm.weight")?;
        let output = if blueprint.tied_output {
            None
        } else {
            Some(tensors.matrix("output.weight")?)
        };
        let divisors = tensors.optional_vector("rope_freqs.weight")?;
        let mut layers = Vec::new();
        for index in 0..blueprint.layers {
            layers.push(read_layer(&mut tensors, &blueprint, index)?);
        }
        let weights_bytes = tensors.read;
        Ok(Self {
            kind: kind.unwrap_or_else(Kind::best),
            rope: Rope::new(&blueprint, divisors.as_deref()),
            blueprint,
            embedding,
            layers,
            output_norm,
            output,
            weights_bytes,
            precision: Precision::default(),
        })
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

fn read_layer(
    tensors: &mut Tensors,
    blueprint: &Blueprint,
    index: usize,
) -> Result<Layer, LoadError> {
    let name = |tail: &str| format!("blk.{index}.{tail}");
    let mut projection = |part: &str| {
        Ok((
            tensors.matrix(&name(&format!("{part}.weight")))?,
            tensors.optional_vector(&name(&format!("{part}.bias")))?,
        ))
    };
    let queries = projection("attn_q")?;
    let keys = projection("attn_k")?;
    let values = projection("attn_v")?;
    let head_norms = if blueprint.architecture == Architecture::Qwen3 {
        Some((
            tensors.vector(&name("attn_q_norm.weight"))?,
            tensors.vector(&name("attn_k_norm.weight"))?,
        ))
    } else {
        None
    };
    Ok(Layer {
        attention_norm: tensors.vector(&name("attn_norm.weight"))?,
        queries,
        keys,
        values,
        head_norms,
        attention_output: tensors.matrix(&name("attn_output.weight"))?,
        feed_forward_norm: tensors.vector(&name("ffn_norm.weight"))?,
        gate: tensors.matrix(&name("ffn_gate.weight"))?,
        up: tensors.matrix(&name("ffn_up.weight"))?,
        down: tensors.matrix(&name("ffn_down.weight"))?,
    })
}

/// The tensors that are read before the layers, in this order.
fn outside_layers(blueprint: &Blueprint) -> Vec<&'static str> {
    let output = (!blueprint.tied_output).then_some("output.weight");
    let names = ["token_embd.weight", "output_norm.weight"].into_iter();
    names.chain(output).collect()
}

/// A buffer is used again for a tensor of half its size or more; a smaller one gets one of its own, and this one goes.
const fn fits_again(capacity: usize, needed: usize) -> bool {
    capacity >= needed && capacity / 2 <= needed
}

/// What the buffer for a tensor of `bytes` bytes takes at most; see [`fits_again`].
const fn staged_bytes(bytes: u64) -> u64 {
    bytes.saturating_add(7).saturating_mul(2).saturating_add(1)
}

fn resident_bytes(tensor: &TensorInfo) -> u64 {
    match tensor.shape.as_slice() {
        [_] => tensor.elements.saturating_mul(size_of::<f32>() as u64),
        [rows, columns] => Matrix::bytes_needed(tensor.format, *rows, *columns, tensor.bytes),
        _ => tensor.bytes,
    }
}

/// Reads tensors one after another through one buffer.
struct Tensors<'a> {
    file: &'a GgufFile,
    kind: Option<Kind>,
    staging: Vec<u8>,
    total: u64,
    read: u64,
    progress: &'a mut dyn FnMut(f32) -> ControlFlow<()>,
}

impl Tensors<'_> {
    fn matrix(&mut self, name: &str) -> Result<Matrix, LoadError> {
        let tensor = self.find(name)?.clone();
        let &[rows, columns] = tensor.shape.as_slice() else {
            return Err(self.file.malformed(format!("tensor `{name}` is no matrix")));
        };
        let (kind, format) = (self.kind, tensor.format);
        let matrix = self.read(
            name,
            &tensor,
            rows,
            columns,
            |rows, columns, bytes| match kind {
                Some(kind) => Matrix::new(kind, format, rows, columns, bytes),
                None => Matrix::in_file(format, rows, columns, bytes),
            },
        )?;
        self.tell(matrix.bytes())?;
        Ok(matrix)
    }

    fn vector(&mut self, name: &str) -> Result<Vec<f32>, LoadError> {
        let tensor = self.find(name)?.clone();
        let format = tensor.format;
        let matrix = self.read(name, &tensor, 1, tensor.elements, |rows, columns, bytes| {
            Matrix::in_file(format, rows, columns, bytes)
        })?;
        let values = matrix
            .widen(&[0])
            .map_err(|error| self.file.malformed(format!("tensor `{name}`: {error}")))?;
        self.tell(resident_bytes(&tensor))?;
        Ok(values)
    }

    fn optional_vector(&mut self, name: &str) -> Result<Option<Vec<f32>>, LoadError> {
        match self.file.tensor(name) {
            None => Ok(None),
            Some(_) => self.vector(name).map(Some),
        }
    }

    fn find(&self, name: &str) -> Result<&TensorInfo, LoadError> {
        self.file
            .tensor(name)
            .ok_or_else(|| self.file.malformed(format!("tensor `{name}` is missing")))
    }

    /// Reads a tensor and makes a matrix of its rows, its columns and its bytes.
    fn read(
        &mut self,
        name: &str,
        tensor: &TensorInfo,
        rows: u64,
        columns: u64,
        make: impl FnOnce(usize, usize, &[u8]) -> Option<Matrix>,
    ) -> Result<Matrix, LoadError> {
        let too_large = || self.file.malformed(format!("tensor `{name}` is too large"));
        let bytes = usize::try_from(tensor.bytes).map_err(|_| too_large())?;
        let rows = usize::try_from(rows).map_err(|_| too_large())?;
        let columns = usize::try_from(columns).map_err(|_| too_large())?;
        // 7 bytes more, so that the data can begin at a multiple of 8 wherever the buffer lies.
        let needed = bytes.saturating_add(7);
        if !fits_again(self.staging.capacity(), needed) {
            // Gone before there is another.
            self.staging = Vec::new();
            self.staging.reserve_exact(needed);
        }
        self.staging.resize(needed, 0);
        let shift = self.staging.as_ptr().align_offset(8);
        let Some(target) = self.staging.get_mut(shift..shift.saturating_add(bytes)) else {
            return Err(too_large());
        };
        self.file.read_tensor(tensor, target)?;
        make(rows, columns, target).ok_or_else(|| {
            self.file
                .malformed(format!("tensor `{name}` does not fit its shape"))
        })
    }

    fn tell(&mut self, bytes: u64) -> Result<(), LoadError> {
        self.read = self.read.saturating_add(bytes);
        let share = (self.read as f64 / self.total.max(1) as f64).min(1.0);
        match (self.progress)(share as f32) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(LoadError::Cancelled),
        }
    }
}
