//! What the janitor counts, under the names telemetry gives.

use metrics::{counter, histogram};

pub use telemetry::names::{CACHE_FREED_BYTES, CACHE_SWEEP_SECONDS, CACHE_SWEPT, CACHE_UNANSWERED};

use crate::sweeps::{Ending, Sweep};

pub(crate) fn swept(sweep: &Sweep) {
    let cache = sweep.cache.clone();
    match sweep.ending {
        Ending::Swept(swept) => {
            counter!(CACHE_SWEPT, "cache" => cache.clone()).increment(swept.swept as u64);
            counter!(CACHE_FREED_BYTES, "cache" => cache.clone()).increment(swept.freed_bytes.0);
            histogram!(CACHE_SWEEP_SECONDS, "cache" => cache).record(sweep.took.as_secs_f64());
        }
        Ending::Dropped | Ending::Silent | Ending::Full => {
            counter!(CACHE_UNANSWERED, "cache" => cache).increment(1);
        }
    }
}
