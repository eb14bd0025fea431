//! Pages of other places that may ask, and read what is answered. None may unless the settings name it.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::guard::allowance::{LIMIT, REMAINING, RESET};

/// How long a browser need not ask again whether it may ask. 10 minutes, so that a changed setting is felt the same day.
const MAX_AGE: Duration = Duration::from_mins(10);

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the official JavaScript client sends of its own accord; `user-agent` is asked for by browsers that let it be set.
const CLIENT: [&str; 15] = [
    "accept",
    "user-agent",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "idempotency-key",
    "x-stainless-arch",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-package-version",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
    "x-stainless-timeout",
    "x-stainless-helper-method",
];

/// What answers for these origins, which were checked; nothing, where there are none.
pub(crate) fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(
            origins
                .iter()
                .filter_map(|one| HeaderValue::from_str(one).ok()),
        )
    };
    let own = [AUTHORIZATION, CONTENT_TYPE, X_REQUEST_ID];
    let headers = own.into_iter().chain(CLIENT.map(HeaderName::from_static));
    let layer = CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(headers.collect::<Vec<_>>())
        .expose_headers([X_REQUEST_ID, RETRY_AFTER, LIMIT, REMAINING, RESET])
        .max_age(MAX_AGE);
    Some(layer)
}
