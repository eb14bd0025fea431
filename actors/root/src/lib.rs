//! The tree, as data: who is there, in which order they start, and who may ask whom.
//!
//! ```text
//!   root
//!    ├ chat_config
//!    ├ memory_governor
//!    ├ cache_janitor
//!    ├ conversation_store
//!    ├ lane_supervisor ── lane*
//!    ├ embedding_lane
//!    ├ model_host
//!    ├ mcp_supervisor ── mcp_client*
//!    ├ agent_supervisor ── agent_worker*
//!    ├ conversation_shelf
//!    └ edges, as the composition root hands them in: settings_applier, telemetry, gateway, control
//! ```
//!
//! Invariants: this crate has no behaviour. It starts nothing and waits for nothing; it only says what is to be
//! started. Whoever comes later in the list may ask whoever comes earlier, never the other way round.

mod tree;

pub use tree::{Tree, TreeConfig, TreeParts};
