//! Shell: streamable HTTP, over the HTTP client that fetches models, too. rmcp knows another release of it, and two would be
//! two copies of one stack.
//!
//! Invariants: nothing is followed to another address, no answer and no event is longer than its limit, and nothing is ever
//! sent twice.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use reqwest::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::{
    AuthRequiredError, HttpStatusError, SseError, StreamableHttpClient,
    StreamableHttpClientTransportConfig, StreamableHttpError, StreamableHttpPostResponse,
    StreamableHttpResponseLimits,
};
use sse_stream::{Sse, SseStream};

use crate::answer::chain;
use crate::config::{ServerConfig, Transport};
use crate::event_size::EventSize;

const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";
const SESSION: &str = "mcp-session-id";
const LAST_EVENT: &str = "last-event-id";
/// How long a connection may take to come about. 10 s: a host that is up answers in one.
const CONNECT: Duration = Duration::from_secs(10);
/// How much of an error page is read, in bytes, for its first words.
const DIAGNOSTIC: usize = 500;

type Failure = StreamableHttpError<HttpError>;
type Headers = HashMap<HeaderName, HeaderValue>;
type Events = BoxStream<'static, Result<Sse, SseError>>;

/// What the HTTP client says, without the address: that may hold secrets.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct HttpError {
    text: String,
    /// Nothing was sent.
    was_before: bool,
}

fn failure(error: reqwest::Error) -> Failure {
    let was_before = error.is_connect() || error.is_builder();
    let text = chain(&error.without_url());
    StreamableHttpError::Client(HttpError { text, was_before })
}

/// The way to a server that is there already.
pub(crate) fn transport(
    config: &ServerConfig,
) -> Result<StreamableHttpClientTransport<HttpClient>, String> {
    let Transport::Http { url, headers } = &config.transport else {
        return Err("it has no address".to_owned());
    };
    let client = Client::builder()
        .connect_timeout(CONNECT)
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|error| format!("there is no HTTP client: {}", chain(&error)))?;
    let mut to = StreamableHttpClientTransportConfig::with_uri(url.as_str());
    for (name, value) in headers {
        let pair = HeaderName::try_from(name)
            .ok()
            .zip(HeaderValue::try_from(value).ok());
        to.custom_headers.extend(pair);
    }
    to.max_sse_event_size = config.max_message_bytes;
    to.max_json_response_size = config.max_message_bytes;
    to.max_error_response_size = DIAGNOSTIC;
    // It would send a call again that the server has refused for its session: who asks decides that.
    to.reinit_on_expired_session = false;
    Ok(StreamableHttpClientTransport::with_client(
        HttpClient(client),
        to,
    ))
}

/// Whether the server certainly did nothing: it was not reached, or refused by its status.
pub(crate) fn refused(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<Failure>() {
        Some(StreamableHttpError::Client(error)) => error.was_before,
        Some(
            StreamableHttpError::AuthRequired(_)
            | StreamableHttpError::InsufficientScope(_)
            | StreamableHttpError::SessionExpired,
        ) => true,
        Some(StreamableHttpError::HttpStatus(error)) => error.status == 429,
        _ => false,
    }
}

/// The HTTP client, as rmcp wants it.
#[derive(Clone)]
pub(crate) struct HttpClient(Client);

