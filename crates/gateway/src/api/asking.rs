//! What every path that computes does first: a place, the body within its limits, and what is held until the last byte of
//! the answer is sent or its client has gone. A stop that does not wait ends it here, and so does who cancels it, whatever
//! it does.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use domain::{GenerationError, RequestId};
use supervision::WorkGuard;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::api::ends::stopping;
use crate::error::ApiError;
use crate::guard::hangup::{Answering, Busy};
use crate::guard::origin::must_be_json;
use crate::guard::seating::Sitter;
use crate::guard::underway::{Entry, Names, Owner};
use crate::http::{Refused, Shared};
use crate::meters::InFlight;

/// A path that computes.
#[derive(Clone, Copy)]
pub(crate) struct Endpoint {
    /// Where it is.
    pub(crate) path: &'static str,
    /// What its answers' names begin with.
    pub(crate) kind: &'static str,
}

/// What is known of a request beside its bytes.
pub(crate) struct Caller {
    id: RequestId,
    owner: Option<Owner>,
    in_flight: Option<Arc<InFlight>>,
    answering: Answering,
    /// Its connection.
    sitter: Option<Sitter>,
}

/// A request that was read.
pub(crate) struct Asked {
    /// What the answer is called: by its client, and by the model host, where no two may have the same name.
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
    /// It can be cancelled by name, and whoever ends the process waits for it.
    entry: Entry,
}

impl Held {
    /// Cancelled once somebody said so.
    pub(crate) fn cancelled(&self) -> CancellationToken {
        self.entry.cancelled()
    }
}

impl Caller {
    /// On whose behalf it asks.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }
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
            owner: known.get::<Owner>().cloned(),
            in_flight: known.get::<Arc<InFlight>>().cloned(),
            answering: known.get::<Answering>().cloned().unwrap_or_default(),
            sitter: known.get::<Sitter>().cloned(),
        })
    }
}

/// Reads `request` and has it answered, unless a stop comes first or somebody cancels it.
pub(crate) async fn asked(
    shared: &Arc<Shared>,
    caller: Caller,
    endpoint: Endpoint,
    request: Request,
    answer: impl AsyncFnOnce(&Arc<Shared>, Asked) -> Result<Response, Refused>,
) -> Result<Response, Refused> {
    must_be_json(request.headers())?;
    if shared.deps.serving.is_draining() {
        return Err(ApiError::draining().into());
    }
    let number = shared.ids.number();
    let names = Names {
        request: caller.id.clone(),
        answer: RequestId::new(shared.ids.answer(endpoint.kind, number)),
        owner: caller.owner.clone(),
        connection: caller.sitter.as_ref().map(Sitter::number),
    };
    tracing::debug!(request = %names.request, answer = %names.answer, "begun");
    let id = names.answer.clone();
    let entry = shared.deps.serving.underway().begin(names);
    let cancelled = entry.cancelled();
    let answered = async {
        let body = body(request, shared).await?;
        // It may wait long for its answer now, and is silent no more.
        if let Some(sitter) = &caller.sitter {
            sitter.spoke();
        }
        // Behind the body: who sends half of one takes nobody's place.
        let slot = shared.slot()?;
        let label = format!("POST {} {}", endpoint.path, caller.id);
        entry.placed(label.clone());
        let held = Held {
            _slot: slot,
            _work: shared.context.work(label),
            _in_flight: caller.in_flight,
            _busy: caller.answering.begin(),
            entry,
        };
        let asked = Asked {
            id,
            number,
            body,
            held,
        };
        answer(shared, asked).await
    };
    tokio::select! {
        biased;
        () = shared.ending.cancelled() => Err(ApiError::from(&stopping()).into()),
        () = cancelled.cancelled() => Err(ApiError::from(&GenerationError::Cancelled).into()),
        answered = answered => answered,
    }
}

/// The body, within its limits in bytes and in time.
pub(crate) async fn body(request: Request, shared: &Arc<Shared>) -> Result<Bytes, ApiError> {
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
