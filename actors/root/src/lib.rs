//! The tree, as data: who is there, in which order they start, and who may ask whom.
//!
//! ```text
//!   root
//!    ├ control, service_manager, as the composition root hands them in: first, so that they see all others end
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
//!    └ edges, as the composition root hands them in: of a server typing, room_supervisor, tree_picture,
//!      connection_supervisor; settings_applier, telemetry; of a server gateway
//! ```
//!
//! Invariants: this crate has no behaviour. It starts nothing and waits for nothing; it only says what is to be
//! started. Whoever comes later in the list may ask whoever comes earlier, never the other way round; but control and the
//! service manager, which only look and order, ask all others, with a deadline.

mod tree;

pub use tree::{Tree, TreeConfig, TreeParts};
