//! What each path does, one function for each route of the table.

use utoipa::ToSchema;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, Ref, Required, ResponseBuilder};

use super::{BEARER, answers, chat, requests};

const JSON: &str = "application/json";
const STREAM: &str = "text/event-stream";

/// What every path may refuse with.
const ALWAYS: &[u16] = &[401, 403];
/// What paths that take a body may refuse with.
const BODY: &[u16] = &[400, 408, 413, 415];
/// What paths that compute may refuse or fail with.
const COMPUTES: &[u16] = &[404, 429, 499, 500, 503];

pub(crate) fn chat() -> Operation {
    let answer = described("The answer, or its pieces if \"stream\" is true")
        .content(JSON, reference::<answers::ChatCompletion>())
        .content(STREAM, reference::<answers::ChatChunk>());
    let operation = asked("create_chat_completion", "Goes on with a chat.");
    let operation = taking::<chat::ChatRequest>(operation, Required::True);
    refusing(operation.response("200", answer), &[BODY, COMPUTES])
}

pub(crate) fn completions() -> Operation {
    let answer = described("The text, or its pieces if \"stream\" is true")
        .content(JSON, reference::<answers::TextCompletion>())
        .content(STREAM, reference::<answers::TextCompletion>());
    let operation = asked("create_completion", "Goes on with a text as it is.");
    let operation = taking::<requests::CompletionRequest>(operation, Required::True);
    refusing(operation.response("200", answer), &[BODY, COMPUTES])
}

pub(crate) fn embeddings() -> Operation {
    let answer = answered::<answers::Embeddings>("The vectors");
    let operation = asked(
        "create_embedding",
        "Says what texts mean, as vectors of length 1.",
    );
    let operation = taking::<requests::EmbeddingRequest>(operation, Required::True);
    refusing(operation.response("200", answer), &[BODY, COMPUTES])
}

pub(crate) fn models() -> Operation {
    let operation = asked("list_models", "The models that are here.");
    refusing(
        operation.response("200", answered::<answers::Models>("The models")),
        &[],
    )
}

pub(crate) fn model() -> Operation {
    let operation = asked("retrieve_model", "One of the models that are here.").parameter(
        named_in_path("model", "Its name, which may have slashes, encoded or not."),
    );
    refusing(
        operation.response("200", answered::<answers::Model>("The model")),
        &[&[404]],
    )
}

pub(crate) fn cancel() -> Operation {
    let operation = asked(
        "cancel_request",
        "Ends the answers of that name, which is what x-request-id says or an answer's own id; compute stops within one \
         step. A name that several bear means all of them.",
    )
    .parameter(named_in_path("id", "What the request or its answer is called."));
    let operation = taking::<requests::Nothing>(operation, Required::False);
    let answer = answered::<answers::Cancellation>("It was told to end");
    refusing(operation.response("200", answer), &[BODY, &[404]])
}

pub(crate) fn openapi() -> Operation {
    let content = Content::new(Some(Object::with_type(Type::Object)));
    let document = described("The document").content(JSON, content);
    refusing(
        asked("openapi", "This document.").response("200", document),
        &[],
    )
}

pub(crate) fn healthz() -> Operation {
    // Anyone may ask this.
    let operation =
        named("healthz", "Whether the server lives.").security(SecurityRequirement::default());
    operation
        .response("200", answered::<answers::Health>("It lives"))
        .build()
}

pub(crate) fn readyz() -> Operation {
    let operation = asked(
        "readyz",
        "Whether a request for the default model would be answered now.",
    )
    .response("200", answered::<answers::Readiness>("It would"))
    .response(
        "503",
        answered::<answers::Readiness>("It would not, and why"),
    );
    refusing(operation, &[])
}

pub(crate) fn metrics() -> Operation {
    let text = Content::new(Some(Object::with_type(Type::String)));
    let metrics =
        described("Prometheus text").content("text/plain; version=0.0.4; charset=utf-8", text);
    refusing(
        asked("metrics", "What the server counts.").response("200", metrics),
        &[],
    )
}

fn named(id: &str, summary: &str) -> OperationBuilder {
    let name = ObjectBuilder::new().schema_type(Type::String);
    let name = ParameterBuilder::new()
        .name("x-request-id")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The request's name, which every response repeats: at most 128 visible ASCII characters. Any other is replaced.",
        ))
        .schema(Some(name));
    OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some(summary))
        .parameter(name)
}

/// Behind the guards.
fn asked(id: &str, summary: &str) -> OperationBuilder {
    // Either: on loopback no token may be needed.
    named(id, summary)
        .security(SecurityRequirement::default())
        .security(SecurityRequirement::new(BEARER, [""; 0]))
}

fn named_in_path(name: &str, description: &str) -> ParameterBuilder {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1));
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
}

fn taking<T: ToSchema>(operation: OperationBuilder, required: Required) -> OperationBuilder {
    let body = RequestBodyBuilder::new()
        .content(JSON, reference::<T>())
        .required(Some(required));
    operation.request_body(Some(body.build()))
}

fn described(description: &str) -> ResponseBuilder {
    ResponseBuilder::new().description(description)
}

fn answered<T: ToSchema>(description: &str) -> ResponseBuilder {
    described(description).content(JSON, reference::<T>())
}

fn reference<T: ToSchema>() -> Content {
    Content::new(Some(Ref::from_schema_name(T::name())))
}

fn refusing(operation: OperationBuilder, statuses: &[&[u16]]) -> Operation {
    let all = statuses
        .iter()
        .chain([&ALWAYS])
        .flat_map(|some| some.iter());
    let refused = |operation: OperationBuilder, status: &u16| {
        operation.response(status.to_string(), refusal(*status))
    };
    all.fold(operation, refused).build()
}

fn refusal(status: u16) -> ResponseBuilder {
    let refusal = answered::<answers::Error>(match status {
        400 => "A field, or the whole body, is not as it must be",
        401 => "The token is missing or not known",
        403 => "The request names, or comes from, another place",
        404 => "What is named is not here",
        408 => "The body did not arrive in time",
        413 => "The body is over the limit",
        415 => "The body does not say that it is JSON",
        429 => "Too many are waiting",
        499 => "Somebody cancelled it",
        500 => "The model failed",
        _ => "Not now",
    });
    if !matches!(status, 429 | 503) {
        return refusal;
    }
    let seconds = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1));
    let when = HeaderBuilder::new()
        .schema(Some(seconds))
        .description(Some("When it is worth trying again, in seconds"));
    refusal.header("Retry-After", when.build())
}
