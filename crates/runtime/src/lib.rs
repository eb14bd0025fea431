//! The one runtime: entered or owned, never nested, never a second, and every thread of it known by name.
//!
//! ```text
//!   run(main) ──> confine() ──> the one tokio runtime ──> main(Runtime)      a binary
//!   Runtime::ambient()      ──> the runtime we are already in                an app that embeds us
//!   CoarseClock             ──> the kernel's last tick                       stamps and intervals without a thread
//!   Runtime::census()       ──> main · worker · blocking · host · foreign    what the process really has
//! ```
//!
//! Invariants: there is no other place that builds a runtime; nothing here starts a thread except tokio itself; after
//! `run` returns, none of its threads is left.

mod allocator;
mod census;
pub mod clock;
mod confine;
mod helpers;
mod own;
pub mod signals;

pub use census::{Census, Role, ThreadInfo};
pub use clock::{Clock, CoarseClock};
pub use confine::{Confinement, confine, keep_rayon_here};
pub use helpers::BlockingHelpers;
pub use own::{RunError, Runtime, RuntimeOptions, run, threads_max};
