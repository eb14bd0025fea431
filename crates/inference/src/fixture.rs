//! Tiny models with random weights, written as GGUF files, so that tests need no download: real architecture, real
//! tokenizer, real chat template, nonsense answers.
//!
//! Behind the feature `fixture`; no part of the product.

mod gguf;

use std::io;
use std::path::Path;

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};

use crate::blueprint::Architecture;
use crate::format::Format;
use crate::vocabulary::character_of_byte;

pub use gguf::Field;
use gguf::{Noise, Tensor as Written};

/// How large a model is made. Memory without much computing is a wide model with few layers and an output of its own:
/// an embedding is looked up, not multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Width of the residual stream. A multiple of 32, as all widths here.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; `heads` is a multiple of it.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_width: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Width inside the feed-forward part.
    pub feed_forward: usize,
    /// Tokens beside those the tokenizer needs: no text becomes them, but an answer may hold them.
    pub more_tokens: usize,
}

impl Sizes {
    /// About 100 KB in a file.
    pub const TINY: Self = Self {
        width: 64,
        heads: 4,
        kv_heads: 2,
        head_width: 16,
        layers: 2,
        feed_forward: 128,
        more_tokens: 0,
    };
}

/// Merges of the tiny byte-level tokenizer, in order.
const MERGES: [(&str, &str); 12] = [
    ("h", "e"),
    ("Ġ", "t"),
    ("i", "n"),
    ("Ġt", "he"),
    ("o", "n"),
    ("l", "l"),
    ("he", "ll"),
    ("hell", "o"),
    ("Ġ", "a"),
    ("e", "r"),
    ("u", "s"),
    ("us", "er"),
];

/// Control tokens of the byte-level tokenizer: ids 0, 1 and 2. The third ends a turn.
const CONTROLS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// Pieces of the tiny `SentencePiece` tokenizer.
const PIECES: [&str; 10] = [
    "▁", "h", "e", "l", "o", "he", "ll", "hell", "hello", "▁hello",
];

/// What a tiny model is made of; written by [`TinyModel::write`].
#[derive(Clone, Debug)]
pub struct TinyModel {
    architecture: Architecture,
    seed: u64,
    weights: Format,
    embedding: Option<Format>,
    tied: bool,
    divided: bool,
    sentence: bool,
    context: u32,
    sizes: Sizes,
    more: Vec<(String, Vec<usize>)>,
    without: Vec<String>,
    fields: Vec<(String, Field)>,
}

