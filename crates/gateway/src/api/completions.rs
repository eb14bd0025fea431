//! `POST /v1/completions`: a text is gone on with as it is, without a template; for clients that bring their own.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::generation::ContextPolicy;
use domain::{GenerationEvent, Prompt, RequestId};
use model_host::GenerationStream;

use crate::answer::text::TextAnswer;
use crate::api::asking::{Asked, Caller, Endpoint, asked};
use crate::api::beginning::{defaults, heading};
use crate::api::ends::broken_off;
use crate::api::streaming::piece_by_piece;
use crate::error::ApiError;
use crate::guard::lasting::lasting;
use crate::http::{Refused, Shared, json};
use crate::request::completion::{CompletionRequest, completion_request};

pub(crate) const PATH: &str = "/v1/completions";
const ENDPOINT: Endpoint = Endpoint {
    path: PATH,
    kind: "cmpl",
};

pub(crate) async fn completions(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refused> {
    let answered = asked(&shared, caller, ENDPOINT, request, answered).await;
    // What is too long is here the prompt.
    answered.map_err(|Refused(error)| Refused(error.about("messages", "prompt")))
}

async fn answered(shared: &Arc<Shared>, asked: Asked) -> Result<Response, Refused> {
    let Asked {
        id,
        number,
        body,
        held,
    } = asked;
    let request = completion_request(&body, defaults(shared, number))?;
    shared.must_answer(&request.model)?;
    let written = TextAnswer::new(
        heading(shared, &id, &request.model),
        request.sampling.logprobs.is_some(),
        request.include_usage,
    );
    let streamed = request.stream;
    let answer = model_host::generate(&shared.deps.host, generate(id, request)).await;
    let answer = answer.map_err(|error| ApiError::from(&error))?;
    if streamed {
        return piece_by_piece(answer, written, shared, held).await;
    }
    Ok(lasting(whole(answer, written).await?, held))
}

fn generate(id: RequestId, request: CompletionRequest) -> model_host::Request {
    model_host::Request {
        id,
        model: request.model,
        prompt: Prompt::Text(request.prompt),
        sampling: request.sampling,
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: domain::Tools::default(),
    }
}

async fn whole(mut answer: GenerationStream, mut written: TextAnswer) -> Result<Response, Refused> {
    while let Some(event) = answer.next().await {
        match event {
            GenerationEvent::Finished { reason, usage } => {
                return Ok(json(StatusCode::OK, written.whole(reason, usage)));
            }
            GenerationEvent::Failed(error) => return Err(ApiError::from(&error).into()),
            other => written.take(&other),
        }
    }
    Err(ApiError::from(&broken_off()).into())
}
