//! Shell: texts as vectors: one embedding model at a time, its batches on the blocking pool, its answers kept for a while.
//!
//! ```text
//!  client::embed ── Embed ──> embedding_lane ── known? ──> shelf (cache, swept by the janitor)
//!        ▲                          │ unknown
//!        │ oneshot                  ▼              one batch
//!        └────── desk (queue) <── lane ── embedder travels ──> blocking pool
//! ```
//!
//! One model at a time: the vectors of two cannot be compared, so two are wanted at once only by mistake, and then they
//! take turns. Invariants: nothing is in memory without a lease; every request that was accepted is answered once; what a
//! crash of the lane could lose lives in its seed (the desk and the shelf).

mod desk;
mod lane;
mod load;
mod prepare;
mod request;
mod shelf;
mod trip;

use std::sync::Arc;

use cache_janitor::CacheJanitor;
use engine::ModelLoader;
use memory_governor::MemoryGovernor;
use supervision::{ChildSpec, Handle};
use tokio::sync::Notify;

use crate::actor::ResolveModel;
use crate::lookup::Looks;
use crate::rules::Rules;

pub use lane::{Embed, EmbeddingLane, LetGo};
pub use request::{EmbedRequest, Embeddings, MOST_BYTES, MOST_TEXT_BYTES, MOST_TEXTS};
pub use shelf::CACHE;

pub(crate) use prepare::prepare;

/// The name in the tree.
pub const CHILD_ID: &str = "embedding_lane";
/// Requests on their way in: each takes microseconds.
const MAILBOX: usize = 64;

/// What every life of the lane is given.
#[derive(Clone)]
pub(crate) struct LaneParts {
    pub(crate) rules: Rules,
    pub(crate) loader: Arc<dyn ModelLoader>,
    pub(crate) resolve: Arc<dyn ResolveModel>,
    pub(crate) looks: Looks,
    pub(crate) governor: Handle<MemoryGovernor>,
    pub(crate) janitor: Handle<CacheJanitor>,
    /// Rung whenever the model has nothing to do any more.
    pub(crate) idle: Arc<Notify>,
}

/// What outlives the lane's crashes.
#[derive(Clone)]
pub struct LaneSeed {
    parts: LaneParts,
    desk: desk::Desk,
    shelf: shelf::Shelf,
}

/// The child that embeds, and its handle.
pub(crate) fn child(parts: LaneParts) -> (ChildSpec, Handle<EmbeddingLane>) {
    let seed = LaneSeed {
        parts,
        desk: desk::Desk::default(),
        shelf: shelf::Shelf::new(shelf::PLAN, None),
    };
    ChildSpec::actor(CHILD_ID, MAILBOX, seed)
}
