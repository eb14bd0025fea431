//! Scripted engine and scene for tests.

pub mod scripted;
