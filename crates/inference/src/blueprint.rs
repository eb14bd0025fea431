//! What the metadata says the model is, checked against the tensors that are there: all that can be known of a model
//! before any of its weights is read.
//!
//! Field names: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>; tensor names as llama.cpp writes them.

mod architecture;
mod manner;

use std::borrow::Cow;
use std::collections::BTreeSet;

use engine::LoadError;

use crate::file::GgufFile;
use crate::header::TensorInfo;

pub use architecture::{Architecture, Gate};
pub use manner::{Manner, Near, Sight, Turn};

/// More layers than any model has; keeps a lying file from making the loader loop.
const MAX_LAYERS: u64 = 1024;
/// The longest row of any tensor; the largest known models stay under 60 000.
const MAX_WIDTH: u64 = 1 << 20;
/// Positions are `u32` everywhere; no model is trained for more.
const MAX_CONTEXT: u64 = 1 << 24;

/// A model's sizes. Every tensor it names has been found in the header with the right shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Blueprint {
    /// Which family.
    pub architecture: Architecture,
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_width: usize,
    /// Elements of a head that rope rotates, from the front; even.
    pub rope_width: usize,
    /// The base of rope's frequencies.
    pub rope_base: f32,
    /// Positions are divided by this (linear rope scaling); 1 is none.
    pub rope_factor: f32,
    /// Width inside the feed-forward part.
    pub feed_forward: usize,
    /// What `RMSNorm` adds before the root.
    pub norm_epsilon: f32,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// The most tokens a sequence can hold.
    pub context: u32,
    /// Whether the output weights are the embedding's.
    pub tied_output: bool,
    /// What it does otherwise than Llama.
    pub manner: Manner,
}

impl Blueprint {
    /// Reads the sizes and finds every tensor.
    ///
    /// # Errors
    /// `Malformed` or `Unsupported`, naming the field or tensor.
    pub fn read(file: &GgufFile, vocabulary: usize) -> Result<Self, LoadError> {
        let name = file.text("general.architecture")?;
        let Some(architecture) = Architecture::from_name(name) else {
            let known: Vec<&str> = Architecture::ALL.iter().map(|known| known.name()).collect();
            return Err(file.unsupported(
                format!("the architecture `{name}`"),
                format!("{} are", known.join(", ")),
            ));
        };
        let blueprint = Self::read_sizes(file, architecture, vocabulary)?;
        let used = blueprint.tensors(file)?;
        blueprint.refuse_more(file, used.iter().map(|(name, _)| name.as_str()))?;
        Ok(blueprint)
    }

    fn read_sizes(
        file: &GgufFile,
        architecture: Architecture,
        vocabulary: usize,
    ) -> Result<Self, LoadError> {
        let key = |tail: &str| format!("{}.{tail}", architecture.name());
        let size = |tail: &str, most: u64| file.size(&key(tail), most);
        if file
            .optional_size(&key("expert_count"), u64::MAX)?
            .unwrap_or(0)
            > 0
        {
            return Err(file.unsupported("a mixture of experts", "dense models are"));
        }
        let layers = size("block_count", MAX_LAYERS)?;
        let width = size("embedding_length", MAX_WIDTH)?;
        let heads = size("attention.head_count", MAX_WIDTH)?;
        let kv_heads = file
            .optional_size(&key("attention.head_count_kv"), MAX_WIDTH)?
            .unwrap_or(heads);
        if kv_heads == 0 || heads % kv_heads != 0 {
            return Err(file.malformed(format!(
                "`{}` is {heads}, no multiple of the {kv_heads} kv heads",
                key("attention.head_count")
            )));
        }
        let head_width = head_width(file, &key, width, heads)?;
        let rope_width = file
            .optional_size(&key("rope.dimension_count"), MAX_WIDTH)?
            .unwrap_or(head_width);
        if rope_width % 2 != 0 || rope_width > head_width {
            return Err(file.malformed(format!(
                "`{}` is {rope_width}; an even number up to the head's {head_width} is needed",
                key("rope.dimension_count")
            )));
        }
        let rope_base = file
            .optional_float(&key("rope.freq_base"))?
            .unwrap_or(10_000.0);
        let rope_factor = rope_factor(file, architecture, &key)?;
        let manner = Manner::read(file, architecture, (layers, heads, width))?;
        Ok(Self {
            architecture,
            layers,
            width,
            heads,
            kv_heads,
            head_width,
            rope_width,
            rope_base,
            rope_factor,
            feed_forward: size("feed_forward_length", MAX_WIDTH)?,
            norm_epsilon: file.float(&key("attention.layer_norm_rms_epsilon"))?,
            vocabulary,
            context: context(file, &manner, &key)?,
            tied_output: file.tensor("output.weight").is_none(),
            manner,
        })
    }

