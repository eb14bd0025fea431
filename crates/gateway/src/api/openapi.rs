//! `GET /openapi.json`: what is served, for programs that make clients or tests of it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::document::document;
use crate::http::{Shared, json};
use crate::routes::routes;

pub(crate) const PATH: &str = "/openapi.json";

pub(crate) async fn openapi(State(shared): State<Arc<Shared>>) -> Response {
    let document = shared.document.get_or_init(|| {
        let document = document(&routes());
        // Texts and numbers only: writing them as JSON cannot fail.
        document.to_json().unwrap_or_default()
    });
    json(StatusCode::OK, document.clone())
}
