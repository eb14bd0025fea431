//! One batch, on a blocking thread: the embedder goes out by value and comes home with the vectors.
//!
//! Invariant: nothing of the lane is shared with it. A panic is caught at the border; the embedder that crashed is dropped
//! where it crashed, then its lease.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use engine::{Embedded, Embedder};
use memory_governor::Lease;
use tracing::Span;

use crate::lane::trip::{panic_text, together};

/// What goes out.
pub(super) struct Trip {
    pub(super) embedder: Box<dyn Embedder>,
    pub(super) texts: Vec<Arc<str>>,
    pub(super) dimensions: usize,
    pub(super) held: Arc<Lease>,
    /// The spans of those whose texts they are.
    pub(super) turns: Vec<Span>,
}

/// What comes home.
pub(super) struct Back {
    pub(super) embedder: Box<dyn Embedder>,
    pub(super) vectors: Vec<Embedded>,
    /// Last, so that it goes after the embedder if nobody takes them.
    pub(super) _held: Arc<Lease>,
}

/// Makes the trip.
///
/// # Errors
/// The embedder was lost: why.
pub(super) fn travel(trip: Trip) -> Result<Back, String> {
    let Trip {
        mut embedder,
        texts,
        dimensions,
        held,
        turns,
    } = trip;
    let _turn = together(&turns).entered();
    // An app's own blocking thread may not have been confined.
    runtime::keep_rayon_here();
    let step = AssertUnwindSafe(move || {
        let vectors = embedder.embed(&texts).map_err(|error| error.to_string())?;
        check(&vectors, texts.len(), dimensions)?;
        Ok((embedder, vectors))
    });
    let (embedder, vectors) =
        catch_unwind(step).unwrap_or_else(|panic| Err(panic_text(&*panic)))?;
    Ok(Back {
        embedder,
        vectors,
        _held: held,
    })
}

/// What is no answer is a crash: a vector of nothing but NaN would be near to everything, for ever.
fn check(vectors: &[Embedded], texts: usize, dimensions: usize) -> Result<(), String> {
    if vectors.len() != texts {
        return Err(format!("{} vectors for {texts} texts", vectors.len()));
    }
    let sound = |embedded: &Embedded| {
        embedded.vector.len() == dimensions && embedded.vector.iter().all(|x| x.is_finite())
    };
    if vectors.iter().all(sound) {
        Ok(())
    } else {
        Err(format!("a vector is not {dimensions} finite numbers"))
    }
}
