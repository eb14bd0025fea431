//! The routes, what handlers share, and how refusals become responses. Every response carries `x-request-id`.

use std::sync::{Arc, OnceLock};
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use domain::{ModelName, RequestId};
use supervision::{TURN, TaskContext};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::config::{GatewayConfig, GatewayDeps};
use crate::error::ApiError;
use crate::guard::cors;
use crate::guard::door::{Door, admitted};
use crate::guard::spanned::spanned;
use crate::ids::Ids;
use crate::meters::{self, InFlight};
use crate::routes;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What handlers share for one life of the listener.
pub(crate) struct Shared {
    pub(crate) config: GatewayConfig,
    pub(crate) deps: GatewayDeps,
    pub(crate) context: TaskContext,
    pub(crate) ids: Ids,
    /// When this life began, in seconds since 1970.
    pub(crate) started: u64,
    /// The stop does not wait any longer: every answer says its last word.
    pub(crate) ending: CancellationToken,
    /// What is served, described; made when it is first asked for.
    pub(crate) document: OnceLock<String>,
    /// Who is let in.
    pub(crate) door: Arc<Door>,
    slots: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new(config: GatewayConfig, deps: GatewayDeps, context: TaskContext) -> Self {
        let now = (deps.clock)()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            door: Arc::new(Door::new(&config, deps.live.is_some(), Instant::now())),
            slots: Arc::new(Semaphore::new(config.limits.answers)),
            ids: Ids::new(u64::try_from(now.as_micros()).unwrap_or(u64::MAX)),
            started: now.as_secs(),
            ending: deps.serving.last_words().child_token(),
            document: OnceLock::new(),
            config,
            deps,
            context,
        }
    }

    /// Whether requests for an answer may name this model: no other name ever reaches the disk.
    ///
    /// # Errors
    /// 400 for one that only embeds, 404 for one that is not listed.
    pub(crate) fn must_answer(&self, model: &ModelName) -> Result<(), ApiError> {
        if *model == self.config.default_model || (self.deps.models)().contains(model) {
            return Ok(());
        }
        if (self.deps.embedders)().contains(model) {
            return Err(ApiError::only_embeds(model.as_str()));
        }
        Err(ApiError::no_such_model(model.as_str()))
    }

    /// The embedding model that is asked for, or the first where none is named.
    ///
    /// # Errors
    /// 400 for one that only answers, 404 for one that is not listed, or where there is none.
    pub(crate) fn embedder(&self, model: Option<ModelName>) -> Result<ModelName, ApiError> {
        let embedders = (self.deps.embedders)();
        let Some(model) = model else {
            return embedders
                .into_iter()
                .next()
                .ok_or_else(ApiError::no_embedder);
        };
        if embedders.contains(&model) {
            return Ok(model);
        }
        if self.must_answer(&model).is_ok() {
            return Err(ApiError::only_answers(model.as_str()));
        }
        Err(ApiError::no_such_model(model.as_str()))
    }

    /// The models that are here. A default one that is a path is served under itself.
    pub(crate) async fn listed(&self) -> Vec<ModelName> {
        let mut names = (self.deps.models)();
        let default = &self.config.default_model;
        if !names.contains(default) && self.has_default().await {
            names.insert(0, default.clone());
        }
        names.extend((self.deps.embedders)());
        names
    }

    /// Whether the default model is one of those that are here, or the path of a file.
    pub(crate) async fn has_default(&self) -> bool {
        let model = &self.config.default_model;
        if (self.deps.models)().contains(model) {
            return true;
        }
        let file = tokio::fs::metadata(model.as_str()).await;
        file.is_ok_and(|file| file.is_file())
    }

    /// One of the answers at once.
    pub(crate) fn slot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        slot.map_err(|_| ApiError::too_many(self.config.limits.answers))
    }
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let cors = cors::layer(&shared.config.access.cors_origins);
    let routes = routes::router(shared.deps.live.is_some())
        .method_not_allowed_fallback(async |method: Method| {
            Refused(ApiError::method_not_allowed(method.as_str()))
        })
        .fallback(async |uri: Uri| Refused(ApiError::no_such_path(uri.path())))
        .layer(DefaultBodyLimit::max(shared.config.limits.body_bytes))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            admitted,
        ));
    // Outside, because a browser asks whether it may ask without its token.
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), named))
        .with_state(shared)
}

/// Gives each request a name, and its response the same; counts both.
async fn named(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let offered = request
        .headers()
        .get(X_REQUEST_ID)
        .map(HeaderValue::as_bytes);
    let name = shared.ids.request(offered, shared.ids.number());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let label = routes::label(request.extensions().get::<MatchedPath>());
    request.extensions_mut().insert(RequestId::new(&name));
    let in_flight = Arc::new(InFlight::begin(label.clone(), Instant::now()));
    request.extensions_mut().insert(Arc::clone(&in_flight));
    let span = span(&name, &method, &label);
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    meters::answered(label, status);
    span.record("http.response.status_code", status);
    span.in_scope(|| tracing::debug!(%method, path, status, "answered"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(X_REQUEST_ID, name);
    }
    spanned(response, span)
}

/// All that is done for one request is within it. Field names by OpenTelemetry's semantic conventions for HTTP; the path is
/// not among them, since a client may write anything there.
fn span(name: &str, method: &Method, route: &str) -> Span {
    tracing::error_span!(
        target: TURN,
        "request",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        request_id = name,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = Empty,
    )
}

/// A refusal on its way to the client.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) ApiError);

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status);
        let mut response = json(
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            self.0.json(),
        );
        if let Some(seconds) = self.0.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if self.0.status == 401 {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

pub(crate) fn json(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}
