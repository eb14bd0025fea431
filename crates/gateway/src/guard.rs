//! What stands between a socket and an answer: who may ask, how much, and for how long anybody is waited for.

pub(crate) mod access;
pub(crate) mod allowance;
pub(crate) mod cors;
pub(crate) mod door;
pub(crate) mod hangup;
pub(crate) mod lasting;
pub(crate) mod origin;
pub(crate) mod patience;
pub(crate) mod rate;
pub(crate) mod tokens;
