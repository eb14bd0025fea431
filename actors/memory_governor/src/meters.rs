//! What the governor counts, under the names telemetry gives.

use metrics::{counter, gauge};

pub use telemetry::names::{
    IN_USE, LEASED_BYTES, LEASES_REFUSED, LIMIT_BYTES, PRESSURE, RESERVATIONS_WAITING,
};

use crate::book::Totals;

pub(crate) fn show(totals: &Totals) {
    gauge!(LIMIT_BYTES).set(totals.limit.0 as f64);
    gauge!(LEASED_BYTES).set(totals.leased.0 as f64);
    gauge!(RESERVATIONS_WAITING).set(totals.waiting as f64);
    gauge!(PRESSURE).set(f64::from(totals.pressure.level.rank()));
    for (source, fill) in &totals.fills {
        gauge!(IN_USE, "of" => source.as_str()).set(f64::from(fill.share().0) / 1000.0);
    }
}

pub(crate) fn refused() {
    counter!(LEASES_REFUSED).increment(1);
}
