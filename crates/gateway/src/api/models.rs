//! `GET /v1/models` and `GET /v1/models/{model}`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::ModelName;

use crate::answer::whole;
use crate::error::ApiError;
use crate::http::{Refused, Shared, json};

/// All models that are here, those that embed as well.
pub(crate) async fn models(State(shared): State<Arc<Shared>>) -> Response {
    let names = shared.listed().await;
    json(
        StatusCode::OK,
        whole::models(&names, shared.started).unwrap_or_default(),
    )
}

/// One of them. Its name may have slashes in it, written as they are or encoded.
pub(crate) async fn model(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Refused> {
    let Path(name) = name.map_err(|_| ApiError::no_such_model("(not UTF-8)"))?;
    let name = ModelName::new(name);
    if !shared.listed().await.contains(&name) {
        return Err(ApiError::no_such_model(name.as_str()).into());
    }
    let body = whole::model(&name, shared.started).unwrap_or_default();
    Ok(json(StatusCode::OK, body))
}
