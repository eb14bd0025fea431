//! `GET /openapi.json`.

use axum::http::StatusCode;
use axum::response::Response;

use crate::document::document;
use crate::http::json;
use crate::routes::routes;

pub(crate) const PATH: &str = "/openapi.json";

/// Made anew each time: nobody asks often.
pub(crate) async fn openapi() -> Response {
    let document = document(&routes());
    // Texts and numbers only: writing them as JSON cannot fail.
    json(StatusCode::OK, document.to_json().unwrap_or_default())
}
