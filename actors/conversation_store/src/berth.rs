//! Shell: where the open file lies between two trips to the disk. It outlives the actor in the actor's seed.
//!
//! Invariants: the file is at its berth or on one trip, never on two; it comes home from every trip, also from one whose
//! actor has died or that panicked. The lock is held to put it there or take it, and never while the disk works.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::archive::Archive;
use crate::batch::roll_back;

#[derive(Clone)]
pub(crate) struct Berth(Arc<Place>);

struct Place {
    archive: Mutex<Option<Archive>>,
    home: Notify,
}

/// The open file, on a trip. Dropped, it is home.
pub(crate) struct Trip {
    /// Always there, until the trip ends.
    archive: Option<Archive>,
    berth: Berth,
}

impl Berth {
    pub(crate) fn new(archive: Archive) -> Self {
        Self(Arc::new(Place {
            archive: Mutex::new(Some(archive)),
            home: Notify::new(),
        }))
    }

    /// Takes the file when it is home: at once, but for what a former life began.
    pub(crate) async fn take(&self) -> Trip {
        loop {
            if let Some(archive) = self.archive().take() {
                return Trip {
                    archive: Some(archive),
                    berth: self.clone(),
                };
            }
            self.0.home.notified().await;
        }
    }

    fn archive(&self) -> MutexGuard<'_, Option<Archive>> {
        self.0
            .archive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trip {
    /// The open file.
    pub(crate) fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        if let Some(archive) = self.archive.take() {
            roll_back(&archive.connection);
            *self.berth.archive() = Some(archive);
            self.berth.0.home.notify_one();
        }
    }
}
