//! The governor in a tree: one file an idea, one binary, so that all is linked once.

mod behaviour;
mod common;
mod events;
mod line;
mod listening;
mod pressure;
#[cfg(target_os = "linux")]
mod psi;
mod relief;
