//! `POST /v1/chat/completions`: a chat goes on, whole or piece by piece; whoever hangs up stops the computing.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::generation::ContextPolicy;
use domain::{GenerationEvent, Prompt, RequestId};
use model_host::GenerationStream;

use crate::answer::chunks::Chunks;
use crate::answer::whole::Whole;
use crate::api::asking::{Asked, Caller, Endpoint, asked};
use crate::api::beginning::{defaults, heading};
use crate::api::ends::broken_off;
use crate::api::streaming::piece_by_piece;
use crate::error::ApiError;
use crate::guard::lasting::lasting;
use crate::http::{Refused, Shared, json};
use crate::request::{ChatRequest, chat_request};

pub(crate) const PATH: &str = "/v1/chat/completions";
const ENDPOINT: Endpoint = Endpoint {
    path: PATH,
    kind: "chatcmpl",
};

pub(crate) async fn chat(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refused> {
    asked(&shared, caller, ENDPOINT, request, answered).await
}

async fn answered(shared: &Arc<Shared>, asked: Asked) -> Result<Response, Refused> {
    let Asked {
        id,
        number,
        body,
        held,
    } = asked;
    let request = chat_request(&body, defaults(shared, number))?;
    shared.must_answer(&request.model)?;
    let heading = heading(shared, &id, &request.model);
    let (streamed, include_usage) = (request.stream, request.include_usage);
    let logprobs = request.sampling.logprobs.is_some();
    let answer = model_host::generate(&shared.deps.host, generate(id, request)).await;
    let answer = answer.map_err(|error| ApiError::from(&error))?;
    if streamed {
        let chunks = Chunks::new(heading, include_usage);
        return piece_by_piece(answer, chunks, shared, held).await;
    }
    let whole = whole(answer, Whole::new(heading, logprobs)).await?;
    Ok(lasting(whole, held))
}

fn generate(id: RequestId, request: ChatRequest) -> model_host::Request {
    model_host::Request {
        id,
        model: request.model,
        prompt: Prompt::Chat(request.messages),
        sampling: request.sampling,
        // The client holds the conversation and decides itself what to leave out.
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: request.tools,
    }
}

async fn whole(mut answer: GenerationStream, mut whole: Whole) -> Result<Response, Refused> {
    while let Some(event) = answer.next().await {
        match event {
            GenerationEvent::Finished { reason, usage } => {
                return Ok(json(StatusCode::OK, whole.json(reason, usage)));
            }
            GenerationEvent::Failed(error) => return Err(ApiError::from(&error).into()),
            other => whole.take(other),
        }
    }
    Err(ApiError::from(&broken_off()).into())
}
