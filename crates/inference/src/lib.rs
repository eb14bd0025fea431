//! How a GGUF is run, with kernels of our own and candle for the rest: synchronous, without a thread of its own.
//!
//! ```text
//!  path ─> header ─> file ─┬─> vocabulary ─> bpe | sentencepiece ─┐
//!                          │                 template ────────────┴─> codec    (TextCodec: chat -> tokens -> bytes)
//!                          └─> blueprint ──> model (matrix, rope) ───> decoder  (Engine: one step of the batch)
//!                                              ├─ cpu (packed weights)   │
//!                                              └─ packed_copy (on disk)  │
//!                └──> device (candle's tensors, where the settings say so) ─> Engine as well
//!
//!  step(batch) ─> admit, guess ─> crew: forward(rows, logits) ─> sampler::choose ─> one token per sampling input
//!                              ├─ matrix::apply ─> cpu::kernels (portable | avx2 | avx512), or candle's
//!                              └─ kv (each row's own sequence)
//!
//!  folder ─> bert (config, safetensors, tokens) ─> Embedder: one batch of texts
//! ```
//!
//! Read on in this order: [`loader`], [`header`] and [`mod@file`] (what may be believed of a file), [`blueprint`] (what
//! model it is), `weights` (read by whoever comes: `errands`; or mapped: `packed_copy`), [`model`], [`matrix`] and [`cpu`] (what multiplies),
//! [`decoder`], `speculation` (what may come next is computed beside what is asked), [`crew`] (who computes a pass),
//! [`forward`], [`kv`], `choice` and [`sampler`], `likelihood` (for those who ask how likely a token was); then [`device`]
//! (the second engine), and the text side from [`codec`]: [`texts`] (how a vocabulary lies in memory), [`vocabulary`], [`bpe`]
//! and `merges`, [`sentencepiece`].
//!
//! Invariants: nothing here spawns, reads a clock or keeps state between models; nobody waits but those who compute a pass
//! together, for each other. Only this crate names candle. What both engines refuse (`admission`) and choose is one.
//! candle's own threads are the caller's care: set `CANDLE_NUM_THREADS=1` before the first step.

mod admission;
pub mod bert;
pub mod blueprint;
pub mod bpe;
mod choice;
pub mod codec;
pub mod constraint;
pub mod cpu;
pub mod crew;
pub mod decoder;
pub mod device;
mod errands;
pub mod file;
#[cfg(feature = "fixture")]
pub mod fixture;
pub mod format;
pub mod forward;
mod hash;
pub mod header;
pub mod kv;
mod layer;
mod likelihood;
pub mod loader;
pub mod matrix;
mod merges;
pub mod model;
pub mod ops;
mod packed_copy;
pub mod rope;
pub mod sampler;
pub mod sentencepiece;
mod specials;
mod speculation;
pub mod template;
pub mod texts;
pub mod tool_prompt;
pub mod vocabulary;
mod weights;

pub use codec::Codec;
pub use cpu::Precision;
pub use decoder::Decoder;
pub use device::DeviceLoader;
pub use loader::GgufLoader;
pub use packed_copy::{NoCopy, PackedCopies};
