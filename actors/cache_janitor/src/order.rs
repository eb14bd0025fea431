//! Shell: one order to sweep one cache, answered once by being done or by being dropped.
//!
//! What its answer says of the next deadline holds at once, even if it comes too late for the janitor to count: it is the
//! cache's own word, and the newest.

use std::fmt;

use tokio::sync::oneshot;

use crate::registry::Place;
use crate::roster::{Goal, Swept};

/// An order to sweep. Dropped without an answer, nothing was swept.
pub struct SweepOrder {
    /// What is to be dropped.
    pub goal: Goal,
    answer: oneshot::Sender<Swept>,
    place: Place,
}

impl SweepOrder {
    pub(crate) fn new(goal: Goal, place: Place) -> (Self, oneshot::Receiver<Swept>) {
        let (answer, answered) = oneshot::channel();
        let order = Self {
            goal,
            answer,
            place,
        };
        (order, answered)
    }

    /// The cache was swept.
    pub fn done(self, swept: Swept) {
        self.place.hold(swept.held());
        // Nobody listens any more if it took too long, or the janitor was started again; the figures count all the same.
        let _ = self.answer.send(swept);
    }

    /// Nobody waits for this any more: it came too late, or the janitor was started again. It need not be carried out.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

impl fmt::Debug for SweepOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SweepOrder")
            .field("goal", &self.goal)
            .field("abandoned", &self.is_abandoned())
            .finish_non_exhaustive()
    }
}
