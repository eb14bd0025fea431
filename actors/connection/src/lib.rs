//! One client that is connected in real time.
//!
//! Invariants: a slow reader grows nothing beyond its bound and slows nobody; what is numbered is sent again in order or
//! not at all, never with a gap; a frame that is wrong costs its sender an error and nobody else anything.

pub mod wire;
