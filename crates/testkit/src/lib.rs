//! Scripted engine and scene for tests.

pub mod scene;
pub mod scripted;