    /// Every tensor the model uses with its name, found in the file with the right shape; those outside the layers first. What
    /// a file has in one tensor is here as its parts, by the names that they have where each is a tensor of its own.
    ///
    /// # Errors
    /// `Malformed`, naming the tensor.
    pub fn tensors(&self, file: &GgufFile) -> Result<Vec<(String, TensorInfo)>, LoadError> {
        let (width, vocabulary) = (self.width as u64, self.vocabulary as u64);
        let mut all = Vec::new();
        let mut find = |name: String, shape: &[u64]| {
            let tensor = self.find(file, &name, shape)?;
            all.push((name, tensor.clone()));
            Ok::<(), LoadError>(())
        };
        find("token_embd.weight".to_owned(), &[vocabulary, width])?;
        find("output_norm.weight".to_owned(), &[width])?;
        if !self.tied_output {
            find("output.weight".to_owned(), &[vocabulary, width])?;
        }
        for layer in 0..self.layers {
            for (name, shape) in self.layer_tensors() {
                find(format!("blk.{layer}.{name}"), &shape)?;
            }
            for (name, length) in self.biases() {
                let name = format!("blk.{layer}.{name}");
                if self.architecture.has_biases() || file.tensor(&name).is_some() {
                    find(name, &[length])?;
                }
            }
        }
        let divisors = self.rope_divisors();
        if file.tensor(divisors).is_some() {
            find(divisors.to_owned(), &[self.rope_width as u64 / 2])?;
        }
        for layer in 0..self.layers {
            for (whole, parts) in self.fused_tensors() {
                let whole = format!("blk.{layer}.{whole}");
                let rows = parts.iter().map(|(_, rows)| rows).sum();
                let tensor = self.find(file, &whole, &[rows, width])?;
                let mut from = 0;
                for (part, rows) in parts {
                    let tensor = rows_of(tensor, from, rows);
                    let tensor = tensor.ok_or_else(|| {
                        file.malformed(format!("tensor `{whole}` has no whole rows"))
                    })?;
                    all.push((format!("blk.{layer}.{part}"), tensor));
                    from += rows;
                }
            }
        }
        Ok(all)
    }

