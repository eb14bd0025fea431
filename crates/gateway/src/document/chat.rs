//! What a request for a chat may say. Read by nobody but the document: each field stands for one that a parser takes.
#![allow(dead_code, reason = "descriptions; only their shapes are used")]

use utoipa::ToSchema;

use super::kinds;
use super::requests::StreamOptions;

/// A chat to go on with.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatRequest {
    /// Who answers; one that `GET /v1/models` lists. The server's own choice where none is named.
    #[schema(min_length = 1)]
    model: Option<String>,
    /// What was said.
    #[schema(min_items = 1)]
    messages: Vec<Message>,
    /// Flattens (above 1) or sharpens (below 1) the choice of tokens; 0 takes the likeliest.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f32>,
    /// Chooses among the likeliest tokens whose probabilities sum to this.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    top_p: Option<f32>,
    /// Makes tokens less likely that the answer has already.
    #[schema(minimum = -2, maximum = 2)]
    presence_penalty: Option<f32>,
    /// Makes tokens less likely for each time that the answer has them already.
    #[schema(minimum = -2, maximum = 2)]
    frequency_penalty: Option<f32>,
    /// The older name of `max_completion_tokens`. Both only if they are the same.
    #[schema(minimum = 1, maximum = 1_048_576)]
    max_tokens: Option<u32>,
    /// At most this many tokens are generated.
    #[schema(minimum = 1, maximum = 1_048_576)]
    max_completion_tokens: Option<u32>,
    #[schema(schema_with = kinds::stop)]
    #[serde(default)]
    stop: Vec<String>,
    #[schema(schema_with = kinds::seed)]
    #[serde(default)]
    seed: u64,
    /// Whether the answer comes piece by piece.
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[schema(schema_with = kinds::one)]
    #[serde(default)]
    n: u32,
    #[schema(schema_with = kinds::empty_object)]
    #[serde(default)]
    logit_bias: (),
    /// Whether tokens come with how likely they were.
    logprobs: Option<bool>,
    /// And with how many of the likeliest at their place. Only together with `"logprobs": true`.
    #[schema(minimum = 0, maximum = 20)]
    top_logprobs: Option<u32>,
    response_format: Option<ResponseFormat>,
    /// What the model may call. Not together with a `response_format`, unless the choice is `none`.
    #[schema(max_items = 128)]
    tools: Option<Vec<Tool>>,
    /// Whether the model calls tools; `required` and a name only together with `tools`.
    tool_choice: Option<ToolChoice>,
    /// False: at most one call in an answer.
    parallel_tool_calls: Option<bool>,
    /// Who asks. It changes nothing of the answer and is not kept.
    user: Option<String>,
    /// The same.
    safety_identifier: Option<String>,
    /// The same.
    prompt_cache_key: Option<String>,
    #[schema(schema_with = kinds::never)]
    #[serde(default)]
    store: bool,
    service_tier: Option<ServiceTier>,
    modalities: Option<Vec<PartType>>,
}

/// One message, by its role.
#[derive(ToSchema)]
#[serde(untagged)]
enum Message {
    Spoken(Spoken),
    Assistant(AssistantMessage),
    Result(ToolResult),
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct Spoken {
    role: SpokenRole,
    content: Content,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum SpokenRole {
    System,
    Developer,
    User,
}

/// An answer, as it came: what is null or empty in it may stay.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct AssistantMessage {
    role: AssistantRole,
    /// Only an answer that calls tools may be without.
    content: Option<Content>,
    /// Each must be followed by its result, a message of role `tool`.
    tool_calls: Option<Vec<SentCall>>,
    /// What clients that parse answers add; it is not read.
    #[schema(schema_with = kinds::anything)]
    #[serde(default)]
    parsed: (),
    #[schema(schema_with = kinds::nothing)]
    #[serde(default)]
    refusal: (),
    #[schema(schema_with = kinds::nothing)]
    #[serde(default)]
    annotations: (),
    #[schema(schema_with = kinds::nothing)]
    #[serde(default)]
    audio: (),
    #[schema(schema_with = kinds::nothing)]
    #[serde(default)]
    function_call: (),
    #[schema(schema_with = kinds::nothing)]
    #[serde(default)]
    reasoning_content: (),
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum AssistantRole {
    Assistant,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct SentCall {
    #[schema(min_length = 1)]
    id: String,
    r#type: Option<FunctionType>,
    function: SentFunction,
    /// What clients that read streams add; it is not read.
    index: Option<i64>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum FunctionType {
    Function,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct SentFunction {
    #[schema(pattern = "^[a-zA-Z0-9_-]{1,64}$")]
    name: String,
    /// A JSON object as text; `{}` if it is empty or left out.
    arguments: Option<String>,
    /// What clients that parse arguments add; it is not read.
    #[schema(schema_with = kinds::anything)]
    #[serde(default)]
    parsed_arguments: (),
}

/// The result of a call.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct ToolResult {
    role: ToolRole,
    content: Content,
    /// The call's `id`, in the assistant's message before it.
    tool_call_id: String,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum ToolRole {
    Tool,
}

/// A text, or parts that are put together.
#[derive(ToSchema)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct Part {
    r#type: PartType,
    text: String,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum PartType {
    Text,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum ServiceTier {
    Auto,
    Default,
}

/// What the answer has to look like; it cannot be anything else.
#[derive(ToSchema)]
#[serde(untagged)]
enum ResponseFormat {
    Plain(Plain),
    Schema(WithSchema),
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct Plain {
    r#type: PlainType,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum PlainType {
    Text,
    JsonObject,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct WithSchema {
    r#type: SchemaType,
    json_schema: NamedSchema,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum SchemaType {
    JsonSchema,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct NamedSchema {
    #[schema(pattern = "^[a-zA-Z0-9_-]{1,64}$")]
    name: String,
    description: Option<String>,
    /// Any JSON if it is left out.
    #[schema(schema_with = kinds::any_object)]
    #[serde(default)]
    schema: (),
    /// The answer follows the schema whatever this says.
    strict: Option<bool>,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct Tool {
    r#type: FunctionType,
    function: Function,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct Function {
    /// No two of one name.
    #[schema(pattern = "^[a-zA-Z0-9_-]{1,64}$")]
    name: String,
    description: Option<String>,
    /// A JSON Schema of an object; without it there are no arguments.
    #[schema(schema_with = kinds::any_object)]
    #[serde(default)]
    parameters: (),
    /// Arguments follow the schema whatever this says.
    strict: Option<bool>,
}

#[derive(ToSchema)]
#[serde(untagged)]
enum ToolChoice {
    Word(ChoiceWord),
    Named(NamedChoice),
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum ChoiceWord {
    None,
    Auto,
    Required,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct NamedChoice {
    r#type: FunctionType,
    function: ChosenName,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct ChosenName {
    name: String,
}
