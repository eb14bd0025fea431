//! What requests may say. Read by nobody but the document: each field stands for one that a parser takes.
#![allow(dead_code, reason = "descriptions; only their shapes are used")]

use utoipa::ToSchema;

use super::kinds;

/// Only together with `"stream": true`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamOptions {
    /// Whether the last piece says what the answer cost.
    include_usage: Option<bool>,
    #[schema(schema_with = kinds::never)]
    #[serde(default)]
    include_obfuscation: bool,
}

/// A text to go on with.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompletionRequest {
    /// Who goes on; one that `GET /v1/models` lists. The server's own choice where none is named.
    #[schema(min_length = 1)]
    model: Option<String>,
    #[schema(schema_with = kinds::prompt)]
    prompt: String,
    /// At most this many tokens are generated.
    #[schema(minimum = 1, maximum = 1_048_576, default = 16)]
    max_tokens: Option<u32>,
    /// Flattens (above 1) or sharpens (below 1) the choice of tokens; 0 takes the likeliest.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f32>,
    /// Chooses among the likeliest tokens whose probabilities sum to this.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    top_p: Option<f32>,
    #[schema(schema_with = kinds::one)]
    #[serde(default)]
    n: u32,
    /// Whether the answer comes piece by piece.
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    /// Whether tokens come with how likely they were, and with how many of the likeliest at their place.
    #[schema(minimum = 0, maximum = 5)]
    logprobs: Option<u32>,
    #[schema(schema_with = kinds::never)]
    #[serde(default)]
    echo: bool,
    #[schema(schema_with = kinds::stop)]
    #[serde(default)]
    stop: Vec<String>,
    /// Makes tokens less likely that the answer has already.
    #[schema(minimum = -2, maximum = 2)]
    presence_penalty: Option<f32>,
    /// Makes tokens less likely for each time that the answer has them already.
    #[schema(minimum = -2, maximum = 2)]
    frequency_penalty: Option<f32>,
    #[schema(schema_with = kinds::one)]
    #[serde(default)]
    best_of: u32,
    #[schema(schema_with = kinds::empty_object)]
    #[serde(default)]
    logit_bias: (),
    #[schema(schema_with = kinds::seed)]
    #[serde(default)]
    seed: u64,
    /// Who asks. It changes nothing of the answer and is not kept.
    user: Option<String>,
}

/// Texts whose vectors are asked for.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbeddingRequest {
    /// An embedding model that `GET /v1/models` lists. The server's own choice where none is named.
    #[schema(min_length = 1)]
    model: Option<String>,
    #[schema(schema_with = kinds::input)]
    input: Vec<String>,
    encoding_format: Option<EncodingFormat>,
    /// As many numbers as the model's vectors have; another number is refused.
    #[schema(minimum = 1, maximum = 4_294_967_295_usize)]
    dimensions: Option<u32>,
    /// Who asks. It changes nothing of the answer and is not kept.
    user: Option<String>,
}

/// How vectors are written; as numbers where nothing is said.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum EncodingFormat {
    Float,
    Base64,
}

/// There is nothing to say.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}
