//! The asker's side: a request goes in, a stream of events comes out, and dropping the stream is cancelling.

use std::time::Duration;

use domain::{
    ContextPolicy, GenerationError, GenerationEvent, KeepAlive, ModelName, Prompt, RequestId,
    Sampling, Tools,
};
use kameo::error::Infallible;
use supervision::{AskError, Handle, TURN};
use tokio::sync::{mpsc, oneshot};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::actor::{CHILD_ID, Embedding, ModelHost};
use crate::embedding::{self, Embed};
pub use crate::embedding::{EmbedRequest, Embeddings};
use crate::messages::{Generate, Warm};
pub use crate::stream::GenerationStream;

/// Events on their way to one reader: a second or more of text at any speed a CPU reaches. A slower reader loses nothing
/// (what does not fit is merged behind the channel), so a larger one would only be memory.
pub const EVENTS: usize = 64;
/// Acceptance takes microseconds, or a look into a folder for a model's first request; this also covers a restart of the
/// host.
const ACCEPT: Duration = Duration::from_secs(10);

/// A request for text.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What `Cancel`, logs and the stop report call it.
    pub id: RequestId,
    /// Which model; it is loaded if it is not resident.
    pub model: ModelName,
    /// What it continues.
    pub prompt: Prompt,
    /// How tokens are chosen and when to end.
    pub sampling: Sampling,
    /// What to do if the prompt is longer than the model's window.
    pub context: ContextPolicy,
    /// How long the model stays in memory after this; `None` for the configured time.
    pub keep_alive: Option<KeepAlive>,
    /// What the model may call. Each whole call is an event; the ids are unique where those of requests are.
    pub tools: Tools,
}

/// Asks for an answer.
///
/// # Errors
/// What is refused at once: a field out of range, an unknown model, a full queue, a model whose load failed a moment
/// ago, or a host that is down. Everything later is an event of the stream.
pub async fn generate(
    host: &Handle<ModelHost>,
    request: Request,
) -> Result<GenerationStream, GenerationError> {
    let (events, stream) = channel();
    let operation = match request.prompt {
        Prompt::Chat(_) => "chat",
        Prompt::Text(_) => "text_completion",
    };
    let turn = span(operation, Some(&request.id), &request.model);
    let wish = Generate {
        id: request.id,
        model: request.model,
        prompt: request.prompt,
        sampling: request.sampling,
        context: request.context,
        keep_alive: request.keep_alive,
        tools: request.tools,
        events,
    };
    let asked = host.ask(wish, ACCEPT).instrument(turn);
    asked.await.map_err(refusal)?;
    Ok(stream)
}

/// Loads a model without asking it anything: the stream says `Loading`, then `Finished` with an empty usage or `Failed`.
///
/// # Errors
/// As `generate`.
pub async fn warm(
    host: &Handle<ModelHost>,
    id: RequestId,
    model: ModelName,
    keep_alive: Option<KeepAlive>,
) -> Result<GenerationStream, GenerationError> {
    let (events, stream) = channel();
    let turn = span("warm", Some(&id), &model);
    let wish = Warm {
        id,
        model,
        keep_alive,
        events,
    };
    let asked = host.ask(wish, ACCEPT).instrument(turn);
    asked.await.map_err(refusal)?;
    Ok(stream)
}

/// Asks what texts mean: a vector for each. Dropping the future cancels what has not begun.
///
/// # Errors
/// A field beyond its limit, no such model, one that could not be loaded, a full queue, an embedder that crashed twice on
/// these texts, or a host that is down.
pub async fn embed(
    host: &Handle<ModelHost>,
    request: EmbedRequest,
) -> Result<Embeddings, GenerationError> {
    let turn = span("embeddings", None, &request.model);
    embedded(host, request).instrument(turn).await
}

async fn embedded(
    host: &Handle<ModelHost>,
    request: EmbedRequest,
) -> Result<Embeddings, GenerationError> {
    request.check()?;
    let texts = embedding::prepare(&request.model, request.texts).await?;
    let lane = host.ask(Embedding, ACCEPT).await.map_err(|e| down(&e))?;
    let (asker, answer) = oneshot::channel();
    let wish = Embed {
        model: request.model,
        texts,
        keep_alive: request.keep_alive,
        asker,
    };
    lane.0.ask(wish, ACCEPT).await.map_err(refusal)?;
    answer.await.unwrap_or_else(|_| {
        Err(GenerationError::Unavailable {
            part: embedding::CHILD_ID.to_owned(),
            reason: "it stopped before the answer was complete".to_owned(),
        })
    })
}

/// What a model does for one request, until its last event, within whatever turn asks. Field names by OpenTelemetry's semantic
/// conventions for generative AI, as of 1.37.
fn span(operation: &'static str, id: Option<&RequestId>, model: &ModelName) -> Span {
    tracing::error_span!(
        target: TURN,
        "generate",
        otel.name = %format_args!("{operation} {model}"),
        otel.kind = "internal",
        gen_ai.operation.name = operation,
        gen_ai.provider.name = "paraphym",
        gen_ai.request.model = %model,
        gen_ai.response.id = id.map(RequestId::as_str),
        gen_ai.response.finish_reasons = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        error.r#type = Empty,
    )
}

fn channel() -> (mpsc::Sender<GenerationEvent>, GenerationStream) {
    let (sender, events) = mpsc::channel(EVENTS);
    (sender, GenerationStream::new(events))
}

fn refusal(error: AskError<GenerationError>) -> GenerationError {
    match error {
        AskError::Handler(error) => error,
        other => GenerationError::Unavailable {
            part: CHILD_ID.to_owned(),
            reason: other.to_string(),
        },
    }
}

fn down(error: &AskError<Infallible>) -> GenerationError {
    GenerationError::Unavailable {
        part: CHILD_ID.to_owned(),
        reason: error.to_string(),
    }
}
