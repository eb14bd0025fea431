//! A llama in plain 32 bit floats: the weights as the file says them, widened; activations as they are. What every faster way
//! is measured against. Only what the default model needs: interleaved rope, tied output, no biases.

use std::fs::File;
use std::path::Path;

use candle_core::quantized::gguf_file::Content;
use candle_core::{D, Device, IndexOp, Result, Tensor};

pub(crate) struct Plain {
    embedding: Tensor,
    norm: Tensor,
    layers: Vec<Layer>,
    heads: usize,
    kv_heads: usize,
    epsilon: f64,
    base: f32,
}

struct Layer {
    attention_norm: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    output: Tensor,
    norm: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

fn rms(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(mean + epsilon)?.sqrt()?)?
        .broadcast_mul(weight)
}

impl Plain {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let content = Content::read(&mut file)?;
        let mut read = |name: &str| {
            content
                .tensor(&mut file, name, &Device::Cpu)?
                .dequantize(&Device::Cpu)
        };
        let field = |name: &str| &content.metadata[&format!("llama.{name}")];
        let layers = (0..field("block_count").to_u32()?)
            .map(|index| {
                let mut read = |name: &str| read(&format!("blk.{index}.{name}.weight"));
                Ok(Layer {
                    attention_norm: read("attn_norm")?,
                    queries: read("attn_q")?,
                    keys: read("attn_k")?,
                    values: read("attn_v")?,
                    output: read("attn_output")?,
                    norm: read("ffn_norm")?,
                    gate: read("ffn_gate")?,
                    up: read("ffn_up")?,
                    down: read("ffn_down")?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            embedding: read("token_embd.weight")?,
            norm: read("output_norm.weight")?,
            layers,
            heads: field("attention.head_count").to_u32()? as usize,
            kv_heads: field("attention.head_count_kv").to_u32()? as usize,
            epsilon: f64::from(field("attention.layer_norm_rms_epsilon").to_f32()?),
            base: field("rope.freq_base").to_f32()?,
        })
    }

    /// Logits after each of these tokens, which are all that there is.
    pub(crate) fn logits(&self, tokens: &[u32]) -> Result<Tensor> {
        let count = tokens.len();
        let tokens = Tensor::new(tokens, &Device::Cpu)?;
        let mut x = self.embedding.index_select(&tokens, 0)?;
        let mask: Vec<f32> = (0..count * count)
            .map(|at| {
                if at % count > at / count {
                    f32::NEG_INFINITY
                } else {
                    0.0
                }
            })
            .collect();
        let mask = Tensor::from_vec(mask, (count, count), &Device::Cpu)?;
        for layer in &self.layers {
            let normed = rms(&x, &layer.attention_norm, self.epsilon)?;
            let attended = self.attention(layer, &normed, &mask)?;
            x = (x + attended.matmul(&layer.output.t()?)?)?;
            let normed = rms(&x, &layer.norm, self.epsilon)?;
            let gate = normed.matmul(&layer.gate.t()?)?;
            // x / (1 + e^-x)
            let silu = (&gate / (gate.neg()?.exp()? + 1.0)?)?;
            let inner = (silu * normed.matmul(&layer.up.t()?)?)?;
            x = (x + inner.matmul(&layer.down.t()?)?)?;
        }
        rms(&x, &self.norm, self.epsilon)?.matmul(&self.embedding.t()?)
    }

    fn attention(&self, layer: &Layer, normed: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let split = |weights: &Tensor, heads: usize| {
            let all = normed.matmul(&weights.t()?)?;
            let (count, width) = all.dims2()?;
            all.reshape((count, heads, width / heads))?
                .transpose(0, 1)?
                .contiguous()
        };
        let queries = self.turned(&split(&layer.queries, self.heads)?)?;
        let keys = self.turned(&split(&layer.keys, self.kv_heads)?)?;
        let values = split(&layer.values, self.kv_heads)?;
        let width = queries.dim(2)? as f64;
        let mut heads = Vec::new();
        for head in 0..self.heads {
            let shared = head / (self.heads / self.kv_heads);
            let scores = queries.i(head)?.matmul(&keys.i(shared)?.t()?)?;
            let scores = ((scores / width.sqrt())? + mask)?;
            let scores = scores
                .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
                .exp()?;
            let weights = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
            heads.push(weights.matmul(&values.i(shared)?)?);
        }
        Tensor::cat(&heads, 1)
    }

    /// Each pair of neighbours turned by its place times its frequency.
    fn turned(&self, heads: &Tensor) -> Result<Tensor> {
        let (number, count, width) = heads.dims3()?;
        let pairs = width / 2;
        let angle = |at: usize| {
            let frequency = self.base.powf(-((at % pairs * 2) as f32) / width as f32);
            (at / pairs) as f32 * frequency
        };
        let table = |function: fn(f32) -> f32| {
            let values: Vec<f32> = (0..count * pairs).map(|at| function(angle(at))).collect();
            Tensor::from_vec(values, (1, count, pairs), &Device::Cpu)
        };
        let (cos, sin) = (table(f32::cos)?, table(f32::sin)?);
        let pairs_of = heads.reshape((number, count, pairs, 2))?;
        let first = pairs_of.i((.., .., .., 0))?.contiguous()?;
        let second = pairs_of.i((.., .., .., 1))?.contiguous()?;
        let a = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
        let b = (first.broadcast_mul(&sin)? + second.broadcast_mul(&cos)?)?;
        Tensor::stack(&[a, b], 3)?.reshape((number, count, width))
    }
}
