//! What monitors ask: alive, ready, how much. None of it is activity.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use model_host::Status;
use tokio::time::timeout;

use crate::http::{Shared, json};
use crate::readiness::Readiness;

pub(crate) async fn healthz() -> Response {
    json(StatusCode::OK, r#"{"status":"ok"}"#.into())
}

pub(crate) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let model = &shared.config.default_model;
    let probe_time = shared.config.limits.probe_time;
    let (status, checked) =
        tokio::join!(shared.deps.host.ask(Status, probe_time), checked(&shared));
    let mut readiness = match status {
        Ok(status) => {
            let here = shared.has_default().await;
            Readiness::of(model, &status, here, shared.config.max_models)
        }
        Err(error) => Readiness::unknown(model, error.to_string()),
    };
    for (part, reason) in checked {
        readiness = readiness.hindered(part, reason);
    }
    if shared.deps.serving.is_draining() {
        let reason = "nothing new is taken until this process has ended; answers under way go on";
        readiness = readiness.hindered("server", reason.to_owned());
    }
    let status = if readiness.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(
        status,
        serde_json::to_string(&readiness).unwrap_or_default(),
    )
}

/// The parts that are not well, and why. One that hangs is not waited for longer than a probe may take.
async fn checked(shared: &Shared) -> Vec<(&'static str, String)> {
    let limit = shared.config.limits.probe_time;
    let asked = shared.deps.checks.iter().map(|check| async move {
        let unwell = match timeout(limit, (check.ask)()).await {
            Ok(well) => well.err(),
            Err(_) => Some(format!("it did not answer within {} ms", limit.as_millis())),
        };
        unwell.map(|reason| (check.part, reason))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// What was recorded, and behind it what the actors of the tree do. Supervisors are asked, never actors, so that a busy one
/// is not disturbed; one that does not answer is left out.
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let administration = shared.context.administration();
    let vitals = administration.vitals(shared.config.limits.probe_time).await;
    let mut text = (shared.deps.metrics)();
    text.push_str(&vitals.to_prometheus());
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, text).into_response()
}