    /// Refuses a file whose layers, or whose output, have more than is `used`: without it the answers would be wrong.
    fn refuse_more<'n>(
        &self,
        file: &GgufFile,
        used: impl Iterator<Item = &'n str>,
    ) -> Result<(), LoadError> {
        let mut used: BTreeSet<Cow<'_, str>> = used.map(Cow::from).collect();
        for (whole, _) in self.fused_tensors() {
            let of_layers = (0..self.layers).map(|layer| format!("blk.{layer}.{whole}"));
            used.extend(of_layers.map(Cow::from));
        }
        let counts = |name: &str| name.starts_with("blk.") || name.starts_with("output");
        let more = file
            .tensors()
            .find(|(name, _)| counts(name) && !used.contains(*name));
        more.map_or(Ok(()), |(name, _)| {
            Err(file.unsupported(
                format!("the tensor `{name}` of a {}", self.architecture.name()),
                "without it the answers would be wrong; models without it are",
            ))
        })
    }

    /// Every tensor a layer must have, with its shape.
    fn layer_tensors(&self) -> Vec<(&'static str, Vec<u64>)> {
        let width = self.width as u64;
        let inner = self.feed_forward as u64;
        let (queries, keys) = (self.query_width() as u64, self.kv_width() as u64);
        let mut all = vec![("attn_norm.weight", vec![width])];
        // Where several are one tensor, they are its parts.
        let is_fused = self.architecture.is_fused();
        if !is_fused {
            all.push(("attn_q.weight", vec![queries, width]));
            all.push(("attn_k.weight", vec![keys, width]));
            all.push(("attn_v.weight", vec![keys, width]));
        }
        all.push(("attn_output.weight", vec![width, queries]));
        all.push(("ffn_norm.weight", vec![width]));
        if !is_fused {
            all.push(("ffn_gate.weight", vec![inner, width]));
            all.push(("ffn_up.weight", vec![inner, width]));
        }
        all.push(("ffn_down.weight", vec![width, inner]));
        if self.architecture.has_head_norms() {
            let head = self.head_width as u64;
            all.push(("attn_q_norm.weight", vec![head]));
            all.push(("attn_k_norm.weight", vec![head]));
        }
        if self.architecture.has_norms_behind() {
            all.push(("post_attention_norm.weight", vec![width]));
            all.push(("post_ffw_norm.weight", vec![width]));
        }
        all
    }

    /// Tensors of a layer that are several in one, with the names and rows of their parts.
    fn fused_tensors(&self) -> Vec<(&'static str, Vec<(&'static str, u64)>)> {
        if !self.architecture.is_fused() {
            return Vec::new();
        }
        let (queries, keys) = (self.query_width() as u64, self.kv_width() as u64);
        let inner = self.feed_forward as u64;
        vec![
            (
                "attn_qkv.weight",
                vec![
                    ("attn_q.weight", queries),
                    ("attn_k.weight", keys),
                    ("attn_v.weight", keys),
                ],
            ),
            (
                "ffn_up.weight",
                vec![("ffn_gate.weight", inner), ("ffn_up.weight", inner)],
            ),
        ]
    }

    /// The tensor that rope's frequencies are divided by, where the file has one. Phi has two, of which this one is for texts of
    /// the length it was trained with; no sequence is longer here.
    pub(crate) const fn rope_divisors(&self) -> &'static str {
        match self.architecture {
            Architecture::Phi3 => "rope_factors_short.weight",
            _ => "rope_freqs.weight",
        }
    }

    /// Biases a layer may have (and qwen2 must), with their lengths.
    fn biases(&self) -> [(&'static str, u64); 3] {
        [
            ("attn_q.bias", self.query_width() as u64),
            ("attn_k.bias", self.kv_width() as u64),
            ("attn_v.bias", self.kv_width() as u64),
        ]
    }

    fn find<'f>(
        &self,
        file: &'f GgufFile,
        name: &str,
        shape: &[u64],
    ) -> Result<&'f TensorInfo, LoadError> {
        let Some(tensor) = file.tensor(name) else {
            return Err(file.malformed(format!(
                "tensor `{name}` is missing (a {} needs it)",
                self.architecture.name()
            )));
        };
        if tensor.shape != shape {
            return Err(file.malformed(format!(
                "tensor `{name}` has the shape {:?}; the metadata asks for {shape:?}",
                tensor.shape
            )));
        }
        Ok(tensor)
    }

    /// Elements of all query heads together.
    pub const fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Elements of all key heads together.
    pub const fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width
    }

    /// What products of queries and keys are multiplied by.
    pub fn score_scale(&self) -> f32 {
        let usual = 1.0 / (self.head_width as f32).sqrt();
        self.manner.scores.unwrap_or(usual)
    }
}

