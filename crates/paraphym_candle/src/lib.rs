//! Paraphym in your app: a local model behind supervised actors, on the one runtime you already have.
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use paraphym_candle::{GenerationEvent, Paraphym};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Paraphym::builder().start().await?;
//! host.pull_default(&mut |_| {}).await?;
//!
//! let mut answer = host.prompt("Give me three tips for staying healthy.").await?;
//! while let Some(event) = answer.next().await {
//!     if let GenerationEvent::Text(text) = event {
//!         print!("{text}");
//!     }
//! }
//! host.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! In `main`, call [`confine`] before your runtime starts, so that the libraries underneath start no thread of their
//! own; or let [`run`] build the runtime and do it for you.
//!
//! Invariants: this crate decides nothing. It joins the parts, starts the tree and stops it; dropping [`Paraphym`]
//! without [`Paraphym::shutdown`] stops it too, without waiting.

mod builder;
mod doctor;
mod host;
mod listing;
mod resolve;
mod upkeep;

pub use agent_worker::settings::TurnSettings;
pub use agent_worker::stream::TurnStream;
pub use builder::{Builder, StartError};
pub use doctor::{Check, DoctorReport, Verdict};
pub use domain::{
    Bytes, ContextPolicy, ConversationId, FieldError, FinishReason, GenerationError,
    GenerationEvent, Message, ModelName, Prompt, RequestId, Role, Sampling, Usage,
};
pub use engine::{ModelCard, ModelLoader, ModelSource};
pub use host::{Paraphym, ShutdownReport, Status};
pub use memory_governor::LedgerStatus;
pub use model_host::client::{GenerationStream, Request};
pub use model_host::messages::{HostStatus, ModelState, ModelStatus, UnloadError};
pub use model_store::{DEFAULT_MODEL, Installed, PullError, PullEvent, Store, StoreConfig};
pub use runtime::{
    Census, Role as ThreadRole, RunError, Runtime, RuntimeOptions, confine, run, signals,
};
pub use supervision::{ChildInfo, ChildState, Lifecycle, LifecycleEvent};