impl TinyModel {
    /// Like `SmolLM2`: `Q4_1` matrices, tied `Q8_0` embedding, byte-level BPE, `ChatML`, 512 tokens of context.
    pub fn llama() -> Self {
        Self {
            architecture: Architecture::Llama,
            seed: 0,
            weights: Format::Q4_1,
            embedding: None,
            tied: true,
            divided: false,
            sentence: false,
            context: 512,
            sizes: Sizes::TINY,
            more: Vec::new(),
            without: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// Biases on q, k and v; an output of its own.
    pub fn qwen2() -> Self {
        Self {
            architecture: Architecture::Qwen2,
            tied: false,
            ..Self::llama()
        }
    }

    /// Norms on each head.
    pub fn qwen3() -> Self {
        Self {
            architecture: Architecture::Qwen3,
            ..Self::llama()
        }
    }

    /// Of four layers, the last of which does not rotate.
    pub fn smollm3() -> Self {
        let sizes = Sizes {
            layers: 4,
            ..Sizes::TINY
        };
        Self {
            architecture: Architecture::SmolLm3,
            ..Self::llama().sized(sizes)
        }
    }

    /// With all four factors.
    pub fn granite() -> Self {
        let model = Self {
            architecture: Architecture::Granite,
            ..Self::llama()
        };
        model
            .field("granite.embedding_scale", Field::Float(3.0))
            .field("granite.residual_scale", Field::Float(0.6))
            .field("granite.attention.scale", Field::Float(0.4))
            .field("granite.logit_scale", Field::Float(0.7))
    }

    /// Several tensors in one; an output of its own.
    pub fn phi3() -> Self {
        Self {
            architecture: Architecture::Phi3,
            tied: false,
            ..Self::llama()
        }
    }

    /// GELU, and a larger embedding.
    pub fn gemma() -> Self {
        Self {
            architecture: Architecture::Gemma,
            ..Self::llama()
        }
    }

    /// Of two layers, the first of which looks at 40 tokens; scores and logits have bounds that are felt.
    pub fn gemma2() -> Self {
        let model = Self {
            architecture: Architecture::Gemma2,
            ..Self::llama()
        };
        model
            .field("gemma2.attention.sliding_window", Field::Number(40))
            .field("gemma2.attn_logit_softcapping", Field::Float(2.0))
            .field("gemma2.final_logit_softcapping", Field::Float(9.0))
    }

    /// Of three layers, the last of which looks at all tokens, the others at 70 and with other frequencies.
    pub fn gemma3() -> Self {
        let sizes = Sizes {
            layers: 3,
            ..Sizes::TINY
        };
        let model = Self {
            architecture: Architecture::Gemma3,
            ..Self::llama().sized(sizes)
        };
        model
            .field("gemma3.attention.sliding_window", Field::Number(70))
            .field("gemma3.attention.sliding_window_pattern", Field::Number(3))
            .field("gemma3.rope.freq_base", Field::Float(1e6))
            .field("gemma3.rope.freq_base_swa", Field::Float(5e3))
    }

    /// Other weights: each seed is another model.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The format of all matrices but the embedding, which is `Q8_0` unless this is `F32`. K formats need rows of 256.
    #[must_use]
    pub fn weights(mut self, format: Format) -> Self {
        self.weights = format;
        self
    }

    /// The format of the embedding.
    #[must_use]
    pub fn embedding(mut self, format: Format) -> Self {
        self.embedding = Some(format);
        self
    }

    /// The most tokens a sequence can hold.
    #[must_use]
    pub fn context(mut self, tokens: u32) -> Self {
        self.context = tokens;
        self
    }

    /// Other sizes than [`Sizes::TINY`].
    #[must_use]
    pub fn sized(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    /// A `SentencePiece` tokenizer instead of byte-level BPE, as Llama 2 and Mistral have it.
    #[must_use]
    pub fn sentencepiece(mut self) -> Self {
        self.sentence = true;
        self
    }

    /// With a tensor that rope's frequencies are divided by.
    #[must_use]
    pub fn with_rope_divisors(mut self) -> Self {
        self.divided = true;
        self
    }

    /// With a tensor that no model of this family has.
    #[must_use]
    pub fn with_tensor(mut self, name: &str, shape: &[usize]) -> Self {
        self.more.push((name.to_owned(), shape.to_vec()));
        self
    }

    /// Leaves out the tensor or metadata field of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.without.push(name.to_owned());
        self
    }

    /// Sets (or adds) a metadata field.
    #[must_use]
    pub fn field(mut self, name: &str, value: Field) -> Self {
        self.fields.push((name.to_owned(), value));
        self
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The system's, or a format that does not fit.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, self.bytes()?)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// A format that does not fit.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let fields = self.all_fields();
        let tensors = self.all_tensors()?;
        Ok(gguf::bytes(&fields, &tensors))
    }

    fn embedding_format(&self) -> Format {
        let usual = match self.weights {
            Format::F32 => Format::F32,
            _ => Format::Q8_0,
        };
        self.embedding.unwrap_or(usual)
    }

    fn kept(&self, name: &str) -> bool {
        !self.without.iter().any(|left_out| left_out == name)
    }

    fn all_fields(&self) -> Vec<(String, Field)> {
        let own = |tail: &str| format!("{}.{tail}", self.architecture.name());
        let number = |n: usize| Field::Number(n as u32);
        let text = |t: &str| Field::Text(t.to_owned());
        let mut fields = vec![
            (
                "general.architecture".to_owned(),
                text(self.architecture.name()),
            ),
            ("general.name".to_owned(), text("tiny")),
            (own("block_count"), number(self.sizes.layers)),
            (own("context_length"), Field::Number(self.context)),
            (own("embedding_length"), number(self.sizes.width)),
            (own("feed_forward_length"), number(self.sizes.feed_forward)),
            (own("attention.head_count"), number(self.sizes.heads)),
            (own("attention.head_count_kv"), number(self.sizes.kv_heads)),
            (own("attention.key_length"), number(self.sizes.head_width)),
            (own("attention.layer_norm_rms_epsilon"), Field::Float(1e-5)),
            (own("rope.freq_base"), Field::Float(10_000.0)),
            (own("rope.dimension_count"), number(self.sizes.head_width)),
            ("tokenizer.chat_template".to_owned(), text(CHAT_TEMPLATE)),
        ];
        fields.extend(if self.sentence {
            sentence_fields(self.sizes.more_tokens)
        } else {
            byte_level_fields(self.sizes.more_tokens)
        });
        for (name, value) in &self.fields {
            fields.retain(|(known, _)| known != name);
            fields.push((name.clone(), value.clone()));
        }
        fields.retain(|(name, _)| self.kept(name));
        fields
    }

    fn vocabulary(&self) -> usize {
        let needed = if self.sentence {
            3 + 256 + PIECES.len()
        } else {
            CONTROLS.len() + 256 + MERGES.len()
        };
        needed + self.sizes.more_tokens
    }

    fn all_tensors(&self) -> io::Result<Vec<Written>> {
        let (width, vocabulary) = (self.sizes.width, self.vocabulary());
        let mut plan: Vec<(String, Vec<usize>)> = vec![
            ("token_embd.weight".to_owned(), vec![vocabulary, width]),
            ("output_norm.weight".to_owned(), vec![width]),
        ];
        if !self.tied {
            plan.push(("output.weight".to_owned(), vec![vocabulary, width]));
        }
        for layer in 0..self.sizes.layers {
            let of_layer = self.layer_tensors().into_iter();
            plan.extend(of_layer.map(|(tail, shape)| (format!("blk.{layer}.{tail}"), shape)));
        }
        if self.divided {
            let name = match self.architecture {
                Architecture::Phi3 => "rope_factors_short.weight",
                _ => "rope_freqs.weight",
            };
            plan.push((name.to_owned(), vec![self.sizes.head_width / 2]));
        }
        plan.extend(self.more.iter().cloned());
        let mut noise = Noise(self.seed);
        plan.into_iter()
            .filter(|(name, _)| self.kept(name))
            .map(|(name, shape)| self.tensor(name, shape, &mut noise))
            .collect()
    }

    fn layer_tensors(&self) -> Vec<(&'static str, Vec<usize>)> {
        let Sizes {
            width,
            heads,
            kv_heads,
            head_width: head,
            feed_forward,
            ..
        } = self.sizes;
        let (family, queries, keys) = (self.architecture, heads * head, kv_heads * head);
        let mut all = Vec::new();
        let mut add = |name, shape: &[usize]| all.push((name, shape.to_vec()));
        add("attn_norm.weight", &[width]);
        if family.is_fused() {
            add("attn_qkv.weight", &[queries + 2 * keys, width]);
        } else {
            add("attn_q.weight", &[queries, width]);
            add("attn_k.weight", &[keys, width]);
            add("attn_v.weight", &[keys, width]);
        }
        add("attn_output.weight", &[width, queries]);
        add("ffn_norm.weight", &[width]);
        if family.is_fused() {
            add("ffn_up.weight", &[2 * feed_forward, width]);
        } else {
            add("ffn_gate.weight", &[feed_forward, width]);
            add("ffn_up.weight", &[feed_forward, width]);
        }
        add("ffn_down.weight", &[width, feed_forward]);
        if family.has_biases() {
            add("attn_q.bias", &[queries]);
            add("attn_k.bias", &[keys]);
            add("attn_v.bias", &[keys]);
        }
        if family.has_head_norms() {
            add("attn_q_norm.weight", &[head]);
            add("attn_k_norm.weight", &[head]);
        }
        if family.has_norms_behind() {
            add("post_attention_norm.weight", &[width]);
            add("post_ffw_norm.weight", &[width]);
        }
        all
    }

    fn tensor(&self, name: String, shape: Vec<usize>, noise: &mut Noise) -> io::Result<Written> {
        let elements: usize = shape.iter().product();
        let columns = shape.last().copied().unwrap_or(1);
        let is_norm = name.ends_with("norm.weight");
        let (format, middle, spread) = match shape.len() {
            1 if is_norm => (Format::F32, 1.0, 0.2),
            1 if name.starts_with("rope") => (Format::F32, 2.0, 0.9),
            1 => (Format::F32, 0.0, 0.5),
            _ if name == "token_embd.weight" => (self.embedding_format(), 0.0, 1.0),
            // Keeps the size of what passes through, whatever the width.
            _ => (self.weights, 0.0, (3.0 / columns as f32).sqrt()),
        };
        let values: Vec<f32> = (0..elements)
            .map(|_| middle + spread * noise.next())
            .collect();
        let bytes = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)
            .and_then(|tensor| QTensor::quantize(&tensor, format.dtype()))
            .and_then(|tensor| Ok(tensor.data()?.into_owned()))
            .map_err(io::Error::other)?;
        Ok(Written {
            name,
            shape,
            format,
            bytes,
        })
    }
}

/// `ChatML`, as `SmolLM2` writes it.
const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

fn byte_level_fields(more: usize) -> Vec<(String, Field)> {
    let mut tokens: Vec<String> = CONTROLS.iter().map(ToString::to_string).collect();
    tokens.extend((0..=255u8).map(|byte| character_of_byte(byte).to_string()));
    tokens.extend(MERGES.iter().map(|(left, right)| format!("{left}{right}")));
    tokens.extend((0..more).map(|n| format!("Ġmore{n}")));
    let merges = MERGES.iter().map(|(l, r)| format!("{l} {r}")).collect();
    let mut kinds = vec![1; tokens.len()];
    for kind in kinds.iter_mut().take(CONTROLS.len()) {
        *kind = 3;
    }
    tokenizer_fields([
        ("model", Field::Text("gpt2".to_owned())),
        ("pre", Field::Text("smollm".to_owned())),
        ("tokens", Field::Texts(tokens)),
        ("token_type", Field::Ints(kinds)),
        ("merges", Field::Texts(merges)),
        ("bos_token_id", Field::Number(1)),
        ("eos_token_id", Field::Number(2)),
        ("add_bos_token", Field::Flag(false)),
    ])
}

fn sentence_fields(more: usize) -> Vec<(String, Field)> {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    let mut kinds = vec![2, 3, 3];
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    kinds.resize(tokens.len(), 6);
    tokens.extend(PIECES.iter().map(ToString::to_string));
    tokens.extend((0..more).map(|n| format!("▁more{n}")));
    kinds.resize(tokens.len(), 1);
    // Longer pieces score better.
    let scores = tokens.iter().map(|t| t.chars().count() as f32).collect();
    tokenizer_fields([
        ("model", Field::Text("llama".to_owned())),
        ("tokens", Field::Texts(tokens)),
        ("token_type", Field::Ints(kinds)),
        ("scores", Field::Floats(scores)),
        ("bos_token_id", Field::Number(1)),
        ("eos_token_id", Field::Number(2)),
    ])
}

fn tokenizer_fields<const N: usize>(fields: [(&str, Field); N]) -> Vec<(String, Field)> {
    fields
        .into_iter()
        .map(|(name, field)| (format!("tokenizer.ggml.{name}"), field))
        .collect()
}
