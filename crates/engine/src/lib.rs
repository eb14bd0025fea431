//! What a model implements, step by step, and how its tokens become text.
//!
//! ```text
//!  ModelLoader::load ──> LoadedModel { card, engine, text }
//!                                        │       └── Arc<dyn TextCodec>: chat -> tokens, token -> bytes; shared, immutable
//!                                        └────────── Box<dyn Engine>: travels by value to a blocking thread, does ONE
//!                                                    step for the whole batch, and comes home
//!  ModelLoader::load_embedder ──> LoadedEmbedder { card, embedder }: the same way, a batch of texts a step
//!  tokens ──> Speech (utf8 assembly, stop texts) ──> text deltas ──> ToolSpeech ──> text and whole calls
//! ```
//!
//! Invariant: nothing here knows candle, tokio or an actor. An engine never waits, never spawns and keeps no thread.

pub mod device;
pub mod embed;
pub mod helpers;
pub mod model;
pub mod pieces;
pub mod schema;
pub mod speech;
pub mod step;
pub mod tool_speech;
pub mod tools;

pub use device::Device;
pub use embed::{Embedded, Embedder, EmbedderCard, LoadedEmbedder};
pub use model::{
    LoadError, LoadedModel, ModelCard, ModelLoader, ModelSource, TextCodec, TextError,
};
pub use pieces::{NoPieces, Pieces};
pub use speech::{Said, Speech};
pub use step::{
    Beginning, Engine, Likelihood, PrefixId, SequenceId, SequencePlan, StepError, StepInput,
    StepOutput, TokenId,
};
pub use tool_speech::{Piece, ToolSpeech};
pub use tools::ToolSyntax;
