//! What monitors ask: alive, ready, how much. None of it is activity.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use model_host::Status;

use crate::http::{Shared, json};
use crate::readiness::Readiness;

pub(crate) async fn healthz() -> Response {
    json(StatusCode::OK, r#"{"status":"ok"}"#.into())
}

pub(crate) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let model = &shared.config.default_model;
    let status = shared
        .deps
        .host
        .ask(Status, shared.config.limits.probe_time)
        .await;
    let readiness = match status {
        Ok(status) => {
            let here = shared.has_default().await;
            Readiness::of(model, &status, here, shared.config.max_models)
        }
        Err(error) => Readiness::unknown(model, error.to_string()),
    };
    let status = if readiness.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(
        status,
        serde_json::to_string(&readiness).unwrap_or_default(),
    )
}

/// What was recorded, and behind it what the actors of the tree do. Supervisors are asked, never actors, so that a busy one
/// is not disturbed; one that does not answer is left out.
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let administration = shared.context.administration();
    let vitals = administration.vitals(shared.config.limits.probe_time).await;
    let mut text = (shared.deps.metrics)();
    text.push_str(&vitals.to_prometheus());
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, text).into_response()
}