impl HttpClient {
    async fn send(
        request: RequestBuilder,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<Response, Failure> {
        let mut request = request.header(ACCEPT, format!("{EVENTS}, {JSON}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(session) = session {
            request = request.header(SESSION, session.as_ref());
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(failure)?;
        if matches!(
            response.status(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) {
            let challenge = response.headers().get(WWW_AUTHENTICATE);
            let challenge = challenge.and_then(|value| value.to_str().ok());
            let challenge = challenge
                .unwrap_or("set its Authorization header")
                .to_owned();
            let error = AuthRequiredError::new(challenge);
            return Err(StreamableHttpError::AuthRequired(error));
        }
        Ok(response)
    }

    async fn post(
        &self,
        to: &str,
        message: &ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let body = serde_json::to_vec(message)?;
        let request = self.0.post(to).header(CONTENT_TYPE, JSON).body(body);
        let had_session = session.is_some();
        let response = Self::send(request, session, token, headers).await?;
        let status = response.status();
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if status == StatusCode::NOT_FOUND && had_session {
            return Err(StreamableHttpError::SessionExpired);
        }
        let session = response.headers().get(SESSION);
        let session = session.and_then(|value| value.to_str().ok());
        let session = session.map(str::to_owned);
        let kind = kind(&response);
        let is_answer = matches!(message, ClientJsonRpcMessage::Request(_));
        if !status.is_success() {
            return rejected(response, status, kind == JSON, limits).await;
        }
        match kind.as_str() {
            EVENTS => {
                let events = events(response, limits.max_sse_event_size);
                Ok(StreamableHttpPostResponse::Sse(events, session))
            }
            JSON if is_answer => {
                let body = read(response, limits.max_json_response_size).await?;
                let message = serde_json::from_slice(&body)?;
                Ok(StreamableHttpPostResponse::Json(message, session))
            }
            _ if !is_answer => Ok(StreamableHttpPostResponse::Accepted),
            _ => Err(StreamableHttpError::UnexpectedContentType(Some(kind))),
        }
    }
}

/// A refusal may be a message of the protocol, which names what is wrong.
async fn rejected(
    response: Response,
    status: StatusCode,
    is_json: bool,
    limits: StreamableHttpResponseLimits,
) -> Result<StreamableHttpPostResponse, Failure> {
    if is_json {
        let body = read(response, limits.max_json_response_size).await?;
        if let Ok(message @ ServerJsonRpcMessage::Error(_)) = serde_json::from_slice(&body) {
            return Ok(StreamableHttpPostResponse::Json(message, None));
        }
    }
    Err(HttpStatusError::new(status.as_u16(), None).into())
}

/// The media type, without its parameters.
fn kind(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = text.split(';').next().unwrap_or("");
    kind.trim().to_ascii_lowercase()
}

async fn read(mut response: Response, max_size: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        if body.len() + chunk.len() > max_size {
            return Err(StreamableHttpError::ResponseBodyTooLarge { max_size });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn events(response: Response, max_bytes: usize) -> Events {
    let mut size = EventSize::new(max_bytes);
    let bounded = response.bytes_stream().map(move |chunk| match chunk {
        Ok(chunk) => size
            .take(&chunk)
            .map(|()| chunk)
            .map_err(std::io::Error::other),
        Err(error) => Err(std::io::Error::other(error.without_url())),
    });
    SseStream::from_bytes_stream(bounded).boxed()
}

impl StreamableHttpClient for HttpClient {
    type Error = HttpError;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let limits = StreamableHttpResponseLimits::default();
        self.post(
            &uri,
            &message,
            session_id,
            auth_header,
            custom_headers,
            limits,
        )
        .await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        self.post(
            &uri,
            &message,
            session_id,
            auth_header,
            custom_headers,
            limits,
        )
        .await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<(), Failure> {
        let request = self.0.delete(uri.as_ref());
        // A server may not know that; the session is left either way.
        Self::send(request, Some(session_id), auth_header, custom_headers).await?;
        Ok(())
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<Events, Failure> {
        let max = StreamableHttpResponseLimits::default().max_sse_event_size;
        self.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            max,
        )
        .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<Events, Failure> {
        let mut request = self.0.get(uri.as_ref());
        if let Some(id) = last_event_id {
            request = request.header(LAST_EVENT, id);
        }
        let response = Self::send(request, session_id, auth_header, custom_headers).await?;
        let status = response.status();
        if status == StatusCode::METHOD_NOT_ALLOWED {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        if !status.is_success() {
            return Err(HttpStatusError::new(status.as_u16(), None).into());
        }
        let kind = kind(&response);
        if kind != EVENTS {
            return Err(StreamableHttpError::UnexpectedContentType(Some(kind)));
        }
        Ok(events(response, max_sse_event_size))
    }
}
