//! What monitors ask: alive, ready, how much, which models. None of it is activity.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use model_host::Status;

use crate::answer::whole;
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
            let here = is_here(&shared).await;
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

/// Whether the default model is one of those that are here, or the path of a file.
async fn is_here(shared: &Shared) -> bool {
    let model = &shared.config.default_model;
    if (shared.deps.models)().contains(model) {
        return true;
    }
    let file = tokio::fs::metadata(model.as_str()).await;
    file.is_ok_and(|file| file.is_file())
}

pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, (shared.deps.metrics)()).into_response()
}

pub(crate) async fn models(State(shared): State<Arc<Shared>>) -> Response {
    let mut names = (shared.deps.models)();
    let default = &shared.config.default_model;
    // A path is served under itself.
    if !names.contains(default) && is_here(&shared).await {
        names.insert(0, default.clone());
    }
    json(
        StatusCode::OK,
        whole::models(&names, shared.started).unwrap_or_default(),
    )
}
