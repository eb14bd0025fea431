//! What stands between a socket and an answer: who may ask, how much, for how long anybody is waited for, and who may end it.

pub(crate) mod access;
pub(crate) mod allowance;
pub(crate) mod cors;
pub(crate) mod counted;
pub(crate) mod door;
pub(crate) mod goodbye;
pub(crate) mod hangup;
pub(crate) mod lasting;
pub(crate) mod origin;
pub(crate) mod pace;
pub(crate) mod patience;
pub(crate) mod seating;
pub(crate) mod seats;
pub(crate) mod spanned;
pub(crate) mod ticket;
pub(crate) mod tokens;
pub(crate) mod underway;
