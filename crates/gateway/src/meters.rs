//! What the gateway counts, under the names telemetry gives. The labels are those of the table of routes: a client must not
//! be able to make new ones.

use metrics::{counter, gauge, histogram};
use telemetry::names::{
    HTTP_CONNECTIONS, HTTP_CONNECTIONS_LIMIT, HTTP_CONNECTIONS_REFUSED, HTTP_IN_FLIGHT,
    HTTP_REQUESTS, HTTP_SECONDS,
};
use tokio::time::Instant;

use crate::guard::seats::NoSeat;

/// A response's head was made, to a request for a path of this label.
pub(crate) fn answered(label: String, status: u16) {
    counter!(HTTP_REQUESTS, "path" => label, "status" => status.to_string()).increment(1);
}

/// Connections that may be open from now on.
pub(crate) fn connections_limited(limit: usize) {
    #[allow(
        clippy::cast_precision_loss,
        reason = "no machine has 2^53 connections"
    )]
    gauge!(HTTP_CONNECTIONS_LIMIT).set(limit as f64);
}

/// There was no seat for one.
pub(crate) fn connection_refused(why: &NoSeat) {
    let reason = match why {
        NoSeat::Full(_) => "full",
        NoSeat::Silent(_) => "silent",
    };
    counter!(HTTP_CONNECTIONS_REFUSED, "reason" => reason).increment(1);
}

/// A request until the last byte of its answer, or until its client has gone.
pub(crate) struct InFlight {
    label: String,
    begun: Instant,
}

impl InFlight {
    /// `label` is that of its path.
    pub(crate) fn begin(label: String, begun: Instant) -> Self {
        gauge!(HTTP_IN_FLIGHT).increment(1.0);
        Self { label, begun }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(HTTP_IN_FLIGHT).decrement(1.0);
        let label = std::mem::take(&mut self.label);
        histogram!(HTTP_SECONDS, "path" => label).record(self.begun.elapsed());
    }
}

/// An open connection while it lives. It is idle until [`Connection::answers`] says otherwise.
pub(crate) struct Connection(());

impl Connection {
    pub(crate) fn begin() -> Self {
        gauge!(HTTP_CONNECTIONS, "state" => "answering").increment(0.0);
        gauge!(HTTP_CONNECTIONS, "state" => "idle").increment(1.0);
        Self(())
    }

    /// The first of its answers begins.
    pub(crate) fn answers() {
        gauge!(HTTP_CONNECTIONS, "state" => "idle").decrement(1.0);
        gauge!(HTTP_CONNECTIONS, "state" => "answering").increment(1.0);
    }

    /// The last of its answers has ended.
    pub(crate) fn idles() {
        gauge!(HTTP_CONNECTIONS, "state" => "answering").decrement(1.0);
        gauge!(HTTP_CONNECTIONS, "state" => "idle").increment(1.0);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        gauge!(HTTP_CONNECTIONS, "state" => "idle").decrement(1.0);
    }
}
