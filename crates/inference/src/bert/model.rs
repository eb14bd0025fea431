//! BERT's forward pass over texts of any lengths at once (Devlin et al. 2018, <https://arxiv.org/abs/1810.04805>; post-norm
//! encoder of Vaswani et al. 2017, <https://arxiv.org/abs/1706.03762>).
//!
//! The tokens of all texts lie one behind another in one matrix, so the wide products are made once for all of them and
//! nothing is padding; only attention is made text by text. Nothing here knows a tokenizer or a file.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor, bail};

use super::config::BertConfig;

/// A whole model; immutable once loaded.
pub(super) struct Model {
    words: Tensor,
    positions: Tensor,
    /// Of the first of the two kinds of text: the only one here.
    kind: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    width: usize,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    output_norm: Norm,
    wide: Linear,
    narrow: Linear,
    norm: Norm,
}

/// `weight` has a row for each output.
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

struct Norm {
    gain: Vec<f32>,
    shift: Vec<f32>,
    epsilon: f32,
}

/// The tensors that were read, each to be taken once.
struct Tensors<'a> {
    all: HashMap<String, Tensor>,
    config: &'a BertConfig,
}

impl Model {
    /// Puts the tensors in their places.
    ///
    /// # Errors
    /// One is missing or of another shape, by name.
    pub(super) fn new(all: HashMap<String, Tensor>, config: &BertConfig) -> Result<Self> {
        let sizes = &config.sizes;
        let width = sizes.hidden_size;
        let mut tensors = Tensors { all, config };
        let table = |name: &str| format!("embeddings.{name}_embeddings.weight");
        let words = tensors.take(&table("word"), &[sizes.vocab_size, width])?;
        let places = [sizes.max_position_embeddings, width];
        let positions = tensors.take(&table("position"), &places)?;
        let kinds = tensors.take(&table("token_type"), &[sizes.type_vocab_size, width])?;
        let norm = tensors.norm("embeddings.LayerNorm")?;
        let layers = (0..sizes.num_hidden_layers).map(|index| tensors.layer(index));
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            words,
            positions,
            kind: kinds.narrow(0, 0, 1)?,
            norm,
            heads: sizes.num_attention_heads,
            width,
        })
    }

    /// The last states of all tokens of these texts, one text behind another: as many numbers for each token as the model
    /// is wide. No text is empty or longer than the model's places, and every token is one of its words.
    pub(super) fn forward(&self, texts: &[&[u32]]) -> Result<Vec<f32>> {
        let tokens: Vec<u32> = texts.concat();
        let places = texts.iter().flat_map(|text| 0u32..text.len() as u32);
        let places: Vec<u32> = places.collect();
        let count = tokens.len();
        let words = self
            .words
            .index_select(&Tensor::from_vec(tokens, count, &Device::Cpu)?, 0)?;
        let places = Tensor::from_vec(places, count, &Device::Cpu)?;
        let states = words
            .add(&self.positions.index_select(&places, 0)?)?
            .broadcast_add(&self.kind)?;
        let mut states = self.norm.apply(&states)?;
        for layer in &self.layers {
            let heard = self.attend(layer, &states, texts)?;
            states = layer
                .output_norm
                .apply(&layer.output.apply(&heard)?.add(&states)?)?;
            let wide = layer.wide.apply(&states)?.gelu_erf()?;
            states = layer
                .norm
                .apply(&layer.narrow.apply(&wide)?.add(&states)?)?;
        }
        states.flatten_all()?.to_vec1()
    }

    /// What each token takes from the others of its text.
    fn attend(&self, layer: &Layer, states: &Tensor, texts: &[&[u32]]) -> Result<Tensor> {
        let head = self.width / self.heads;
        // Scaled here, where there are fewest numbers.
        let query = (layer.query.apply(states)? * (1.0 / (head as f64).sqrt()))?;
        let (key, value) = (layer.key.apply(states)?, layer.value.apply(states)?);
        let mut begin = 0;
        let mut mixtures = Vec::with_capacity(texts.len());
        for text in texts {
            let length = text.len();
            let of_heads = |all: &Tensor| {
                let own = all.narrow(0, begin, length)?;
                let own = own.reshape((length, self.heads, head))?;
                own.transpose(0, 1)?.contiguous()
            };
            let scores = of_heads(&query)?.matmul(&of_heads(&key)?.t()?)?;
            let mixed = softmax(&scores)?.matmul(&of_heads(&value)?)?;
            mixtures.push(mixed.transpose(0, 1)?.reshape((length, self.width))?);
            begin += length;
        }
        Tensor::cat(&mixtures, 0)
    }
}

