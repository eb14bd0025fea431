//! `POST /v1/chat/completions`: the stream of the model becomes the body. Whoever hangs up drops that body, with it the
//! model's stream, and compute stops within one step.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::generation::ContextPolicy;
use domain::{GenerationError, GenerationEvent, Prompt, RequestId};
use futures_util::{Stream, StreamExt, stream};
use model_host::GenerationStream;
use supervision::WorkGuard;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, timeout, timeout_at};

use crate::error::ApiError;
use crate::http::{Refused, Shared, json};
use crate::meters::InFlight;
use crate::reply::{Heading, completion};
use crate::sse::{Chunks, PING};
use crate::wire::{ChatRequest, Defaults, chat_request};

/// What an answer holds until its last byte is sent or its client has gone.
struct Held {
    /// One of the answers at once.
    _slot: OwnedSemaphorePermit,
    /// A graceful stop waits for it.
    _work: WorkGuard,
    /// The gauge counts it.
    _in_flight: Arc<InFlight>,
}

pub(crate) async fn chat(
    State(shared): State<Arc<Shared>>,
    Extension(id): Extension<RequestId>,
    Extension(in_flight): Extension<Arc<InFlight>>,
    request: Request,
) -> Result<Response, Refused> {
    let slot = shared.slot()?;
    let body = body(request, &shared).await?;
    let number = shared.ids.number();
    let request = chat_request(&body, defaults(&shared, number))?;
    let held = Held {
        _slot: slot,
        _work: shared
            .context
            .work(format!("POST /v1/chat/completions {id}")),
        _in_flight: in_flight,
    };
    let heading = heading(&shared, number, &request);
    let (streamed, include_usage) = (request.stream, request.include_usage);
    let answer = model_host::generate(&shared.deps.host, generate(id, request)).await;
    let answer = answer.map_err(|error| ApiError::from(&error))?;
    if streamed {
        let chunks = Chunks::new(heading, include_usage);
        return piece_by_piece(answer, chunks, shared.config.limits.ping, held).await;
    }
    whole(answer, &heading).await
}

/// The body, within its limits in bytes and in time.
async fn body(request: Request, shared: &Arc<Shared>) -> Result<Bytes, ApiError> {
    let limits = &shared.config.limits;
    let read = timeout(limits.body_time, Bytes::from_request(request, shared)).await;
    let read = read.map_err(|_| ApiError::too_slow(limits.body_time.as_secs()))?;
    read.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return ApiError::too_large(limits.body_bytes);
        }
        ApiError::bad_request(format!("the body could not be read: {rejection}"))
    })
}

fn defaults(shared: &Shared, number: u64) -> Defaults {
    let mut sampling = shared.config.sampling.clone();
    sampling.seed = shared.ids.seed(number);
    Defaults {
        model: shared.config.default_model.clone(),
        sampling,
    }
}

fn heading(shared: &Shared, number: u64, request: &ChatRequest) -> Heading {
    let now = (shared.deps.clock)().duration_since(UNIX_EPOCH);
    Heading {
        id: shared.ids.completion(number),
        created: now.map_or(0, |since| since.as_secs()),
        model: request.model.clone(),
    }
}

fn generate(id: RequestId, request: ChatRequest) -> model_host::Request {
    model_host::Request {
        id,
        model: request.model,
        prompt: Prompt::Chat(request.messages),
        sampling: request.sampling,
        // The client holds the conversation and decides itself what to leave out.
        context: ContextPolicy::Refuse,
    }
}

async fn whole(mut answer: GenerationStream, heading: &Heading) -> Result<Response, Refused> {
    let mut text = String::new();
    while let Some(event) = answer.next().await {
        match event {
            GenerationEvent::Text(piece) => text.push_str(&piece),
            GenerationEvent::Finished { reason, usage } => {
                let body = completion(heading, &text, reason, usage).unwrap_or_default();
                return Ok(json(StatusCode::OK, body));
            }
            GenerationEvent::Failed(error) => return Err(ApiError::from(&error).into()),
            GenerationEvent::Queued { .. }
            | GenerationEvent::Loading { .. }
            | GenerationEvent::Prefill { .. } => {}
        }
    }
    Err(ApiError::from(&broken_off()).into())
}

/// An answer that ended without a last event: never in order, but never silent.
fn broken_off() -> GenerationError {
    GenerationError::Unavailable {
        part: "model_host".into(),
        reason: "its answer broke off; ask again".into(),
    }
}

/// The status is sent with the first text: until then, for at most one ping, a failure can still be a proper one.
async fn piece_by_piece(
    mut answer: GenerationStream,
    mut chunks: Chunks,
    ping: Duration,
    held: Held,
) -> Result<Response, Refused> {
    let (bytes, ended) = match first_word(&mut answer, ping).await {
        Some(GenerationEvent::Failed(error)) => return Err(ApiError::from(&error).into()),
        Some(event) => (chunks.event(&event), event.is_terminal()),
        None => (PING.to_owned(), false),
    };
    let first = stream::once(async move { bytes });
    let rest = stream::unfold(
        (answer, chunks, ended),
        move |(mut answer, mut chunks, ended)| async move {
            if ended {
                return None;
            }
            let (bytes, ended) = next_bytes(&mut answer, &mut chunks, ping).await;
            Some((bytes, (answer, chunks, ended)))
        },
    );
    let bytes = first.chain(rest).map(move |bytes| {
        let _ = &held;
        Ok::<_, Infallible>(bytes)
    });
    Ok(event_stream(bytes))
}

fn event_stream(
    bytes: impl Stream<Item = Result<String, Infallible>> + Send + 'static,
) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
        // Proxies of the nginx kind hold a stream back unless told not to.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(bytes)).into_response()
}

/// The first event that is more than news about waiting, if it comes within `patience`.
async fn first_word(answer: &mut GenerationStream, patience: Duration) -> Option<GenerationEvent> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let event = timeout_at(deadline, answer.next()).await.ok()?;
        let event = event.unwrap_or_else(|| GenerationEvent::Failed(broken_off()));
        if matches!(event, GenerationEvent::Text(_)) || event.is_terminal() {
            return Some(event);
        }
    }
}

/// The next bytes of the stream, and whether they are the last.
async fn next_bytes(
    answer: &mut GenerationStream,
    chunks: &mut Chunks,
    ping: Duration,
) -> (String, bool) {
    let Some(event) = first_word(answer, ping).await else {
        return (PING.to_owned(), false);
    };
    (chunks.event(&event), event.is_terminal())
}
