//! What typing counts, under the names telemetry gives.

use metrics::{counter, gauge};
use telemetry::names::{TYPING, TYPING_EDGES, TYPING_REFUSED};

use crate::typists::{Edge, Turned};

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn typing(people: usize) {
    gauge!(TYPING).set(people as f64);
}

pub(crate) fn edge(edge: &Edge) {
    let reason = match edge.what {
        Turned::Began => "began",
        Turned::Ended { cause, .. } => cause.label(),
    };
    counter!(TYPING_EDGES, "reason" => reason).increment(1);
}

pub(crate) fn refused() {
    counter!(TYPING_REFUSED).increment(1);
}
