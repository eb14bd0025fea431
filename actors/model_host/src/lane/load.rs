//! Reading a model into memory: its header, a lease for its weights, then the weights, all on the blocking pool.
//!
//! Invariants: no weights without a lease, and none without room for the moment when a tensor is there twice; the load ends at the next tensor once nobody waits for it or its lane is gone.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use domain::{Bytes, GenerationError};
use engine::{LoadError, LoadedModel, ModelCard};
use memory_governor::Lease;
use tokio::time::Instant;

use super::LaneParts;
use super::room::{self, NoLease, Wanted};
use super::trip::panic_text;
use crate::book::Book;
use crate::underway::Underway;

/// After a crash of the lane the engine before may still be in its step, with the weights' lease. A step takes a second or
/// so: it is waited for, rather than having two engines in memory; looked at so often, and so many times (ten seconds).
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 200;

/// A model in memory and the lease for it.
pub(crate) struct Resident {
    pub(crate) model: LoadedModel,
    pub(crate) weights: Arc<Lease>,
}

/// What a load is covered by: the most it takes for a moment, which is more than what stays.
struct Room {
    /// Shrunk to what stays when the load is done.
    weights: Arc<Lease>,
    /// What is needed beyond a lease kept from before a crash.
    more: Option<Lease>,
}

/// Why there is none.
pub(crate) enum NotLoaded {
    /// Nobody waited any more.
    Cancelled,
    Failed(GenerationError),
}

impl From<NoLease> for NotLoaded {
    fn from(refusal: NoLease) -> Self {
        match refusal {
            NoLease::Failed(GenerationError::Cancelled) => Self::Cancelled,
            NoLease::NoRoom(error) | NoLease::Failed(error) => Self::Failed(error),
        }
    }
}

/// Ends the load it belongs to when the lane's life that began it ends.
pub(crate) struct LoadGuard(Arc<AtomicBool>);

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// One load.
pub(crate) struct Load {
    parts: LaneParts,
    /// Weak: a load must not keep the book of a dead lane.
    book: Weak<Book>,
    /// Kept from before a crash, if there was one.
    weights: Option<Arc<Lease>>,
    cancelled: Arc<AtomicBool>,
}

impl Load {
    pub(crate) fn new(
        parts: LaneParts,
        book: &Arc<Book>,
        weights: Option<Arc<Lease>>,
    ) -> (Self, LoadGuard) {
        let cancelled = Arc::new(AtomicBool::new(false));
        let guard = LoadGuard(Arc::clone(&cancelled));
        let load = Self {
            parts,
            book: Arc::downgrade(book),
            weights,
            cancelled,
        };
        (load, guard)
    }

    /// Reads the model.
    pub(crate) async fn run(mut self) -> Result<Resident, NotLoaded> {
        let parts = self.parts.clone();
        let card = self
            .on_blocking_thread(move || parts.loader.inspect(&parts.source))
            .await?;
        if let Some(book) = self.book.upgrade() {
            book.pages().card = Some(card.clone());
        }
        let Room { weights, more } = self.room(&card).await?;
        let parts = self.parts.clone();
        let (book, cancelled) = (self.book.clone(), Arc::clone(&self.cancelled));
        let held = (Arc::clone(&weights), more);
        let loaded = self
            .on_blocking_thread(move || {
                let mut go_on = |fraction| go_on(&book, &cancelled, fraction);
                covered(held, || parts.loader.load(&parts.source, &mut go_on))
            })
            .await?;
        let Covered { value: model, held } = loaded;
        drop(held);
        weights.shrink_to(card.resident_bytes());
        Ok(Resident { model, weights })
    }

