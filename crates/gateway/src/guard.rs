//! What stands between a socket and an answer: who may ask, and for how long anybody is waited for.

pub(crate) mod hangup;
pub(crate) mod origin;
pub(crate) mod pace;
pub(crate) mod patience;
