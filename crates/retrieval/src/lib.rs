//! Finding again: memories and documents, by meaning and by words.

pub mod content;
pub mod decay;
pub mod fusion;
pub mod pieces;
