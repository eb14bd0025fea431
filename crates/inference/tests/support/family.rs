//! Each family of models once more, as plainly as it can be said: one number after another, in 64 bits, without a cache. It knows
//! nothing of the code under test but the files.
//!
//! Written after the papers and the models' configurations: a layer's parts stand in the order in which they are done.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{Device, Result};

type Row = Vec<f64>;

/// A model as its file says it is.
pub(crate) struct Family {
    name: String,
    fields: HashMap<String, Value>,
    tensors: HashMap<String, (Vec<usize>, Vec<f64>)>,
}

fn rms(x: &[f64], weight: &[f64], epsilon: f64) -> Row {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let root = (mean + epsilon).sqrt();
    x.iter().zip(weight).map(|(x, w)| x / root * w).collect()
}

fn within(x: f64, cap: Option<f64>) -> f64 {
    cap.map_or(x, |cap| cap * (x / cap).tanh())
}

impl Family {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let content = Content::read(&mut file)?;
        let mut tensors = HashMap::new();
        for name in content.tensor_infos.keys() {
            let tensor = content.tensor(&mut file, name, &Device::Cpu)?;
            let tensor = tensor.dequantize(&Device::Cpu)?;
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let values = values.into_iter().map(f64::from).collect();
            tensors.insert(name.clone(), (tensor.dims().to_vec(), values));
        }
        let name = content.metadata["general.architecture"].to_string()?;
        Ok(Self {
            name: name.clone(),
            fields: content.metadata.clone(),
            tensors,
        })
    }

    fn number(&self, tail: &str) -> Option<f64> {
        let value = self.fields.get(&format!("{}.{tail}", self.name))?;
        let whole = value.to_u32().map(f64::from);
        Some(whole.or_else(|_| value.to_f32().map(f64::from)).unwrap())
    }

    fn size(&self, tail: &str) -> usize {
        self.number(tail).unwrap() as usize
    }

    fn vector(&self, name: &str) -> Option<&[f64]> {
        Some(&self.tensors.get(name)?.1)
    }

    /// Products of some rows of a matrix with `x`.
    fn times(&self, name: &str, rows: std::ops::Range<usize>, x: &[f64]) -> Row {
        let (shape, values) = &self.tensors[name];
        assert_eq!(shape[1], x.len(), "{name}");
        let row = |row: usize| &values[row * x.len()..(row + 1) * x.len()];
        let product = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum();
        rows.map(|at| product(row(at))).collect()
    }

    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }

    /// Tokens a row of this layer looks at, and the base of its rope.
    fn near(&self, layer: usize) -> Option<(usize, f64)> {
        let far_base = self.number("rope.freq_base").unwrap();
        let (usual_every, usual_base) = match self.name.as_str() {
            "gemma2" => (2, far_base),
            "gemma3" => (6, 10_000.0),
            // All its layers look only so far, if the file says how far.
            "phi3" if self.number("attention.sliding_window").is_some() => (0, far_base),
            _ => return None,
        };
        let every = self.number("attention.sliding_window_pattern");
        let every = every.map_or(usual_every, |every| every as usize);
        let base = self.number("rope.freq_base_swa").unwrap_or(usual_base);
        (every == 0 || layer % every != every - 1)
            .then(|| (self.size("attention.sliding_window"), base))
    }

    fn turn(&self, head: &mut [f64], at: usize, layer: usize) {
        let finetuned = self.fields.get("granite.rope.scaling.finetuned");
        let is_still = finetuned.is_some_and(|finetuned| !finetuned.to_bool().unwrap());
        if is_still || self.is(&["smollm3"]) && layer % 4 == 3 {
            return;
        }
        let width = self.size("rope.dimension_count");
        let far = self.number("rope.freq_base").unwrap();
        let near = self.near(layer);
        let base = near.map_or(far, |(_, base)| base);
        let factor = self
            .number("rope.scaling.factor")
            .filter(|_| near.is_none() || self.name != "gemma3");
        let longer = self.number("rope.scaling.attn_factor").unwrap_or(1.0);
        let divisors = self
            .vector("rope_factors_short.weight")
            .or(self.vector("rope_freqs.weight"));
        let halves = !self.is(&["llama", "smollm3", "granite"]);
        for pair in 0..width / 2 {
            let mut frequency = base.powf(-((2 * pair) as f64) / width as f64);
            frequency /= factor.unwrap_or(1.0);
            frequency /= divisors.map_or(1.0, |divisors| divisors[pair]);
            let (sin, cos) = (at as f64 * frequency).sin_cos();
            let [a, b] = if halves {
                [pair, pair + width / 2]
            } else {
                [2 * pair, 2 * pair + 1]
            };
            let (x, y) = (head[a], head[b]);
            head[a] = (x * cos - y * sin) * longer;
            head[b] = (x * sin + y * cos) * longer;
        }
    }

    /// Logits after each of these tokens, which are all that there is.
    pub(crate) fn logits(&self, tokens: &[u32]) -> Vec<Row> {
        let (shape, embedding) = &self.tensors["token_embd.weight"];
        let (vocabulary, width) = (shape[0], shape[1]);
        let larger = match self.name.as_str() {
            "gemma" | "gemma2" | "gemma3" => (width as f64).sqrt(),
            _ => self.number("embedding_scale").unwrap_or(1.0),
        };
        let row = |token: &u32| &embedding[*token as usize * width..][..width];
        let scaled = |row: &[f64]| row.iter().map(|x| x * larger).collect();
        let mut stream: Vec<Row> = tokens.iter().map(|token| scaled(row(token))).collect();
        for layer in 0..self.size("block_count") {
            self.add(&mut stream, layer, "post_attention_norm", |x| {
                self.attended(x, layer)
            });
            self.add(&mut stream, layer, "post_ffw_norm", |x| self.fed(x, layer));
        }
        let epsilon = self.number("attention.layer_norm_rms_epsilon").unwrap();
        let output = if self.tensors.contains_key("output.weight") {
            "output.weight"
        } else {
            "token_embd.weight"
        };
        let smaller = self.number("logit_scale").unwrap_or(1.0);
        let cap = self.number("final_logit_softcapping");
        let last = self.vector("output_norm.weight").unwrap();
        let logits = |row: &Row| {
            let logits = self.times(output, 0..vocabulary, &rms(row, last, epsilon));
            logits
                .into_iter()
                .map(|x| within(x / smaller, cap))
                .collect()
        };
        stream.iter().map(logits).collect()
    }

    /// Adds what `part` makes of all rows, behind the norm of that name if the layer has one.
    fn add(&self, stream: &mut [Row], layer: usize, norm: &str, part: impl Fn(&[Row]) -> Vec<Row>) {
        let epsilon = self.number("attention.layer_norm_rms_epsilon").unwrap();
        let factor = self.number("residual_scale").unwrap_or(1.0);
        let behind = self.vector(&format!("blk.{layer}.{norm}.weight"));
        let made = part(stream);
        for (row, made) in stream.iter_mut().zip(made) {
            let made = behind.map_or(made.clone(), |norm| rms(&made, norm, epsilon));
            for (x, made) in row.iter_mut().zip(made) {
                *x += made * factor;
            }
        }
    }

    /// What products of queries and keys are multiplied by; the largest Gemmas do by a head's share of a row, as their
    /// configurations say (`query_pre_attn_scalar` is 144 for the one, 168 for the other).
    fn score_scale(&self, of_row: usize) -> f64 {
        let of_head = match (self.name.as_str(), self.size("block_count")) {
            ("gemma2", 46) | ("gemma3", 62) => of_row,
            _ => self.size("attention.key_length"),
        };
        let scale = self.number("attention.scale");
        scale.unwrap_or(1.0 / (of_head as f64).sqrt())
    }

    fn attended(&self, stream: &[Row], layer: usize) -> Vec<Row> {
        let name = |tail: &str| format!("blk.{layer}.{tail}");
        let epsilon = self.number("attention.layer_norm_rms_epsilon").unwrap();
        let (heads, groups) = (
            self.size("attention.head_count"),
            self.size("attention.head_count_kv"),
        );
        let width = self.size("attention.key_length");
        let (q, kv) = (heads * width, groups * width);
        let norm = self.vector(&name("attn_norm.weight")).unwrap();
        let split = |part: &str, from: usize, rows: usize, at: usize, x: &Row| {
            let fused = name("attn_qkv.weight");
            let mut all = if self.tensors.contains_key(&fused) {
                self.times(&fused, from..from + rows, x)
            } else {
                self.times(&name(&format!("attn_{part}.weight")), 0..rows, x)
            };
            if let Some(bias) = self.vector(&name(&format!("attn_{part}.bias"))) {
                all.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
            }
            let head_norm = self.vector(&name(&format!("attn_{part}_norm.weight")));
            let of_heads = all.chunks(width).map(|head| {
                let mut head = head_norm.map_or(head.to_vec(), |norm| rms(head, norm, epsilon));
                if part != "v" {
                    self.turn(&mut head, at, layer);
                }
                head
            });
            of_heads.collect::<Vec<Row>>()
        };
        let parts: Vec<[Vec<Row>; 3]> = stream
            .iter()
            .enumerate()
            .map(|(at, row)| {
                let x = rms(row, norm, epsilon);
                [
                    split("q", 0, q, at, &x),
                    split("k", q, kv, at, &x),
                    split("v", q + kv, kv, at, &x),
                ]
            })
            .collect();
        let scale = self.score_scale(stream[0].len() / heads);
        let cap = self.number("attn_logit_softcapping");
        let window = self.near(layer).map_or(usize::MAX, |(window, _)| window);
        let row = |at: usize| {
            let mut together = Vec::new();
            for head in 0..heads {
                let group = head / (heads / groups);
                let first = (at + 1).saturating_sub(window);
                let score = |token: usize| {
                    let pairs = parts[at][0][head].iter().zip(&parts[token][1][group]);
                    within(pairs.map(|(q, k)| q * k).sum::<f64>() * scale, cap).exp()
                };
                let scores: Vec<f64> = (first..=at).map(score).collect();
                let total: f64 = scores.iter().sum();
                let mut sums = vec![0.0; width];
                for (token, score) in (first..).zip(&scores) {
                    let values = &parts[token][2][group];
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum += score / total * value;
                    }
                }
                together.extend(sums);
            }
            self.times(&name("attn_output.weight"), 0..stream[at].len(), &together)
        };
        (0..stream.len()).map(row).collect()
    }

    fn fed(&self, stream: &[Row], layer: usize) -> Vec<Row> {
        let name = |tail: &str| format!("blk.{layer}.{tail}.weight");
        let epsilon = self.number("attention.layer_norm_rms_epsilon").unwrap();
        let inner = self.size("feed_forward_length");
        let norm = self.vector(&name("ffn_norm")).unwrap();
        let gelu = self.is(&["gemma", "gemma2", "gemma3"]);
        let row = |row: &Row| {
            let x = rms(row, norm, epsilon);
            let (gate, up) = if self.is(&["phi3"]) {
                let both = self.times(&name("ffn_up"), 0..2 * inner, &x);
                (both[..inner].to_vec(), both[inner..].to_vec())
            } else {
                (
                    self.times(&name("ffn_gate"), 0..inner, &x),
                    self.times(&name("ffn_up"), 0..inner, &x),
                )
            };
            let opened = |x: f64| {
                if gelu {
                    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                    0.5 * x * (1.0 + u.tanh())
                } else {
                    x / (1.0 + (-x).exp())
                }
            };
            let gated: Row = gate
                .iter()
                .zip(&up)
                .map(|(gate, up)| opened(*gate) * up)
                .collect();
            self.times(&name("ffn_down"), 0..row.len(), &gated)
        };
        stream.iter().map(row).collect()
    }
}
