//! Models computed with candle's tensors, on whatever device candle was built for: the second engine.
//!
//! ```text
//!  loader ─> place (which device) ─> weights (read to it, one tensor after another) ─> model ─> decoder (Engine)
//!  step(batch) ─> admission ─> one sequence after another: forward(rows, cache) ─> choice ─> one token per sampling input
//! ```
//!
//! What a file is, what an engine refuses and how a token is chosen is shared with the first engine; what is multiplied, and
//! where keys and values lie, is here.
//!
//! Invariants: what stands beside a sequence in a batch changes nothing in it, for each is computed by itself. On the
//! processor this is for tests alone: there candle may use threads of its own.

mod cache;
mod decoder;
mod forward;
mod loader;
mod model;
mod place;
mod weights;

use candle_core::Error;
use engine::StepError;

pub use decoder::DeviceDecoder;
pub use loader::DeviceLoader;

/// The first line alone: behind it candle may put where in its code it happened.
fn in_short(error: &Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn failed(error: &Error) -> StepError {
    StepError::Compute(in_short(error))
}
