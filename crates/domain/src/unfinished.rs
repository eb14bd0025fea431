//! An answer that was read as a whole and did not come to its end: why, and what there is of it.

use std::fmt;

use crate::{GenerationError, TurnError};

/// Why an answer failed, and what it had said before: a person who waited for it may still want to read that.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfinished<E> {
    /// Why.
    pub error: E,
    /// What was said before; empty if nothing was.
    pub text: String,
}

impl<E: fmt::Display> fmt::Display for Unfinished<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<E: std::error::Error> std::error::Error for Unfinished<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<Unfinished<Self>> for GenerationError {
    fn from(unfinished: Unfinished<Self>) -> Self {
        unfinished.error
    }
}

impl From<Unfinished<Self>> for TurnError {
    fn from(unfinished: Unfinished<Self>) -> Self {
        unfinished.error
    }
}
