//! What stands between a socket and an answer: who may ask, for how long anybody is waited for, and who may end it.

pub(crate) mod hangup;
pub(crate) mod origin;
pub(crate) mod pace;
pub(crate) mod patience;
pub(crate) mod underway;
