//! Texts as vectors: one embedding model at a time, its batches on the blocking pool, its answers kept for a while.

mod request;

pub use request::{EmbedRequest, Embeddings, MOST_BYTES, MOST_TEXT_BYTES, MOST_TEXTS};
