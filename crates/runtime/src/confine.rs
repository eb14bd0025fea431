//! Why: candle, rayon and tokenizers each make threads of their own on first use. This file is where they are told not
//! to, before that first use.
//!
//! * candle's barrier pool reads `CANDLE_NUM_THREADS` once; 1 means it starts no thread.
//! * tokenizers reads `TOKENIZERS_PARALLELISM`; false keeps it off rayon.
//! * rayon's global pool is made by the first parallel call on a thread that belongs to no pool. Each blocking thread
//!   of an owned runtime is therefore made a pool of its own, of one thread: itself.

use std::env;

const WANTED: [(&str, &str); 2] = [
    ("CANDLE_NUM_THREADS", "1"),
    ("TOKENIZERS_PARALLELISM", "false"),
];

/// What was found and set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Variables that were set to something else and were left alone: the process may then have threads beyond ours.
    pub overridden: Vec<(String, String)>,
}

/// Tells the libraries to stay on our threads. Call it first in `main`, before any other thread exists; `run` does.
///
/// A variable that is already set is left as it is, so an app that embeds us may set both itself and then nothing is
/// written here.
pub fn confine() -> Confinement {
    let mut overridden = Vec::new();
    for (name, value) in WANTED {
        match env::var(name) {
            Ok(found) if found == value => {}
            Ok(found) => overridden.push((name.to_owned(), found)),
            Err(_) => set(name, value),
        }
    }
    Confinement { overridden }
}

#[allow(
    unsafe_code,
    reason = "the libraries offer no other switch than the environment"
)]
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that writes the environment"
)]
fn set(name: &str, value: &str) {
    // SAFETY: `run` calls this before it makes any thread. An embedding app that already has threads is told in the
    // documentation to call `confine` first or to set the variables itself; Rust's own readers share a lock with this.
    unsafe { env::set_var(name, value) };
}

/// Makes the calling thread a rayon pool of one, so that parallel iterators run here, in line, and the global pool is
/// never made. Does nothing on a thread that is in a pool already.
pub(crate) fn keep_rayon_here() {
    if rayon::current_thread_index().is_none() {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .use_current_thread()
            .build();
        if let Err(error) = pool {
            tracing::warn!(%error, "rayon could not be confined to this thread");
        }
    }
}
