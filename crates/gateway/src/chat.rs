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
use crate::hangup::{Answering, Busy};
use crate::http::{Refused, Shared, json};
use crate::meters::InFlight;
use crate::origin::must_be_json;
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
    /// Its connection listens for a client that leaves.
    _busy: Busy,
}

/// What is known of a request beside its bytes.
struct Caller {
    id: RequestId,
    in_flight: Arc<InFlight>,
    answering: Answering,
}

pub(crate) async fn chat(
    State(shared): State<Arc<Shared>>,
    Extension(id): Extension<RequestId>,
    Extension(in_flight): Extension<Arc<InFlight>>,
    Extension(answering): Extension<Answering>,
    request: Request,
) -> Result<Response, Refused> {
    let caller = Caller {
        id,
        in_flight,
        answering,
    };
    tokio::select! {
        biased;
        () = shared.ending.cancelled() => Err(ApiError::from(&stopping()).into()),
        answered = answered(&shared, caller, request) => answered,
    }
}

async fn answered(
    shared: &Arc<Shared>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refused> {
    must_be_json(request.headers())?;
    let slot = shared.slot()?;
    let body = body(request, shared).await?;
    let number = shared.ids.number();
    let request = chat_request(&body, defaults(shared, number))?;
    if !shared.serves(&request.model) {
        return Err(ApiError::no_such_model(request.model.as_str()).into());
    }
    let id = caller.id;
    let held = Held {
        _slot: slot,
        _work: shared
            .context
            .work(format!("POST /v1/chat/completions {id}")),
        _in_flight: caller.in_flight,
        _busy: caller.answering.begin(),
    };
    let heading = heading(shared, number, &request);
    let (streamed, include_usage) = (request.stream, request.include_usage);
    let answer = model_host::generate(&shared.deps.host, generate(id, request)).await;
    let answer = answer.map_err(|error| ApiError::from(&error))?;
    if streamed {
        let chunks = Chunks::new(heading, include_usage);
        return piece_by_piece(answer, chunks, shared, held).await;
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
    let mut sampling = (shared.deps.sampling)();
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
        keep_alive: None,
        tools: domain::Tools::default(),
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
            | GenerationEvent::Prefill { .. }
            // No request over HTTP brings tools yet.
            | GenerationEvent::ToolCall(_) => {}
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

/// What an answer that a stop did not wait for ends with.
fn stopping() -> GenerationError {
    GenerationError::Unavailable {
        part: "gateway".into(),
        reason: "the server is stopping; ask again once it is back".into(),
    }
}

/// The status is sent with the first text: until then, for at most one ping, a failure can still be a proper one.
async fn piece_by_piece(
    mut answer: GenerationStream,
    mut chunks: Chunks,
    shared: &Shared,
    held: Held,
) -> Result<Response, Refused> {
    let (ping, ending) = (shared.config.limits.ping, shared.ending.clone());
    let (bytes, ended) = match first_word(&mut answer, ping).await {
        Some(GenerationEvent::Failed(error)) => return Err(ApiError::from(&error).into()),
        event => bytes_of(event.as_ref(), &mut chunks),
    };
    let first = stream::once(async move { bytes });
    let rest = stream::unfold(
        (answer, chunks, ending, ended),
        move |(mut answer, mut chunks, ending, ended)| async move {
            if ended {
                return None;
            }
            let event = tokio::select! {
                biased;
                () = ending.cancelled() => Some(GenerationEvent::Failed(stopping())),
                event = first_word(&mut answer, ping) => event,
            };
            let (bytes, ended) = bytes_of(event.as_ref(), &mut chunks);
            Some((bytes, (answer, chunks, ending, ended)))
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

/// What that event adds to the stream, and whether it is the last; nothing for a while is a ping.
fn bytes_of(event: Option<&GenerationEvent>, chunks: &mut Chunks) -> (String, bool) {
    event.map_or_else(
        || (PING.to_owned(), false),
        |event| (chunks.event(event), event.is_terminal()),
    )
}
