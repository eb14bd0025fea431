//! The stream of the model becomes the body. Whoever hangs up drops that body, with it the model's stream, and compute
//! stops within one step.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use domain::{GenerationError, GenerationEvent};
use futures_util::{Stream, StreamExt, stream};
use model_host::GenerationStream;
use tokio::time::{Duration, timeout_at};

use crate::answer::PING;
use crate::answer::Written;
use crate::api::asking::Held;
use crate::api::ends::{broken_off, stopping};
use crate::error::ApiError;
use crate::http::{Refused, Shared};

/// The status is sent with the first text: until then, for at most one ping, a failure can still be a proper one.
pub(crate) async fn piece_by_piece(
    mut answer: GenerationStream,
    mut written: impl Written,
    shared: &Shared,
    held: Held,
) -> Result<Response, Refused> {
    let ping = shared.config.limits.ping;
    let (ending, cancelled) = (shared.ending.clone(), held.cancelled());
    let (bytes, ended) = match first_word(&mut answer, ping).await {
        Some(GenerationEvent::Failed(error)) => return Err(ApiError::from(&error).into()),
        event => bytes_of(event.as_ref(), &mut written),
    };
    let first = stream::once(async move { bytes });
    let rest = stream::unfold(
        (answer, written, ending, cancelled, ended),
        move |(mut answer, mut written, ending, cancelled, ended)| async move {
            if ended {
                return None;
            }
            let event = tokio::select! {
                biased;
                () = ending.cancelled() => Some(GenerationEvent::Failed(stopping())),
                () = cancelled.cancelled() => Some(GenerationEvent::Failed(GenerationError::Cancelled)),
                event = first_word(&mut answer, ping) => event,
            };
            let (bytes, ended) = bytes_of(event.as_ref(), &mut written);
            Some((bytes, (answer, written, ending, cancelled, ended)))
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
        if is_a_word(&event) {
            return Some(event);
        }
    }
}

/// Whether the client gets to read it.
fn is_a_word(event: &GenerationEvent) -> bool {
    !matches!(
        event,
        GenerationEvent::Queued { .. }
            | GenerationEvent::Loading { .. }
            | GenerationEvent::Prefill { .. }
    )
}

/// What that event adds to the stream, and whether it is the last; nothing for a while is a ping.
fn bytes_of(event: Option<&GenerationEvent>, written: &mut impl Written) -> (String, bool) {
    event.map_or_else(
        || (PING.to_owned(), false),
        |event| (written.event(event), event.is_terminal()),
    )
}
