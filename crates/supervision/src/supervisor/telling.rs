//! What a supervisor tells of its children and of itself: events, the flight recorder, and the counters of what is rare.

use tokio::time::Instant;

use super::{Kept, Supervisor};
use crate::events::{Lifecycle, LifecycleEvent, count_crash, count_escalation, note_backoff};
use crate::family::Key;
use crate::names::ChildPath;

impl Supervisor {
    /// A step in the life of a child.
    pub(super) fn tell(&self, key: Key, incarnation: u64, what: Lifecycle) {
        match &what {
            Lifecycle::Crashed { .. } | Lifecycle::StartFailed { .. } => {
                let reason = self.family.cause(key).as_str();
                count_crash(self.label_of(key).as_str(), reason);
            }
            Lifecycle::BackingOff { delay, .. } => {
                note_backoff(self.label_of(key).as_str(), *delay);
            }
            _ => {}
        }
        let kept = self.kept.get(&key);
        let passing = self.is_passing() || kept.is_some_and(|kept| kept.dynamic);
        self.announce(self.path_of(key), incarnation, what, passing);
    }

    /// A step in its own life.
    pub(super) fn tell_of_itself(&self, what: Lifecycle) {
        if let Lifecycle::Escalated { .. } = &what {
            count_escalation(self.label.as_str());
        }
        let (path, incarnation) = (self.path.clone(), self.incarnation);
        self.announce(path, incarnation, what, self.is_passing());
    }

    /// It, or a supervisor above it, was started at run time.
    fn is_passing(&self) -> bool {
        self.label != self.path
    }

    fn announce(&self, child: ChildPath, incarnation: u64, what: Lifecycle, passing: bool) {
        let event = LifecycleEvent {
            child,
            incarnation,
            at: Instant::now(),
            what,
        };
        self.tree.announce(event, passing);
    }

    /// What a child had done that is forgotten, or goes with this life. Those of the spec keep their places.
    pub(super) fn depart(&self, kept: &Kept) {
        if kept.dynamic {
            kept.child.depart(&self.dynamic_label, &self.tree.remains);
        }
    }
}

/// However this life ends, those started at run time go with it.
impl Drop for Supervisor {
    fn drop(&mut self) {
        for kept in self.kept.values() {
            self.depart(kept);
        }
    }
}
