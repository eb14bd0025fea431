//! A body that is made within its request's span: what is logged while an answer is streamed belongs to the request, and the
//! span lasts as long as the answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tracing::Span;

struct Spanned {
    body: Body,
    span: Span,
}

/// The same response.
pub(crate) fn spanned(response: Response, span: Span) -> Response {
    if span.is_disabled() {
        return response;
    }
    response.map(|body| Body::new(Spanned { body, span }))
}

impl HttpBody for Spanned {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, span } = &mut *self;
        span.in_scope(|| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