    async fn room(&mut self, card: &ModelCard) -> Result<Room, NotLoaded> {
        if card.weights_bytes == Bytes::ZERO {
            return Err(self.failed(&"its header says that it has no weights"));
        }
        if let Some(room) = self.kept_room(card).await? {
            return Ok(room);
        }
        let lease = self.reserve(card.most_bytes()).await;
        match lease {
            Ok(lease) => Ok(Room {
                weights: Arc::new(lease),
                more: None,
            }),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The lease from before a crash, and what the load takes beyond it. Where that much more is not to be had, the kept
    /// one is let go, and the load waits its turn for the whole.
    async fn kept_room(&mut self, card: &ModelCard) -> Result<Option<Room>, NotLoaded> {
        let fits = |lease: &Arc<Lease>| lease.bytes() == card.resident_bytes();
        let Some(weights) = self.weights.take().filter(fits) else {
            return Ok(None);
        };
        if !is_ours_alone(&weights).await {
            return Ok(None);
        }
        let beyond = card.most_bytes().saturating_sub(card.resident_bytes());
        if beyond == Bytes::ZERO {
            return Ok(Some(Room {
                weights,
                more: None,
            }));
        }
        match self.reserve(beyond).await {
            Ok(more) => Ok(Some(Room {
                weights,
                more: Some(more),
            })),
            Err(NoLease::NoRoom(_)) => Ok(None),
            Err(refusal @ NoLease::Failed(_)) => Err(refusal.into()),
        }
    }

    async fn reserve(&self, bytes: Bytes) -> Result<Lease, NoLease> {
        let model = &self.parts.model;
        let wanted = Wanted {
            owner: self.parts.name(),
            purpose: format!("the weights of {model}"),
            bytes,
            patience: room::WEIGHTS,
        };
        let ahead = |ahead| {
            if let Some(book) = self.book.upgrade() {
                book.pages().tell_line(ahead);
            }
        };
        let is_wanted = || {
            let book = self.book.upgrade();
            !self.cancelled.load(Ordering::Acquire) && book.is_some_and(|b| b.pages().is_awaited())
        };
        room::reserve(&self.parts.governor, wanted, ahead, is_wanted).await
    }

    /// Waiting for memory is not being at a stand: only what a thread does is watched. A load whose lane is gone has
    /// no say.
    fn underway(&self, underway: Option<Underway>) {
        let book = self.book.upgrade();
        if let Some(book) = book.filter(|_| !self.cancelled.load(Ordering::Acquire)) {
            book.pages().underway = underway;
        }
    }

    async fn on_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, NotLoaded> {
        self.underway(Some(Underway::begin(Instant::now())));
        let turn = tracing::Span::current();
        let work = move || turn.in_scope(|| catch_unwind(AssertUnwindSafe(work)));
        let done = tokio::task::spawn_blocking(work).await;
        self.underway(None);
        match done {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(LoadError::Cancelled))) => Err(NotLoaded::Cancelled),
            Ok(Ok(Err(error))) => Err(self.failed(&error)),
            Ok(Err(panic)) => {
                Err(self.failed(&format!("the loader crashed: {}", panic_text(&*panic))))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, reason: &dyn std::fmt::Display) -> NotLoaded {
        NotLoaded::Failed(GenerationError::LoadFailed {
            model: self.parts.model.clone(),
            reason: reason.to_string(),
        })
    }
}

/// What was loaded, and the leases for it. Whoever finds nobody to take it home drops both, in this order.
struct Covered<T, H> {
    value: T,
    held: H,
}

/// Loads with the leases in hand: they stay until the thread is done, even if the lane is gone by then, and until what
/// was loaded for nobody is gone.
fn covered<T, H>(
    held: H,
    load: impl FnOnce() -> Result<T, LoadError>,
) -> Result<Covered<T, H>, LoadError> {
    let value = load()?;
    Ok(Covered { value, held })
}

/// Waits until no engine computes with it any more. `false` if one does not end.
async fn is_ours_alone<T>(lease: &Arc<T>) -> bool {
    for _ in 0..LOOKS {
        if Arc::strong_count(lease) == 1 {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

fn go_on(book: &Weak<Book>, cancelled: &AtomicBool, fraction: f32) -> ControlFlow<()> {
    let wanted = !cancelled.load(Ordering::Acquire)
        && book
            .upgrade()
            .is_some_and(|book| book.load_progress(fraction.clamp(0.0, 1.0), Instant::now()));
    if wanted {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says its name when it goes.
    struct Last(&'static str, Arc<std::sync::Mutex<Vec<&'static str>>>);

    impl Drop for Last {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    #[test]
    fn the_leases_go_after_what_was_loaded_for_nobody() {
        let gone = Arc::default();
        let last = |name| Last(name, Arc::clone(&gone));
        drop(covered(last("lease"), || Ok(last("model"))));
        assert_eq!(*gone.lock().unwrap(), ["model", "lease"]);
        gone.lock().unwrap().clear();
        let refused = covered(last("lease"), || -> Result<(), _> {
            let _part = last("half a model");
            Err(LoadError::Cancelled)
        });
        assert!(refused.is_err());
        assert_eq!(*gone.lock().unwrap(), ["half a model", "lease"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_engine_before_is_waited_for_but_not_for_ever() {
        let ours = Arc::new(());
        let began = Instant::now();
        assert!(is_ours_alone(&ours).await);
        assert_eq!(began.elapsed(), Duration::ZERO);
        let theirs = Arc::clone(&ours);
        let step = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(theirs);
        };
        let (alone, ()) = tokio::join!(is_ours_alone(&ours), step);
        assert!(alone);
        assert!(began.elapsed() < Duration::from_secs(4));
        let _hangs = Arc::clone(&ours);
        assert!(!is_ours_alone(&ours).await);
        assert!(began.elapsed() > LOOK * LOOKS);
    }
}
