//! `POST /v1/embeddings`. A client that hangs up, or is cancelled, drops the question, and what has not begun of it is not
//! computed.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use model_host::{EmbedRequest, Embeddings, embed};

use crate::answer::vectors::vectors;
use crate::api::asking::{Asked, Caller, Endpoint, asked};
use crate::error::ApiError;
use crate::guard::lasting::lasting;
use crate::http::{Refused, Shared, json};
use crate::request::embedding::{EmbeddingRequest, embedding_request};

pub(crate) const PATH: &str = "/v1/embeddings";
const ENDPOINT: Endpoint = Endpoint {
    path: PATH,
    // Nobody is told it: the API's answer has no name.
    kind: "embd",
};

pub(crate) async fn embeddings(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refused> {
    asked(&shared, caller, ENDPOINT, request, answered).await
}

async fn answered(shared: &Arc<Shared>, asked: Asked) -> Result<Response, Refused> {
    let EmbeddingRequest {
        model,
        texts,
        encoding,
        dimensions,
    } = embedding_request(&asked.body)?;
    let wish = EmbedRequest {
        model: shared.embedder(model)?,
        texts,
        keep_alive: None,
    };
    let embeddings = embed(&shared.deps.host, wish).await;
    let embeddings = embeddings.map_err(|error| ApiError::from(&error).about("texts", "input"))?;
    as_wanted(&embeddings, dimensions)?;
    let body = vectors(&embeddings, encoding).unwrap_or_default();
    Ok(lasting(json(StatusCode::OK, body), asked.held))
}

/// How many numbers a model's vectors have is known once it is here.
fn as_wanted(embeddings: &Embeddings, dimensions: Option<u32>) -> Result<(), ApiError> {
    let has = embeddings.dimensions;
    match dimensions {
        Some(wanted) if wanted != has => Err(ApiError::invalid(
            "dimensions",
            format!(
                "dimensions = {wanted} is not accepted: use {has}, as many as model {} has, or leave it out",
                embeddings.model
            ),
        )),
        _ => Ok(()),
    }
}