impl Linear {
    fn apply(&self, states: &Tensor) -> Result<Tensor> {
        states.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }
}

impl Norm {
    /// Each row with mean 0 and variance 1, then stretched and moved (Ba et al. 2016, <https://arxiv.org/abs/1607.06450>).
    fn apply(&self, states: &Tensor) -> Result<Tensor> {
        let mut all: Vec<f32> = states.flatten_all()?.to_vec1()?;
        let width = self.gain.len().max(1);
        for row in all.chunks_mut(width) {
            let mean = row.iter().sum::<f32>() / width as f32;
            let square = |x: &f32| (x - mean) * (x - mean);
            let variance = row.iter().map(square).sum::<f32>() / width as f32;
            let scale = 1.0 / (variance + self.epsilon).sqrt();
            for ((x, gain), shift) in row.iter_mut().zip(&self.gain).zip(&self.shift) {
                *x = (*x - mean) * scale * gain + shift;
            }
        }
        Tensor::from_vec(all, states.shape(), &Device::Cpu)
    }
}

/// Over the last dimension; the largest is taken away first, so that nothing overflows.
fn softmax(scores: &Tensor) -> Result<Tensor> {
    let width = scores.dims().last().copied().unwrap_or(1).max(1);
    let mut all: Vec<f32> = scores.flatten_all()?.to_vec1()?;
    for row in all.chunks_mut(width) {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for x in row.iter_mut() {
            *x = (*x - most).exp();
        }
        let sum: f32 = row.iter().sum();
        for x in row {
            *x /= sum;
        }
    }
    Tensor::from_vec(all, scores.shape(), &Device::Cpu)
}

impl Tensors<'_> {
    fn layer(&mut self, index: usize) -> Result<Layer> {
        let sizes = &self.config.sizes;
        let (width, inner) = (sizes.hidden_size, sizes.intermediate_size);
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        Ok(Layer {
            query: self.linear(&name("attention.self.query"), width, width)?,
            key: self.linear(&name("attention.self.key"), width, width)?,
            value: self.linear(&name("attention.self.value"), width, width)?,
            output: self.linear(&name("attention.output.dense"), width, width)?,
            output_norm: self.norm(&name("attention.output.LayerNorm"))?,
            wide: self.linear(&name("intermediate.dense"), inner, width)?,
            narrow: self.linear(&name("output.dense"), width, inner)?,
            norm: self.norm(&name("output.LayerNorm"))?,
        })
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        Ok(Linear {
            weight: self.take(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: self.take(&format!("{name}.bias"), &[outputs])?,
        })
    }

    fn norm(&mut self, name: &str) -> Result<Norm> {
        let width = self.config.sizes.hidden_size;
        Ok(Norm {
            gain: self.take(&format!("{name}.weight"), &[width])?.to_vec1()?,
            shift: self.take(&format!("{name}.bias"), &[width])?.to_vec1()?,
            epsilon: self.config.sizes.layer_norm_eps,
        })
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        match self.all.remove(name) {
            Some(tensor) if tensor.dims() == shape => Ok(tensor),
            Some(tensor) => bail!(
                "tensor `{name}` has the shape {:?}, and config.json says {shape:?}",
                tensor.dims()
            ),
            None => bail!("tensor `{name}` is missing"),
        }
    }
}
