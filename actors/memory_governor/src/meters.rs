//! What the governor counts, under the names telemetry gives.

use domain::Bytes;
use metrics::{counter, gauge};

pub use telemetry::names::{LEASED_BYTES, LEASES_REFUSED, LIMIT_BYTES};

pub(crate) fn show(limit: Bytes, leased: Bytes) {
    gauge!(LIMIT_BYTES).set(limit.0 as f64);
    gauge!(LEASED_BYTES).set(leased.0 as f64);
}

pub(crate) fn refused() {
    counter!(LEASES_REFUSED).increment(1);
}
