//! One step, on a blocking thread: the engine goes out by value with everything it needs and comes home with what it
//! produced.
//!
//! Invariant: nothing here waits, and nothing of the lane is shared with it. A panic is caught at the border, so that a
//! crash is a message like any other; the engine that crashed is dropped where it crashed. The leases travel along: if
//! the lane is killed meanwhile, no byte comes back while the engine still computes with it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use engine::{
    Beginning, Engine, PrefixId, SequenceId, SequencePlan, StepError, StepInput, StepOutput,
};
use memory_governor::Lease;
use supervision::TURN;
use tokio::time::Instant;
use tracing::Span;

/// What goes out.
pub(crate) struct Trip {
    pub(crate) engine: Box<dyn Engine>,
    /// Sequences the engine does not know yet.
    pub(crate) opens: Vec<Opening>,
    pub(crate) batch: Vec<StepInput>,
    /// The spans of those in the batch.
    pub(crate) turns: Vec<Span>,
}

/// A sequence on its way to be opened.
pub(crate) struct Opening {
    pub(crate) sequence: SequenceId,
    pub(crate) plan: SequencePlan,
    pub(crate) from: Option<Beginning>,
    /// The prefix it takes over, which nobody needs behind it.
    pub(crate) forget: Option<PrefixId>,
    /// The span of whoever it belongs to.
    pub(crate) turn: Span,
}

/// What comes home.
pub(crate) struct Back {
    pub(crate) engine: Box<dyn Engine>,
    /// Sequences the engine could not make room for.
    pub(crate) refused: Vec<(SequenceId, StepError)>,
    pub(crate) outputs: Vec<StepOutput>,
    pub(crate) took: Duration,
    /// Last, so that they go after the engine if nobody takes them.
    pub(crate) held: Vec<Arc<Lease>>,
}

struct Stepped {
    engine: Box<dyn Engine>,
    refused: Vec<(SequenceId, StepError)>,
    outputs: Vec<StepOutput>,
    took: Duration,
}

/// The engine was lost in a step: by a panic, an error, or an answer that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine crashed: {0}")]
pub(crate) struct EngineCrash(pub(crate) String);

/// Makes the trip. `held` is what the engine computes with; after a crash it is let go behind the engine.
pub(crate) fn travel(trip: Trip, held: Vec<Arc<Lease>>) -> Result<Back, EngineCrash> {
    let Stepped {
        engine,
        refused,
        outputs,
        took,
    } = catch_unwind(AssertUnwindSafe(|| step(trip)))
        .unwrap_or_else(|panic| Err(EngineCrash(panic_text(&*panic))))?;
    Ok(Back {
        engine,
        refused,
        outputs,
        took,
        held,
    })
}

fn step(trip: Trip) -> Result<Stepped, EngineCrash> {
    let Trip {
        mut engine,
        opens,
        mut batch,
        turns,
    } = trip;
    // A token's life, stop 7: on a blocking thread, with the engine in hand.
    let begun = Instant::now();
    let mut refused = Vec::new();
    for opening in opens {
        let Opening { sequence, plan, .. } = opening;
        let _turn = opening.turn.entered();
        let opened = match opening.from {
            Some(from) => engine.open_from(sequence, plan, from),
            None => engine.open(sequence, plan),
        };
        if let Some(prefix) = opening.forget {
            engine.forget(prefix);
        }
        if let Err(error) = opened {
            refused.push((sequence, error));
        }
    }
    batch.retain(|input| {
        refused
            .iter()
            .all(|(sequence, _)| *sequence != input.sequence)
    });
    let outputs = if batch.is_empty() {
        Vec::new()
    } else {
        let _turn = together(&turns).entered();
        engine
            .step(&batch)
            .map_err(|error| EngineCrash(error.to_string()))?
    };
    Ok(Stepped {
        engine,
        refused,
        outputs,
        took: begun.elapsed(),
    })
}

/// What one has to itself is its own; a step of several belongs to none of them, and is linked with each.
pub(crate) fn together(turns: &[Span]) -> Span {
    match turns {
        [] => Span::none(),
        [turn] => turn.clone(),
        [first, ..] if first.is_disabled() => Span::none(),
        all => {
            let step = tracing::error_span!(target: TURN, parent: None, "step", turns = all.len());
            for turn in all {
                step.follows_from(turn);
            }
            step
        }
    }
}

/// A panic's words.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
        .to_owned()
}
