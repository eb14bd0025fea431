//! What is served: one table, from which the router is made, metrics are labelled and `/openapi.json` is written. So none of
//! them can know a path that the others do not.

use std::sync::Arc;

use axum::Router;
use axum::extract::MatchedPath;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{self, MethodRouter};

use crate::api::{cancel, chat, completions, embeddings, models, probes};
use crate::http::Shared;

/// One path, for one method.
pub(crate) struct Route {
    /// What it is asked with.
    pub(crate) method: Method,
    /// As axum reads it.
    pattern: &'static str,
    handler: MethodRouter<Arc<Shared>>,
}

impl Route {
    fn get<T: 'static>(pattern: &'static str, handler: impl Handler<T, Arc<Shared>>) -> Self {
        Self {
            method: Method::GET,
            pattern,
            handler: routing::get(handler),
        }
    }

    fn post<T: 'static>(pattern: &'static str, handler: impl Handler<T, Arc<Shared>>) -> Self {
        Self {
            method: Method::POST,
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
    vec![
        Route::post(chat::PATH, chat::chat),
        Route::post(completions::PATH, completions::completions),
        Route::post(embeddings::PATH, embeddings::embeddings),
        Route::get("/v1/models", models::models),
        Route::get("/v1/models/{*model}", models::model),
        Route::post(cancel::PATH, cancel::cancel),
        Route::get("/healthz", probes::healthz),
        Route::get("/readyz", probes::readyz),
        Route::get("/metrics", probes::metrics),
    ]
}

/// The routes, without what stands before them.
pub(crate) fn router() -> Router<Arc<Shared>> {
    routes().into_iter().fold(Router::new(), |router, route| {
        router.route(route.pattern, route.handler)
    })
}

/// What metrics call the path of a request: its pattern. Clients make no labels: what is not served shares one.
pub(crate) fn label(matched: Option<&MatchedPath>) -> String {
    matched.map_or_else(|| "other".to_owned(), |path| written(path.as_str()))
}

/// `{*rest}` is how axum writes a part that may have slashes in it.
fn written(pattern: &str) -> String {
    pattern.replace("{*", "{")
}
