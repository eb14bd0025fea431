//! What is answered. Read by nobody but the document.
#![allow(
    dead_code,
    clippy::enum_variant_names,
    clippy::struct_field_names,
    reason = "descriptions under the API's own names; only their shapes are used"
)]

use utoipa::ToSchema;

use super::kinds;

/// What an answer cost, in tokens.
#[derive(ToSchema)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: PromptTokensDetails,
}

#[derive(ToSchema)]
struct PromptTokensDetails {
    /// Those at the front that need not be read again.
    cached_tokens: u32,
}

/// A whole answer.
#[derive(ToSchema)]
pub(crate) struct ChatCompletion {
    /// `chatcmpl-…`.
    id: String,
    object: ChatObject,
    /// Seconds since 1970.
    created: u64,
    model: String,
    choices: Vec<ChatChoice>,
    usage: Usage,
}

#[derive(ToSchema)]
enum ChatObject {
    #[serde(rename = "chat.completion")]
    Completion,
}

#[derive(ToSchema)]
struct ChatChoice {
    index: u32,
    message: Said,
    #[schema(required)]
    logprobs: Option<Logprobs>,
    finish_reason: FinishReason,
}

/// How likely the tokens were, if that was asked for.
#[derive(ToSchema)]
struct Logprobs {
    content: Vec<Token>,
    #[schema(schema_with = kinds::nothing)]
    refusal: (),
}

#[derive(ToSchema)]
struct Token {
    /// One that is no whole characters has U+FFFD in their place.
    token: String,
    /// The natural logarithm of its probability; -9999 for none.
    logprob: f32,
    bytes: Vec<u8>,
    top_logprobs: Vec<Likely>,
}

#[derive(ToSchema)]
struct Likely {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

/// A call of a tool.
#[derive(ToSchema)]
struct Call {
    /// What its result answers to; no two answers share one.
    id: String,
    r#type: FunctionType,
    function: Called,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum FunctionType {
    Function,
}

#[derive(ToSchema)]
struct Called {
    name: String,
    /// A JSON object as text.
    arguments: String,
}

#[derive(ToSchema)]
struct Said {
    role: Assistant,
    #[schema(required)]
    content: Option<String>,
    #[schema(required)]
    refusal: Option<String>,
    /// Absent where nothing is called.
    tool_calls: Option<Vec<Call>>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum Assistant {
    Assistant,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum FinishReason {
    Stop,
    Length,
    ToolCalls,
}

/// A piece of a streamed answer: the `data` of one event. The last event is `[DONE]`; a failure on the way is an `Error`
/// and nothing after it.
#[derive(ToSchema)]
pub(crate) struct ChatChunk {
    id: String,
    object: ChunkObject,
    created: u64,
    model: String,
    choices: Vec<ChunkChoice>,
    /// Absent unless asked for; null in all pieces but the last.
    usage: Option<Usage>,
}

#[derive(ToSchema)]
enum ChunkObject {
    #[serde(rename = "chat.completion.chunk")]
    Chunk,
}

#[derive(ToSchema)]
struct ChunkChoice {
    index: u32,
    delta: Delta,
    #[schema(required)]
    logprobs: Option<Logprobs>,
    #[schema(required)]
    finish_reason: Option<FinishReason>,
}

#[derive(ToSchema)]
struct Delta {
    role: Option<Assistant>,
    content: Option<String>,
    tool_calls: Option<Vec<CallDelta>>,
}

/// A piece of a call: those of one index are put together, the texts behind each other.
#[derive(ToSchema)]
struct CallDelta {
    index: u32,
    id: Option<String>,
    r#type: Option<FunctionType>,
    function: CalledDelta,
}

#[derive(ToSchema)]
struct CalledDelta {
    name: Option<String>,
    arguments: String,
}

/// A text gone on with, or a piece of it if it is streamed.
#[derive(ToSchema)]
pub(crate) struct TextCompletion {
    /// `cmpl-…`.
    id: String,
    object: TextObject,
    /// Seconds since 1970.
    created: u64,
    model: String,
    choices: Vec<TextChoice>,
    /// In a stream absent unless asked for, and null in all pieces but the last.
    usage: Option<Usage>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum TextObject {
    TextCompletion,
}

#[derive(ToSchema)]
struct TextChoice {
    text: String,
    index: u32,
    #[schema(required)]
    logprobs: Option<Likelihoods>,
    #[schema(required)]
    finish_reason: Option<FinishReason>,
}

/// Four arrays side by side, an entry for each token.
#[derive(ToSchema)]
struct Likelihoods {
    /// One that is no whole characters is written as `bytes:\xe2\x98`.
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    #[schema(schema_with = kinds::likelihoods_by_token)]
    top_logprobs: (),
    /// Where in the text each begins, in characters.
    text_offset: Vec<u32>,
}

/// A vector for each text, in their order.
#[derive(ToSchema)]
pub(crate) struct Embeddings {
    object: ListObject,
    data: Vec<Embedding>,
    model: String,
    usage: EmbeddingUsage,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum ListObject {
    List,
}

#[derive(ToSchema)]
struct Embedding {
    object: EmbeddingObject,
    index: u32,
    #[schema(schema_with = kinds::vector)]
    embedding: (),
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum EmbeddingObject {
    Embedding,
}

#[derive(ToSchema)]
struct EmbeddingUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// The models that are here, those that embed last.
#[derive(ToSchema)]
pub(crate) struct Models {
    object: ListObject,
    data: Vec<Model>,
}

/// One of them.
#[derive(ToSchema)]
pub(crate) struct Model {
    id: String,
    object: ModelObject,
    /// When this server started, in seconds since 1970.
    created: u64,
    owned_by: String,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum ModelObject {
    Model,
}

/// What was cancelled. Its answer ends with the code `cancelled`: whole with status 499, streamed with an `Error`.
#[derive(ToSchema)]
pub(crate) struct Cancellation {
    id: String,
    object: CancellationObject,
    cancelled: bool,
}

#[derive(ToSchema)]
enum CancellationObject {
    #[serde(rename = "request.cancellation")]
    Cancellation,
}

/// That we live.
#[derive(ToSchema)]
pub(crate) struct Health {
    status: Alive,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum Alive {
    Ok,
}

/// Whether a request for the default model would be answered now.
#[derive(ToSchema)]
pub(crate) struct Readiness {
    status: Ready,
    model: String,
    /// `loaded`, `loading`, `unloaded`, or why not.
    state: String,
    /// Why it is not ready, and what to do; missing if it is.
    reasons: Option<Vec<Unready>>,
}

/// One reason why the server is not ready.
#[derive(ToSchema)]
pub(crate) struct Unready {
    /// `server`, `store` or `model`.
    part: String,
    /// Why, and what to do.
    reason: String,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum Ready {
    Ready,
    Unavailable,
}

/// A refusal or a failure.
#[derive(ToSchema)]
pub(crate) struct Error {
    error: ErrorBody,
}

#[derive(ToSchema)]
struct ErrorBody {
    /// What is wrong and what to do.
    message: String,
    r#type: ErrorType,
    /// The field that is wrong, by its path.
    #[schema(required)]
    param: Option<String>,
    /// A word for programs.
    #[schema(required)]
    code: Option<String>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum ErrorType {
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    /// A limit of the token's own.
    Requests,
    ApiError,
}
