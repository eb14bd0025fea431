//! What the gateway counts, under the names telemetry gives. The labels are those of the table of routes: a client must not
//! be able to make new ones.

use metrics::{counter, gauge};
use telemetry::names::{HTTP_IN_FLIGHT, HTTP_REQUESTS};

/// A response's head was made, to a request for a path of this label.
pub(crate) fn answered(label: String, status: u16) {
    counter!(HTTP_REQUESTS, "path" => label, "status" => status.to_string()).increment(1);
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
