//! The section `model`: who answers and how, under the names of `domain::Sampling` and of the model host.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Span;

/// Which model answers, how tokens are chosen, and how models are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// The model that answers when none is named: a name, a path of a GGUF file or hf:OWNER/REPO/FILE.gguf. 1 to 4096
    /// bytes; the built-in choice by default.
    #[garde(inner(length(min = 1, max = 4096)))]
    pub name: Option<String>,
    /// The folder models lie in. 1 to 4096 bytes; `$XDG_DATA_HOME/paraphym/models` by default.
    #[garde(inner(length(min = 1, max = 4096)))]
    pub models_dir: Option<String>,
    /// Flattens (>1) or sharpens (<1) the distribution; 0 is greedy. 0 to 2; 0.2 by default.
    #[garde(range(min = 0.0, max = 2.0))]
    pub temperature: f64,
    /// Choose among so many likeliest tokens; 0 keeps all. 0 to 1 000 000; 40 by default.
    #[garde(range(min = 0, max = 1_000_000))]
    pub top_k: u32,
    /// Choose among the likeliest tokens whose probabilities sum to this. 0.001 to 1; 0.95 by default.
    #[garde(range(min = 0.001, max = 1.0))]
    pub top_p: f64,
    /// Leave out tokens less likely than this share of the likeliest. 0 to 1; 0.05 by default.
    #[garde(range(min = 0.0, max = 1.0))]
    pub min_p: f64,
    /// Above 1, words already said become less likely. 0.5 to 2; 1.1 by default.
    #[garde(range(min = 0.5, max = 2.0))]
    pub repetition_penalty: f64,
    /// How many tokens back the penalty looks. 0 to 4096; 64 by default.
    #[garde(range(min = 0, max = 4096))]
    pub repetition_window: u32,
    /// The same seed and question give the same answer. 0 to 2^63 - 1, TOML's largest; 0 by default.
    #[garde(range(min = 0, max = 9_223_372_036_854_775_807_u64))]
    pub seed: u64,
    /// At most this many tokens are answered. 1 to 1 048 576; 512 by default.
    #[garde(range(min = 1, max = 1_048_576))]
    pub max_tokens: u32,
    /// An answer ends before any of these texts. At most 16 of 1 to 1000 bytes; none by default.
    #[garde(length(max = 16), inner(length(min = 1, max = 1000)))]
    pub stop: Vec<String>,
    /// Answers one model gives at once. 1 to 256; 4 by default.
    #[garde(range(min = 1, max = 256))]
    pub max_batch: u32,
    /// Requests that wait per model. 1 to 10 000; 32 by default.
    #[garde(range(min = 1, max = 10_000))]
    pub queue: u32,
    /// Prompt tokens read per step. 1 to 8192; 32 by default.
    #[garde(range(min = 1, max = 8192))]
    pub prefill_chunk: u32,
    /// Threads that compute a step together, as many as the runtime has workers at most. 1 to 1024; one for each processor by
    /// default.
    #[garde(inner(range(min = 1, max = 1024)))]
    pub compute_threads: Option<u32>,
    /// How activations are kept while they are multiplied: `fast`, a byte each, or `exact`, two; `fast` by default.
    #[garde(skip)]
    pub precision: Precision,
    /// What computes models: `cpu`, `cuda` or `metal`, the latter two where this build has them; `cpu` by default.
    #[garde(skip)]
    pub device: Device,
    /// Whether what is packed of a model is kept on disk as well, so that it is loaded two or three times as quickly the next
    /// time; true by default.
    #[garde(skip)]
    pub packed_copies: bool,
    /// The folder these copies lie in. 1 to 4096 bytes; `$XDG_CACHE_HOME/paraphym/packed` by default.
    #[garde(inner(length(min = 1, max = 4096)))]
    pub copies_dir: Option<String>,
    /// How long a model with nothing to do stays in memory. 0 to 30d; 5m by default.
    #[garde(range(min = 0, max = 2_592_000_000_u64))]
    pub keep_alive: Span,
    /// Engine crashes a request may survive. 0 to 10; 2 by default.
    #[garde(range(min = 0, max = 10))]
    pub crash_budget: u32,
    /// Models with a place at once. 1 to 1000; 16 by default.
    #[garde(range(min = 1, max = 1000))]
    pub max_models: u32,
    /// Models that are loaded at the start and stay, as names or paths. At most 64 of 1 to 4096 bytes; none by default.
    #[garde(length(max = 64), inner(length(min = 1, max = 4096)))]
    pub pinned: Vec<String>,
    /// How long a graceful stop waits for live answers. 0 to 10m; 30s by default.
    #[garde(range(min = 0, max = 600_000))]
    pub drain: Span,
}

/// How activations are kept while they are multiplied with weights of fewer bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Precision {
    /// A byte each.
    #[default]
    Fast,
    /// Two: as good as floats.
    Exact,
}

/// What computes models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first NVIDIA card.
    Cuda,
    /// The first graphics processor of an Apple machine.
    Metal,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            name: None,
            models_dir: None,
            temperature: 0.2,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: 1.1,
            repetition_window: 64,
            seed: 0,
            max_tokens: 512,
            stop: Vec::new(),
            max_batch: 4,
            queue: 32,
            prefill_chunk: 32,
            compute_threads: None,
            precision: Precision::Fast,
            device: Device::Cpu,
            packed_copies: true,
            copies_dir: None,
            keep_alive: Span::from_secs(300),
            crash_budget: 2,
            max_models: 16,
            pinned: Vec::new(),
            drain: Span::from_secs(30),
        }
    }
}
