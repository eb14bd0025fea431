//! Paraphym in your app: a local model behind supervised actors, on the one runtime you already have.
//!
//! ```no_run
//! use paraphym_candle::{GenerationEvent, Paraphym, confine};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     confine(); // first, while there is one thread
//!     app()
//! }
//!
//! #[tokio::main]
//! async fn app() -> Result<(), Box<dyn std::error::Error>> {
//!     let host = Paraphym::builder().start().await?;
//!     host.pull_default(&mut |_| {}).await?;
//!
//!     let mut answer = host.prompt("Give me three tips for staying healthy.").await?;
//!     while let Some(event) = answer.next().await {
//!         if let GenerationEvent::Text(text) = event {
//!             print!("{text}");
//!         }
//!     }
//!     host.shutdown().await;
//!     Ok(())
//! }
//! ```
//!
//! [`confine`] tells the libraries underneath to start no thread of their own, which they look up once. An app without a
//! runtime lets [`run`] build it, and `run` confines by itself.
//!
//! Invariants: this crate decides nothing. It joins the parts, starts the tree and stops it; dropping [`Paraphym`]
//! without [`Paraphym::shutdown`] stops it too, without waiting.

mod agents;
mod app;
mod applier;
mod asker;
mod builder;
mod chronicle;
mod doctor;
#[cfg(feature = "memory")]
mod documents;
#[cfg_attr(not(feature = "gateway"), path = "edge_absent.rs")]
mod edge;
mod embedding;
mod ending;
mod follower;
mod history;
mod host;
mod inspect;
#[cfg_attr(not(feature = "inference"), path = "loading_absent.rs")]
mod loading;
#[cfg_attr(not(feature = "memory"), path = "long_term_absent.rs")]
mod long_term;
mod notify_socket;
mod observers;
mod prompting;
mod recorder;
mod resolve;
#[cfg_attr(not(feature = "mcp"), path = "servers_absent.rs")]
mod servers;
mod service_manager;
mod settings;
mod shelf;
mod start;
mod start_error;
#[cfg_attr(not(feature = "control"), path = "steering_absent.rs")]
mod steering;
mod tools;
mod upkeep;

pub use agent_worker::settings::{
    Approvals, MemorySettings, ToolFilter, TurnLimits, TurnSettings, Window,
};
pub use agent_worker::stream::TurnStream;
pub use agent_worker::{SteerError, ToolEnd, TurnAnswer};
pub use agents::NoAgent;
pub use asker::Asker;
/// Bearer tokens: the file they are kept in.
#[cfg(feature = "gateway")]
pub use bearer;
pub use builder::Builder;
pub use cache_janitor::{CacheStatus, JanitorStatus};
/// Settings: their catalogue, revisions, and how to change them.
pub use chat_config;
/// Control of a running host: the protocol and its client.
#[cfg(feature = "control")]
pub use control;
/// Conversations and memories at rest: what the store can be asked.
pub use conversation_store;
pub use doctor::{Check, DoctorReport, Verdict};
pub use domain::{
    Approval, Budget, Bytes, Citation, ContextPolicy, ConversationId, FieldError, FinishReason,
    GenerationError, GenerationEvent, KeepAlive, Message, ModelName, Prompt, RequestId, Role,
    Sampling, ToolCall, ToolCallId, ToolOutcome, ToolSpec, Tools, TurnError, TurnEvent, Unfinished,
    Usage,
};
#[cfg(feature = "gateway")]
pub use edge::Said;
pub use ending::{Ending, Phase};
pub use engine::{EmbedderCard, LoadError, ModelCard, ModelLoader, ModelSource};
pub use history::{History, HistoryError, now_ms as history_now};
pub use host::{Paraphym, ShutdownReport, Status};
#[cfg(feature = "inference")]
pub use inference::{NoCopy, PackedCopies};
#[cfg(feature = "inference")]
pub use inspect::{inspect, inspect_embedder};
#[cfg(feature = "inference")]
pub use loading::{kept_copies, packed_copies};
/// Other programs' tools: which servers there are, and how each is.
#[cfg(feature = "mcp")]
pub use mcp_client;
pub use memory_governor::{LeaseInfo, LedgerStatus};
pub use model_host::client::{EmbedRequest, Embeddings, GenerationStream, Request};
pub use model_host::messages::{HostStatus, ModelState, ModelStatus, UnloadError};
pub use model_host::{Answer, Canceller};
pub use model_store::{
    DEFAULT_MODEL, EMBEDDING_MODEL, Installed, PullError, PullEvent, Store, StoreConfig,
};
pub use recorder::Recorder;
/// Memories and documents: what can be asked of them.
#[cfg(feature = "memory")]
pub use retrieval;
pub use runtime::{
    Census, Role as ThreadRole, RunError, Runtime, RuntimeOptions, confine, run, signals,
};

pub use service_manager::ServiceManager;
pub use start_error::StartError;
/// Supervision: what an actor of the app's own is made of.
pub use supervision;
pub use supervision::{ChildInfo, ChildState, Lifecycle, LifecycleEvent};
pub use telemetry::{Metrics, MetricsError, PrometheusRecorder};
/// Tools: what one is, the toolbox, and how to write one's own.
pub use toolbox;