/// Some rows of a matrix, as if they were a tensor of their own; `None` where its bytes are no whole rows.
fn rows_of(tensor: &TensorInfo, from: u64, rows: u64) -> Option<TensorInfo> {
    let &[all, columns] = tensor.shape.as_slice() else {
        return None;
    };
    let row = tensor.bytes.checked_div(all)?;
    if row.checked_mul(all)? != tensor.bytes || from.checked_add(rows)? > all {
        return None;
    }
    Some(TensorInfo {
        format: tensor.format,
        shape: vec![rows, columns],
        elements: rows.checked_mul(columns)?,
        offset: tensor.offset.checked_add(from.checked_mul(row)?)?,
        bytes: rows.checked_mul(row)?,
    })
}

/// The most tokens a sequence can hold.
fn context(
    file: &GgufFile,
    manner: &Manner,
    key: &dyn Fn(&str) -> String,
) -> Result<u32, LoadError> {
    let mut context = file.size(&key("context_length"), MAX_CONTEXT)?;
    // Inside the window full attention is what the model was trained for; a family whose windows are heeded is not cut.
    let window = file.optional_size(&key("attention.sliding_window"), u64::MAX)?;
    if let Some(window) = window.filter(|window| manner.near.is_none() && *window > 0) {
        context = context.min(window);
    }
    if is_long(file, key)? {
        // Longer texts need frequencies of their own for all their tokens.
        context =
            context.min(file.size(&key("rope.scaling.original_context_length"), MAX_CONTEXT)?);
    }
    Ok(u32::try_from(context).unwrap_or(u32::MAX))
}

/// Whether the file has frequencies for texts longer than those it was trained with (arXiv:2402.13753), and others for those.
fn is_long(file: &GgufFile, key: &dyn Fn(&str) -> String) -> Result<bool, LoadError> {
    const SHORT: &str = "rope_factors_short.weight";
    let is_said = file.optional_text(&key("rope.scaling.type"))? == Some("longrope");
    let is_there = file.tensor(SHORT).is_some();
    if is_said && !is_there {
        return Err(file.malformed(format!(
            "tensor `{SHORT}` is missing (the rope scaling `longrope` needs it)"
        )));
    }
    Ok(is_there)
}

fn head_width(
    file: &GgufFile,
    key: &dyn Fn(&str) -> String,
    width: usize,
    heads: usize,
) -> Result<usize, LoadError> {
    let of_keys = file.optional_size(&key("attention.key_length"), MAX_WIDTH)?;
    let of_values = file.optional_size(&key("attention.value_length"), MAX_WIDTH)?;
    let head_width = match of_keys {
        Some(n) => n,
        None if width.is_multiple_of(heads) => width / heads,
        None => {
            return Err(file.malformed(format!(
                "`{}` is {width}, no multiple of the {heads} heads",
                key("embedding_length")
            )));
        }
    };
    if of_values.is_some_and(|n| n != head_width) {
        return Err(file.unsupported(
            format!("a value head of {of_values:?} beside a key head of {head_width}"),
            "heads of one width are",
        ));
    }
    if head_width == 0 {
        return Err(file.malformed(format!("`{}` is 0", key("attention.key_length"))));
    }
    // Keeps every product below far from overflow.
    if heads.saturating_mul(head_width) as u64 > MAX_WIDTH {
        return Err(file.malformed(format!(
            "{heads} heads of {head_width} are wider than {MAX_WIDTH}"
        )));
    }
    Ok(head_width)
}

fn rope_factor(
    file: &GgufFile,
    architecture: Architecture,
    key: &dyn Fn(&str) -> String,
) -> Result<f32, LoadError> {
    let kind = file
        .optional_text(&key("rope.scaling.type"))?
        .unwrap_or("none");
    match kind {
        "none" => Ok(1.0),
        "longrope" if architecture == Architecture::Phi3 => Ok(1.0),
        "linear" => {
            let factor = file
                .optional_float(&key("rope.scaling.factor"))?
                .unwrap_or(1.0);
            if factor >= 1.0 {
                Ok(factor)
            } else {
                Err(file.malformed(format!(
                    "`{}` is {factor}; 1 or more is needed",
                    key("rope.scaling.factor")
                )))
            }
        }
        other => Err(file.unsupported(
            format!("the rope scaling `{other}`"),
            "none, linear and rope_freqs.weight are",
        )),
    }
}
