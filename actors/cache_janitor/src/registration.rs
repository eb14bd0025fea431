//! Shell: a cache's place with the janitor, given up by being dropped.
//!
//! It speaks to the janitor through memory both share: nothing here waits, and a janitor that is being started again
//! misses nothing.

use std::fmt;

use tokio::time::Instant;

use crate::registry::Place;
use crate::roster::Held;

/// One registered cache. Dropped, it is not swept any more.
pub struct Registration {
    place: Place,
}

impl Registration {
    pub(crate) fn new(place: Place) -> Self {
        Self { place }
    }

    /// Says what the cache holds and when its first entry expires. What was said last counts. Never waits; said again
    /// unchanged, it costs a lock and nothing wakes.
    pub fn holds(&self, held: Held) {
        self.place.hold(held);
    }

    /// Says when the first entry expires, and nothing else; `None` if none ever does.
    pub fn due_at(&self, next_due: Option<Instant>) {
        self.place.due_at(next_due);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.place.leave();
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({:?})", self.place)
    }
}
