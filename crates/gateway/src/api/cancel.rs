//! `POST /v1/requests/{id}/cancel`: ends answers that are under way, by the name of the request or the answer's own.
//!
//! It takes no place among the answers: it is wanted most when all are taken.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::join_all;
use serde::Serialize;

use crate::api::asking::{Caller, body};
use crate::error::ApiError;
use crate::guard::origin::must_be_json;
use crate::http::{Refused, Shared, json};
use crate::request::Fields;

pub(crate) const PATH: &str = "/v1/requests/{id}/cancel";

#[derive(Serialize)]
struct Cancellation<'a> {
    id: &'a str,
    object: &'static str,
    cancelled: bool,
}

/// Answered at once: the answers that are meant end within one step.
pub(crate) async fn cancel(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refused> {
    let Path(id) = id.map_err(|_| ApiError::no_such_request("(not UTF-8)"))?;
    nothing_else(request, &shared).await?;
    let underway = shared.deps.serving.underway();
    let found = underway.cancel(&id, caller.owner());
    if found.is_empty() {
        return Err(ApiError::no_such_request(&id).into());
    }
    // Its stream ends by itself once it is polled. A client that reads nothing polls nothing, and the model must stop.
    let told = found.into_iter().map(|one| {
        let cancel = model_host::Cancel { id: one.answer };
        shared
            .deps
            .host
            .ask(cancel, shared.config.limits.probe_time)
    });
    for error in join_all(told).await.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "the model host did not hear of a cancelled answer");
    }
    let said = Cancellation {
        id: &id,
        object: "request.cancellation",
        cancelled: true,
    };
    let said = serde_json::to_string(&said).unwrap_or_default();
    Ok(json(StatusCode::OK, said))
}

/// There is nothing to say but the name: no body, or an empty object.
async fn nothing_else(request: Request, shared: &Arc<Shared>) -> Result<(), ApiError> {
    let headers = request.headers().clone();
    let body = body(request, shared).await?;
    if body.is_empty() {
        return Ok(());
    }
    must_be_json(&headers)?;
    Fields::of_body(&body)?.refuse_unknown(&[])
}
