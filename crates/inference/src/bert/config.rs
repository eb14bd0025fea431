//! What kind of BERT it is, by `config.json` and what lies beside it; and whether its tables are those of such a model.
//!
//! Nothing of the file is believed before it was compared: sizes come in pairs that must fit.

use std::path::Path;

use engine::LoadError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::safetensors::Safetensors;
use super::{beside, read_beside};

/// Largest of the small JSON files: the real ones are under 1 KiB.
const CONFIG_BYTES: u64 = 256 * 1024;
/// What sentence-transformers reads of a text where the model does not say.
const MAX_TOKENS: usize = 256;
/// Tokens in which the model knows its place. More costs memory by the square.
const MOST_TOKENS: usize = 512;
const MOST_LAYERS: usize = 48;
const MOST_WIDTH: usize = 8192;

/// The sizes of a model.
#[derive(Clone, Debug)]
pub(super) struct BertConfig {
    pub(super) sizes: Sizes,
    /// At least 3, at most [`MOST_TOKENS`].
    pub(super) max_tokens: u32,
    pub(super) dimensions: u32,
}

/// `config.json`, as far as it matters here. The names are the file's.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sizes {
    model_type: Option<String>,
    hidden_act: String,
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) type_vocab_size: usize,
    pub(super) layer_norm_eps: f32,
}

/// `sentence_bert_config.json`.
#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: usize,
}

/// `1_Pooling/config.json`.
#[derive(Deserialize)]
#[expect(
    clippy::struct_field_names,
    clippy::struct_excessive_bools,
    reason = "the file's own fields"
)]
struct Pooling {
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
}

impl BertConfig {
    /// Reads and checks the sizes.
    pub(super) fn read(weights: &Path) -> Result<Self, LoadError> {
        let bert: Sizes = json(weights, "config.json")?;
        let sentence: Option<SentenceConfig> = json_if_there(weights, "sentence_bert_config.json")?;
        let pooling: Option<Pooling> = json_if_there(weights, "1_Pooling/config.json")?;
        let refuse = |what: &str, reason: String| LoadError::Unsupported {
            path: beside(weights, "config.json"),
            what: what.to_owned(),
            reason,
        };
        if let Some(kind) = bert.model_type.as_deref().filter(|kind| *kind != "bert") {
            return Err(refuse("the model type", format!("{kind}; bert is")));
        }
        if bert.hidden_act != "gelu" {
            return Err(refuse(
                "hidden_act",
                format!("{}; gelu is", bert.hidden_act),
            ));
        }
        if pooling.is_some_and(|pooling| !pooling.is_mean()) {
            let reason = "only the mean of all tokens is".to_owned();
            return Err(refuse("its pooling", reason));
        }
        for (name, size, most) in [
            ("hidden_size", bert.hidden_size, MOST_WIDTH),
            ("intermediate_size", bert.intermediate_size, MOST_WIDTH * 4),
            ("num_hidden_layers", bert.num_hidden_layers, MOST_LAYERS),
            (
                "num_attention_heads",
                bert.num_attention_heads,
                bert.hidden_size,
            ),
            ("type_vocab_size", bert.type_vocab_size, 16),
            ("vocab_size", bert.vocab_size, 1 << 20),
            (
                "max_position_embeddings",
                bert.max_position_embeddings,
                1 << 16,
            ),
        ] {
            if size == 0 || size > most {
                return Err(refuse(name, format!("{size}; 1 to {most} is")));
            }
        }
        if !bert.hidden_size.is_multiple_of(bert.num_attention_heads) {
            let reason = format!("{} does not divide hidden_size", bert.num_attention_heads);
            return Err(refuse("num_attention_heads", reason));
        }
        let wished = sentence.map_or(MAX_TOKENS, |sentence| sentence.max_seq_length);
        let max_tokens = wished.min(bert.max_position_embeddings).min(MOST_TOKENS);
        if max_tokens < 3 {
            return Err(refuse(
                "max_seq_length",
                format!("{max_tokens}; 3 or more is"),
            ));
        }
        Ok(Self {
            max_tokens: max_tokens as u32,
            dimensions: bert.hidden_size as u32,
            sizes: bert,
        })
    }

    /// Whether the two tables that decide about memory are as large as it says; the rest is compared when it is read.
    pub(super) fn check(&self, weights: &Safetensors) -> Result<(), LoadError> {
        let bert = &self.sizes;
        for (name, rows) in [
            ("embeddings.word_embeddings.weight", bert.vocab_size),
            (
                "embeddings.position_embeddings.weight",
                bert.max_position_embeddings,
            ),
        ] {
            weights.expect_shape(name, &[rows, bert.hidden_size])?;
        }
        Ok(())
    }
}

impl Pooling {
    fn is_mean(&self) -> bool {
        self.pooling_mode_mean_tokens
            && !self.pooling_mode_cls_token
            && !self.pooling_mode_max_tokens
            && !self.pooling_mode_mean_sqrt_len_tokens
    }
}

fn json<T: DeserializeOwned>(weights: &Path, name: &str) -> Result<T, LoadError> {
    let bytes = read_beside(weights, name, CONFIG_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| LoadError::Malformed {
        path: beside(weights, name),
        reason: error.to_string(),
    })
}

fn json_if_there<T: DeserializeOwned>(weights: &Path, name: &str) -> Result<Option<T>, LoadError> {
    match beside(weights, name).try_exists() {
        Ok(false) => Ok(None),
        _ => json(weights, name).map(Some),
    }
}
