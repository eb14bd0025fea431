//! The handlers, a file for each path: they take a request's parts, ask the model host, and hand over what it says.

mod asking;
mod beginning;
pub(crate) mod cancel;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
mod ends;
pub(crate) mod models;
pub(crate) mod openapi;
pub(crate) mod probes;
mod streaming;
