//! How answers end that the model did not end itself: never silently.

use domain::GenerationError;

/// An answer that ended without a last event: never in order, but never silent.
pub(crate) fn broken_off() -> GenerationError {
    GenerationError::Unavailable {
        part: "model_host".into(),
        reason: "its answer broke off; ask again".into(),
    }
}

/// What an answer that a stop did not wait for ends with.
pub(crate) fn stopping() -> GenerationError {
    GenerationError::Unavailable {
        part: "gateway".into(),
        reason: "the server is stopping; ask again once it is back".into(),
    }
}
