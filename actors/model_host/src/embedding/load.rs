//! Shell: reading an embedding model into memory: where it lies, its headers, a lease, then the weights.
//!
//! Invariants: no weights without a lease; the load ends at the next tensor once nobody waits for its model or the lane's
//! life is over. Nothing here decides.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::{GenerationError, ModelName};
use engine::{Embedder, EmbedderCard, LoadError, LoadedEmbedder};
use memory_governor::Lease;
use tokio::time::Instant;

use super::LaneParts;
use super::desk::Desk;
use crate::lane::room::{self, NoLease, Wanted};
use crate::lane::trip::panic_text;
use crate::lookup::Found;
use crate::underway::Underway;

/// A model in memory.
pub(super) struct Resident {
    pub(super) embedder: Box<dyn Embedder>,
    pub(super) card: EmbedderCard,
    /// After the embedder: it goes first.
    pub(super) lease: Arc<Lease>,
}

/// Ends the load it belongs to when the lane's life that began it ends.
pub(super) struct LoadGuard(Arc<AtomicBool>);

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// One load.
pub(super) struct Load {
    parts: LaneParts,
    desk: Desk,
    model: ModelName,
    cancelled: Arc<AtomicBool>,
}

impl Load {
    pub(super) fn new(parts: LaneParts, desk: Desk, model: ModelName) -> (Self, LoadGuard) {
        let cancelled = Arc::new(AtomicBool::new(false));
        let load = Self {
            parts,
            desk,
            model,
            cancelled: Arc::clone(&cancelled),
        };
        (load, LoadGuard(cancelled))
    }

    /// Reads the model.
    ///
    /// # Errors
    /// `Cancelled` if nobody waits for it any more.
    pub(super) async fn run(self, found: Found) -> Result<Resident, GenerationError> {
        let (reader, source) = (Arc::clone(&self.parts.loader), found.source.clone());
        let card = self
            .on_blocking_thread(move || reader.inspect_embedder(&source))
            .await?;
        let lease = Arc::new(self.reserve(&card).await?);
        let (reader, held) = (Arc::clone(&self.parts.loader), Arc::clone(&lease));
        let wanted = self.is_wanted();
        let loaded = self
            .on_blocking_thread(move || {
                let mut go_on = |_| {
                    if wanted() {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                };
                let resident = reader.load_embedder(&found.source, &mut go_on)?;
                // The lease stays until the thread is done, whoever waits for it then.
                Ok((resident, held))
            })
            .await?;
        let (LoadedEmbedder { card, embedder }, held) = loaded;
        drop(held);
        lease.shrink_to(card.resident_bytes());
        Ok(Resident {
            embedder,
            card,
            lease,
        })
    }

    async fn reserve(&self, card: &EmbedderCard) -> Result<Lease, GenerationError> {
        let model = &self.model;
        let wanted = Wanted {
            owner: format!("model_host: {model}"),
            purpose: format!("the weights of {model}"),
            bytes: card.most_bytes(),
            patience: room::WEIGHTS,
        };
        let reserved = room::reserve(&self.parts.governor, wanted, |_| {}, self.is_wanted()).await;
        reserved.map_err(|(NoLease::NoRoom(error) | NoLease::Failed(error))| error)
    }

    fn is_wanted(&self) -> impl Fn() -> bool + Send + 'static {
        let (desk, model) = (self.desk.clone(), self.model.clone());
        let cancelled = Arc::clone(&self.cancelled);
        move || {
            !cancelled.load(Ordering::Acquire) && desk.pages().load_goes_on(&model, Instant::now())
        }
    }

    /// Waiting for memory is not being at a stand. A load whose lane is gone has no say.
    fn underway(&self, underway: Option<Underway>) {
        if !self.cancelled.load(Ordering::Acquire) {
            self.desk.pages().underway = underway;
        }
    }

    async fn on_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, GenerationError> {
        self.underway(Some(Underway::begin(Instant::now())));
        let turn = tracing::Span::current();
        let work = move || turn.in_scope(|| catch_unwind(AssertUnwindSafe(work)));
        let done = tokio::task::spawn_blocking(work).await;
        self.underway(None);
        let reason = match done {
            Ok(Ok(Ok(value))) => return Ok(value),
            Ok(Ok(Err(LoadError::Cancelled))) => return Err(GenerationError::Cancelled),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(panic)) => format!("the loader crashed: {}", panic_text(&*panic)),
            Err(error) => error.to_string(),
        };
        Err(GenerationError::LoadFailed {
            model: self.model.clone(),
            reason,
        })
    }
}
