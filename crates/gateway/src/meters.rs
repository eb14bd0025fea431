//! What the gateway counts, under the names telemetry gives. Paths that are not served share one label: a client must
//! not be able to make new ones.

use metrics::{counter, gauge};
use telemetry::names::{HTTP_IN_FLIGHT, HTTP_REQUESTS};

/// The served paths.
const PATHS: [&str; 5] = [
    "/v1/chat/completions",
    "/v1/models",
    "/healthz",
    "/readyz",
    "/metrics",
];

fn label(path: &str) -> &'static str {
    PATHS
        .into_iter()
        .find(|&served| served == path)
        .unwrap_or("other")
}

/// A response's head was made.
pub(crate) fn answered(path: &str, status: u16) {
    counter!(HTTP_REQUESTS, "path" => label(path), "status" => status.to_string()).increment(1);
}

/// A request until the last byte of its answer, or until its client has gone.
pub(crate) struct InFlight(());

impl InFlight {
    pub(crate) fn begin() -> Self {
        gauge!(HTTP_IN_FLIGHT).increment(1.0);
        Self(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(HTTP_IN_FLIGHT).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_make_no_labels() {
        for (path, known) in [
            ("/healthz", "/healthz"),
            ("/v1/chat/completions", "/v1/chat/completions"),
            ("/healthz/1", "other"),
            ("/../etc", "other"),
        ] {
            assert_eq!(label(path), known);
        }
    }
}
