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
    let (bytes, ended) = next_bytes(&mut answer, &mut written, ping)
        .await
        .map_err(|error| ApiError::from(&error))?;
    let first = stream::once(async move { bytes });
    let rest = stream::unfold(
        (answer, written, ending, cancelled, ended),
        move |(mut answer, mut written, ending, cancelled, ended)| async move {
            if ended {
                return None;
            }
            let next = tokio::select! {
                biased;
                () = ending.cancelled() => Err(stopping()),
                () = cancelled.cancelled() => Err(GenerationError::Cancelled),
                next = next_bytes(&mut answer, &mut written, ping) => next,
            };
            let (bytes, ended) =
                next.unwrap_or_else(|error| (written.event(&GenerationEvent::Failed(error)), true));
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

/// What is sent next, and whether it is the last; nothing for as long as `patience` is a ping.
async fn next_bytes(
    answer: &mut GenerationStream,
    written: &mut impl Written,
    patience: Duration,
) -> Result<(String, bool), GenerationError> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let Ok(event) = timeout_at(deadline, answer.next()).await else {
            return Ok((PING.to_owned(), false));
        };
        match event {
            None => return Err(broken_off()),
            Some(GenerationEvent::Failed(error)) => return Err(error),
            Some(event) => {
                let bytes = written.event(&event);
                let ended = event.is_terminal();
                // News about waiting, and about tokens whose text follows, is nothing to send.
                if ended || !bytes.is_empty() {
                    return Ok((bytes, ended));
                }
            }
        }
    }
}
