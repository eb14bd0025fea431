//! Why: candle, rayon and tokenizers each make threads of their own on first use. This file is where they are told not
//! to, before that first use.
//!
//! * candle's barrier pool reads `CANDLE_NUM_THREADS` once; 1 means it starts no thread.
//! * tokenizers reads `TOKENIZERS_PARALLELISM`; false keeps it off rayon.
//! * rayon's global pool is made by the first parallel call on a thread that belongs to no pool. Each blocking thread
//!   of an owned runtime is therefore made a pool of its own, of one thread: itself.

use std::env;

use crate::allocator::give_back_large_blocks;
use crate::census::tasks;

const WANTED: [(&str, &str); 2] = [
    ("CANDLE_NUM_THREADS", "1"),
    ("TOKENIZERS_PARALLELISM", "false"),
];

/// What the libraries will read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Variables that were set to something else and were left alone: the process may then have threads beyond ours.
    pub overridden: Vec<(String, String)>,
    /// Variables that are not set and could not be, because other threads existed already. The same follows.
    pub missing: Vec<&'static str>,
}

impl Confinement {
    /// Whether the libraries stay on our threads.
    pub fn is_complete(&self) -> bool {
        self.overridden.is_empty() && self.missing.is_empty()
    }
}

/// Tells the libraries to stay on our threads, and the allocator to give back large blocks. Call it first in `main`,
/// before any other thread exists; `run` does.
///
/// A variable that is already set is left as it is. While the process has other threads nothing is written, because
/// one of them might be reading the environment; what is then missing is in the answer.
pub fn confine() -> Confinement {
    give_back_large_blocks();
    // Where there is no `/proc` the count is 0, and the sentence above is all there is.
    let alone = tasks().len() <= 1;
    let mut confinement = look();
    if alone {
        for (name, value) in WANTED {
            if confinement.missing.contains(&name) {
                set(name, value);
            }
        }
        confinement.missing.clear();
    }
    confinement
}

/// What the libraries would read now. Writes nothing.
pub(crate) fn look() -> Confinement {
    let mut found = Confinement::default();
    for (name, value) in WANTED {
        match env::var(name) {
            Ok(set) if set == value => {}
            Ok(set) => found.overridden.push((name.to_owned(), set)),
            Err(_) => found.missing.push(name),
        }
    }
    found
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
    // SAFETY: `confine` calls this only while the process has one thread, so nobody reads the environment meanwhile.
    unsafe { env::set_var(name, value) };
}

/// Makes the calling thread a rayon pool of one, so that parallel iterators run here, in line, and the global pool is
/// never made. Does nothing on a thread that is in a pool already.
pub fn keep_rayon_here() {
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
