//! What every path that computes does first: a place, the body within its limits, and what is held until the last byte of
//! the answer is sent or its client has gone. A stop that does not wait ends it here, whatever it does.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use domain::RequestId;
use supervision::WorkGuard;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::api::ends::stopping;
use crate::error::ApiError;
use crate::guard::hangup::{Answering, Busy};
use crate::guard::origin::must_be_json;
use crate::http::{Refused, Shared};
use crate::meters::InFlight;

/// What is known of a request beside its bytes.
pub(crate) struct Caller {
    id: RequestId,
    in_flight: Option<Arc<InFlight>>,
    answering: Answering,
}

/// A request that was read.
pub(crate) struct Asked {
    /// What `Cancel` and logs call it.
    pub(crate) id: RequestId,
    /// What no other request of this life has.
    pub(crate) number: u64,
    /// Its body, within the limits.
    pub(crate) body: Bytes,
    /// To be kept until the answer's last byte.
    pub(crate) held: Held,
}

/// What an answer holds until its last byte is sent or its client has gone.
pub(crate) struct Held {
    /// One of the answers at once.
    _slot: OwnedSemaphorePermit,
    /// A graceful stop waits for it.
    _work: WorkGuard,
    /// The gauge counts it.
    _in_flight: Option<Arc<InFlight>>,
    /// Its connection listens for a client that leaves.
    _busy: Busy,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = &parts.extensions;
        Ok(Self {
            id: known
                .get::<RequestId>()
                .cloned()
                .unwrap_or_else(|| RequestId::new("")),
            in_flight: known.get::<Arc<InFlight>>().cloned(),
            answering: known.get::<Answering>().cloned().unwrap_or_default(),
        })
    }
}

/// Reads `request` and has it answered, unless a stop comes first.
pub(crate) async fn asked(
    shared: &Arc<Shared>,
    caller: Caller,
    path: &'static str,
    request: Request,
    answer: impl AsyncFnOnce(&Arc<Shared>, Asked) -> Result<Response, Refused>,
) -> Result<Response, Refused> {
    let answered = async {
        let asked = read(shared, caller, path, request).await?;
        answer(shared, asked).await
    };
    tokio::select! {
        biased;
        () = shared.ending.cancelled() => Err(ApiError::from(&stopping()).into()),
        answered = answered => answered,
    }
}

async fn read(
    shared: &Arc<Shared>,
    caller: Caller,
    path: &'static str,
    request: Request,
) -> Result<Asked, ApiError> {
    must_be_json(request.headers())?;
    let slot = shared.slot()?;
    let body = body(request, shared).await?;
    let id = caller.id;
    let held = Held {
        _slot: slot,
        _work: shared.context.work(format!("POST {path} {id}")),
        _in_flight: caller.in_flight,
        _busy: caller.answering.begin(),
    };
    Ok(Asked {
        id,
        number: shared.ids.number(),
        body,
        held,
    })
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
