//! The bridge, used as an application uses it: one file an idea, one binary, so that all is linked once.

#[cfg(feature = "web")]
mod actix_app;
mod common;
mod delivery;
mod envoy;
mod gate;
mod generation;
mod guest;
mod guest_ends;
mod local_task;
#[cfg(feature = "web")]
mod web;
