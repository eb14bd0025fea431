//! A model before and after it is loaded: where it lies, what it needs, how it speaks.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use domain::{Bytes, Constraint, Message, Tools};

use crate::{Device, EmbedderCard, Engine, LoadedEmbedder, NoPieces, Pieces, TokenId, ToolSyntax};

/// Where a model lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelSource {
    /// A GGUF file, or the `model.safetensors` of an embedding model, which has its `config.json` and `tokenizer.json` beside
    /// it.
    pub path: PathBuf,
}

/// What a model is and needs, known from its header alone.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCard {
    /// `general.name`, or the file's name.
    pub name: String,
    /// `general.architecture`: `llama`, `gemma3`, ….
    pub architecture: String,
    /// Parameters in all.
    pub parameters: u64,
    /// The commonest weight format, for example `Q4_1`.
    pub quantisation: String,
    /// The most tokens a sequence can hold.
    pub context_tokens: u32,
    /// Tokens in the vocabulary.
    pub vocabulary: u32,
    /// Memory the weights take once loaded.
    pub weights_bytes: Bytes,
    /// Memory it takes beside its weights as long as it is loaded: tokens and their texts, and what the largest step
    /// works in.
    pub work_bytes: Bytes,
    /// The most memory it takes while it is loaded, the weights and all else together.
    pub load_bytes: Bytes,
    /// Memory one token of one sequence takes.
    pub kv_bytes_per_token: Bytes,
    /// KV memory is taken in pages of this many tokens.
    pub kv_page_tokens: u32,
    /// What computes it.
    pub device: Device,
    /// Of the memory it takes once loaded, what lies in the device's own; there its keys and values lie as well. Zero on the
    /// processor.
    pub device_bytes: Bytes,
}

impl ModelCard {
    /// Memory it takes once loaded, without any sequence.
    pub fn resident_bytes(&self) -> Bytes {
        self.weights_bytes.saturating_add(self.work_bytes)
    }

    /// The most memory it takes without any sequence, be it while it is loaded or afterwards.
    pub fn most_bytes(&self) -> Bytes {
        self.load_bytes.max(self.resident_bytes())
    }

    /// KV memory of a sequence of up to `tokens` tokens, in whole pages.
    pub fn kv_bytes(&self, tokens: u32) -> Bytes {
        let page = u64::from(self.kv_page_tokens.max(1));
        let pages = u64::from(tokens).div_ceil(page);
        self.kv_bytes_per_token
            .saturating_mul(pages.saturating_mul(page))
    }
}

/// A model in memory.
pub struct LoadedModel {
    /// What it is.
    pub card: ModelCard,
    /// What computes.
    pub engine: Box<dyn Engine>,
    /// What turns chat into tokens and tokens into bytes.
    pub text: Arc<dyn TextCodec>,
}

/// Reads models. Called on a blocking thread only.
pub trait ModelLoader: Send + Sync + 'static {
    /// Reads the header: what the model is and needs, before any memory is taken.
    ///
    /// # Errors
    /// What is wrong with the file.
    fn inspect(&self, source: &ModelSource) -> Result<ModelCard, LoadError>;

    /// Reads the model, telling `progress` the share of the weights read (0 to 1) at least once per tensor.
    /// `ControlFlow::Break` from it ends the load with `Cancelled`.
    ///
    /// # Errors
    /// What is wrong with the file, or `Cancelled`.
    fn load(
        &self,
        source: &ModelSource,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<LoadedModel, LoadError>;

    /// Reads the headers of an embedding model: what it is and needs, before any memory is taken. A loader that reads none
    /// says so.
    ///
    /// # Errors
    /// What is wrong with its files.
    fn inspect_embedder(&self, source: &ModelSource) -> Result<EmbedderCard, LoadError> {
        Err(no_embedders(source))
    }

    /// Reads an embedding model, as [`ModelLoader::load`] reads others.
    ///
    /// # Errors
    /// What is wrong with its files, or `Cancelled`.
    fn load_embedder(
        &self,
        source: &ModelSource,
        _progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<LoadedEmbedder, LoadError> {
        Err(no_embedders(source))
    }
}

fn no_embedders(source: &ModelSource) -> LoadError {
    LoadError::Unsupported {
        path: source.path.clone(),
        what: "embedding".to_owned(),
        reason: "this loader reads no embedding models".to_owned(),
    }
}

/// Why a model cannot be loaded. Every text names what is wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The file is not what it says it is.
    #[error("{path} is not a usable model: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, naming the field or tensor.
        reason: String,
    },
    /// The file is sound but of a kind that is not supported.
    #[error("{path}: {what} is not supported: {reason}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Which part: an architecture, a tokenizer, a weight format.
        what: String,
        /// What is supported instead.
        reason: String,
    },
    /// `progress` said to stop.
    #[error("loading was cancelled")]
    Cancelled,
}

/// Why text could not become tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The chat template failed on these messages.
    #[error("the model's chat template refused the conversation: {0}")]
    Template(String),
    /// The tokenizer failed.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
    /// No answer can be held to this form.
    #[error("no answer can be held to it: {0}")]
    Constraint(String),
}

/// The text side of a model: immutable, shared, callable from any blocking thread.
pub trait TextCodec: Send + Sync + 'static {
    /// The conversation in the model's own template with the assistant's turn opened, as tokens. The tools are shown to
    /// the model if it may call any. What is known is taken from `known`, and what is new is put there; the tokens are the
    /// same whatever it knows.
    ///
    /// # Errors
    /// `Template` or `Tokenizer`.
    fn encode_chat_with(
        &self,
        messages: &[Message],
        tools: &Tools,
        known: &mut dyn Pieces,
    ) -> Result<Vec<TokenId>, TextError>;

    /// The same with nothing known.
    ///
    /// # Errors
    /// `Template` or `Tokenizer`.
    fn encode_chat(&self, messages: &[Message], tools: &Tools) -> Result<Vec<TokenId>, TextError> {
        self.encode_chat_with(messages, tools, &mut NoPieces)
    }

    /// How this model says that it calls a tool.
    fn tool_syntax(&self) -> ToolSyntax;

    /// Whether answers can be held to this form. Usually milliseconds, but half a second was seen for the widest schema that is
    /// let in: for a blocking thread.
    ///
    /// # Errors
    /// `Constraint`: what is wrong with it, or which bound it breaks.
    fn check(&self, constraint: &Constraint) -> Result<(), TextError>;

    /// Plain text as tokens; text that looks like a special token is not one.
    ///
    /// # Errors
    /// `Tokenizer`.
    fn encode_text(&self, text: &str) -> Result<Vec<TokenId>, TextError>;

    /// The bytes a token stands for; empty for special tokens. A character may span tokens.
    fn bytes_of(&self, token: TokenId) -> &[u8];

    /// Whether the token ends the model's turn.
    fn ends_turn(&self, token: TokenId) -> bool;
}
