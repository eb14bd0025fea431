//! Shell: the roster as the janitor's lives, its clock of deadlines and the caches' owners share it.
//!
//! It outlives the actor in the actor's seed. Every change is a few steps under a lock that nobody waits under.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::order::SweepOrder;
use crate::roster::{CacheId, Held, Roster};
use crate::sweeps::Sweeps;

#[derive(Clone, Default)]
pub(crate) struct Registry(Arc<Shared>);

#[derive(Default)]
struct Shared {
    books: Mutex<Books>,
    changed: Notify,
    wakes: AtomicU64,
}

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) roster: Roster<mpsc::Sender<SweepOrder>>,
    pub(crate) sweeps: Sweeps,
}

impl Registry {
    /// One change. Whoever keeps the deadlines is woken if it moved one.
    pub(crate) fn turn<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        let mut books = self.books();
        let answer = change(&mut books);
        let moved = books.roster.has_moved();
        drop(books);
        if moved {
            self.0.changed.notify_one();
        }
        answer
    }

    /// Resolves when a deadline was moved since it last did.
    pub(crate) async fn moved(&self) {
        self.0.changed.notified().await;
    }

    /// The deadlines that moved since this was last asked.
    pub(crate) fn take_moved(&self) -> Vec<(CacheId, Option<Instant>)> {
        self.books().roster.take_moved()
    }

    pub(crate) fn count_wake(&self) {
        self.0.wakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn wakes(&self) -> u64 {
        self.0.wakes.load(Ordering::Relaxed)
    }

    pub(crate) fn place(&self, id: CacheId) -> Place {
        Place {
            registry: self.clone(),
            id,
        }
    }

    /// After a panic under the lock each cache is still as its owner said last, or as it was before.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One cache's line in the roster.
#[derive(Clone)]
pub(crate) struct Place {
    registry: Registry,
    id: CacheId,
}

impl Place {
    pub(crate) fn hold(&self, held: Held) {
        self.registry.turn(|books| books.roster.hold(self.id, held));
    }

    pub(crate) fn due_at(&self, next_due: Option<Instant>) {
        self.registry
            .turn(|books| books.roster.due_at(self.id, next_due));
    }

    pub(crate) fn leave(&self) {
        self.registry.turn(|books| books.roster.remove(self.id));
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id)
    }
}
