//! What clients may ask for, from JSON to the words of the domain, a file for each path. Strict: a field that is not
//! understood is refused by name, because an answer that silently ignores half of a request is a wrong answer. Nothing
//! here waits.

pub mod chat;
mod common;
pub mod completion;
pub mod embedding;
mod fields;
mod messages;
mod response_format;
mod sampling;
mod tools;

pub use chat::{ChatRequest, Defaults, chat_request};
pub(crate) use fields::Fields;
