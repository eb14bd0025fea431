//! What is served: one table, from which the router is made, metrics are labelled and `/openapi.json` is written. So none of
//! them can know a path that the others do not.

use std::sync::Arc;

use axum::Router;
use axum::extract::MatchedPath;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{self, MethodRouter};
use utoipa::openapi::path::Operation;

use crate::api::{cancel, chat, completions, embeddings, models, openapi, probes};
use crate::document::operations;
use crate::http::Shared;
use crate::{page, ws};

/// One path, for one method.
pub(crate) struct Route {
    /// What it is asked with.
    pub(crate) method: Method,
    /// What the document says of it.
    pub(crate) operation: fn() -> Operation,
    /// As axum reads it.
    pattern: &'static str,
    handler: MethodRouter<Arc<Shared>>,
}

impl Route {
    fn get<T: 'static>(
        pattern: &'static str,
        handler: impl Handler<T, Arc<Shared>>,
        operation: fn() -> Operation,
    ) -> Self {
        Self {
            method: Method::GET,
            operation,
            pattern,
            handler: routing::get(handler),
        }
    }

    fn post<T: 'static>(
        pattern: &'static str,
        handler: impl Handler<T, Arc<Shared>>,
        operation: fn() -> Operation,
    ) -> Self {
        Self {
            method: Method::POST,
            operation,
            pattern,
            handler: routing::post(handler),
        }
    }

    /// Its path as people and the document write it.
    pub(crate) fn path(&self) -> String {
        written(self.pattern)
    }
}

/// All that is served.
pub(crate) fn routes() -> Vec<Route> {
    use operations as o;
    vec![
        Route::post(chat::PATH, chat::chat, o::chat),
        Route::post(completions::PATH, completions::completions, o::completions),
        Route::post(embeddings::PATH, embeddings::embeddings, o::embeddings),
        Route::get("/v1/models", models::models, o::models),
        Route::get("/v1/models/{*model}", models::model, o::model),
        Route::post(cancel::PATH, cancel::cancel, o::cancel),
        Route::get(openapi::PATH, openapi::openapi, o::openapi),
        Route::get("/healthz", probes::healthz, o::healthz),
        Route::get("/readyz", probes::readyz, o::readyz),
        Route::get("/metrics", probes::metrics, o::metrics),
    ]
}

/// The routes, without what stands before them. Those that are `live` are no part of the API, and the document is silent
/// about them.
pub(crate) fn router(live: bool) -> Router<Arc<Shared>> {
    let router = routes().into_iter().fold(Router::new(), |router, route| {
        router.route(route.pattern, route.handler)
    });
    if !live {
        return router;
    }
    router
        .route(ws::PATH, routing::get(ws::ws))
        .route(page::ROOT, routing::get(page::root))
        .route(page::PART, routing::get(page::part))
}

/// What metrics call the path of a request: its pattern. Clients make no labels: what is not served shares one.
pub(crate) fn label(matched: Option<&MatchedPath>) -> String {
    matched.map_or_else(|| "other".to_owned(), |path| written(path.as_str()))
}

/// `{*rest}` is how axum writes a part that may have slashes in it.
fn written(pattern: &str) -> String {
    pattern.replace("{*", "{")
}
