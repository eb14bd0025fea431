//! A sentence embedding model of BERT's kind: a folder with `model.safetensors`, `config.json` and `tokenizer.json`, as
//! sentence-transformers saves it.
//!
//! ```text
//!  config ──> header of the safetensors ──> card            (inspect: no memory taken)
//!                                    └────> weights ──> model ───────────┐
//!  text ──> tokens (cut at 256) ──> groups ──> forward ──> mean ──> length 1
//! ```
//!
//! Mean pooling over the tokens that are not padding, then length 1, is what this model was trained with; folders that
//! say they pool otherwise are refused. Invariants: nothing here waits, spawns or keeps anything of a text. candle's
//! products run on the rayon pool of the thread they are called on: the caller makes that a pool of one.

mod config;
mod embedder;
mod model;
mod safetensors;
mod tokens;

use std::ops::ControlFlow;
use std::path::Path;

use domain::Bytes;
use engine::{EmbedderCard, LoadError, LoadedEmbedder, ModelSource};

use config::BertConfig;
use embedder::BertEmbedder;
use model::Model;
use safetensors::Safetensors;
use tokens::TextTokens;

/// The most tokens in one batch: a second or so of one core, which is how long a neighbour or a cancel waits.
const STEP_TOKENS: u32 = 2048;

/// What is at `source`, and what it needs.
///
/// # Errors
/// What is wrong with its files.
pub fn inspect(source: &ModelSource) -> Result<EmbedderCard, LoadError> {
    let config = BertConfig::read(&source.path)?;
    let weights = Safetensors::open(&source.path)?;
    config.check(&weights)?;
    let tokens = TextTokens::file_bytes(&source.path)?;
    Ok(card(&source.path, &config, &weights, tokens))
}

/// Reads the model, telling `progress` after each tensor.
///
/// # Errors
/// What is wrong with its files, or `Cancelled`.
pub fn load(
    source: &ModelSource,
    progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<LoadedEmbedder, LoadError> {
    let path = &source.path;
    let config = BertConfig::read(path)?;
    let file = Safetensors::open(path)?;
    config.check(&file)?;
    let tokens = TextTokens::read(path, config.max_tokens)?;
    let card = card(path, &config, &file, TextTokens::file_bytes(path)?);
    let tensors = file.read(progress)?;
    let model = Model::new(tensors, &config).map_err(|error| LoadError::Malformed {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    let embedder = BertEmbedder::new(model, tokens, &config);
    Ok(LoadedEmbedder {
        card,
        embedder: Box::new(embedder),
    })
}

fn card(path: &Path, config: &BertConfig, weights: &Safetensors, tokenizer: u64) -> EmbedderCard {
    let folder = path.parent().and_then(Path::file_name);
    let name = folder.or_else(|| path.file_stem()).unwrap_or_default();
    let text = TextTokens::bytes_needed(tokenizer);
    let work = text.saturating_add(BertEmbedder::bytes_at_work(config));
    let weights_bytes = weights.bytes_needed();
    let loading = weights.bytes_while_loading().saturating_add(text);
    EmbedderCard {
        name: name.to_string_lossy().into_owned(),
        architecture: "bert".to_owned(),
        dimensions: config.dimensions,
        max_tokens: config.max_tokens,
        step_tokens: STEP_TOKENS.max(config.max_tokens),
        weights_bytes: Bytes(weights_bytes),
        work_bytes: Bytes(work),
        load_bytes: Bytes(loading.max(weights_bytes.saturating_add(work))),
    }
}

/// A file beside the weights.
fn beside(weights: &Path, name: &str) -> std::path::PathBuf {
    weights.with_file_name(name)
}

/// A small file beside the weights, whole.
fn read_beside(weights: &Path, name: &str, most: u64) -> Result<Vec<u8>, LoadError> {
    use std::io::Read;
    let path = beside(weights, name);
    let io = |error: std::io::Error| LoadError::Io {
        path: path.clone(),
        reason: error.to_string(),
    };
    let file = std::fs::File::open(&path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > most {
        return Err(LoadError::Malformed {
            path,
            reason: format!("it is larger than {most} bytes"),
        });
    }
    Ok(bytes)
}
