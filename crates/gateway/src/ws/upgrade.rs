//! How a request says that it would go on as a WebSocket (RFC 6455, 4.2), what it hears if it says it wrong, and how the bare
//! socket comes out of what HTTP was spoken through.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::error::ApiError;
use crate::guard::counted::Counted;
use crate::guard::hangup;
use crate::guard::patience::Patient;
use crate::http::Refused;

/// What HTTP is spoken through. Of a socket that lasts for hours each part of it would be memory, and a detour for every byte.
pub(crate) type Line = Patient<tokio::io::Join<HttpReader, Counted<OwnedWriteHalf>>>;
/// Its reading side.
pub(crate) type HttpReader = hangup::Reader<Counted<OwnedReadHalf>>;

/// The socket alone, and what was read from it already; nothing if it was something else.
pub(crate) fn bare(upgraded: Upgraded) -> Option<(TcpStream, Vec<u8>)> {
    let parts = upgraded.downcast::<TokioIo<Line>>().ok()?;
    let (reader, writer) = parts.io.into_inner().into_inner().into_inner();
    let (reader, mut ahead) = reader.into_inner()?;
    let stream = reader.into_inner().reunite(writer.into_inner()).ok()?;
    // Hyper took its part first.
    let mut read = parts.read_buf.to_vec();
    read.append(&mut ahead);
    Some((stream, read))
}

/// Where a handler leaves the socket that will be, for whoever serves the connection: the task that owns it.
#[derive(Clone, Default)]
pub(crate) struct Promise(Arc<Mutex<Option<OnUpgrade>>>);

impl Promise {
    pub(crate) fn keep(&self, upgraded: OnUpgrade) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgraded);
    }

    /// The socket, if the connection was upgraded.
    pub(crate) fn take(&self) -> Option<OnUpgrade> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take()
    }
}

/// The answer to a request that is an upgrade.
///
/// # Errors
/// What is missing, in words.
pub(crate) fn accepted(request: &Request) -> Result<Response, String> {
    create_response_with_body(request, Body::empty).map_err(|error| match error {
        Error::Protocol(what) => what.to_string(),
        other => other.to_string(),
    })
}

/// 426, with what to ask for (RFC 9110, 15.5.22).
pub(crate) fn not_an_upgrade(why: &str) -> Response {
    let mut response = Refused(ApiError::upgrade_required(why)).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (UPGRADE, "websocket"),
        (CONNECTION, "upgrade"),
        (SEC_WEBSOCKET_VERSION, "13"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::http::header::SEC_WEBSOCKET_ACCEPT;

    use super::*;

    /// The example of RFC 6455, 1.3.
    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn request(change: (&str, Option<&str>)) -> Request {
        let mut builder = axum::http::Request::builder().uri("/ws");
        for (name, value) in GOOD {
            let value = if name == change.0 {
                change.1
            } else {
                Some(value)
            };
            if let Some(value) = value {
                builder = builder.header(name, value);
            }
        }
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn the_answer_is_that_of_the_standard() {
        let answer = accepted(&request(("", None))).unwrap();
        assert_eq!(answer.status(), 101);
        let accept = &answer.headers()[SEC_WEBSOCKET_ACCEPT];
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_missing_is_said() {
        for change in [
            ("connection", None),
            ("connection", Some("close")),
            ("upgrade", None),
            ("upgrade", Some("h2c")),
            ("sec-websocket-version", None),
            ("sec-websocket-version", Some("8")),
            ("sec-websocket-key", None),
            ("sec-websocket-key", Some("short")),
        ] {
            let why = accepted(&request(change)).unwrap_err();
            let refused = not_an_upgrade(&why);
            assert_eq!(refused.status(), 426, "{change:?}");
            assert_eq!(refused.headers()[UPGRADE], "websocket", "{why}");
            assert_eq!(refused.headers()[SEC_WEBSOCKET_VERSION], "13");
        }
    }
}
