//! How a supervisor sees that a handler of a child does not come to its end: it looks, from its own task, so that a
//! handler that blocks its thread is seen as well as one that waits for ever. Nothing here touches the child.

use tokio::time::Instant;

use super::Supervisor;
use crate::cell::short_name;
use crate::events::{Lifecycle, count_stuck};
use crate::exit::ChildState;
use crate::family::Key;
use crate::health::Health;
use crate::watch::Finding;

impl Supervisor {
    /// The earliest of what the family and the watch wait for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let family = self.family.deadline();
        family.into_iter().chain(self.watch.deadline()).min()
    }

    /// A child is watched while it is up: a start has its timeout, and a stop its deadline.
    pub(super) fn watch_while_up(&mut self, key: Key, state: ChildState) {
        if state != ChildState::Up {
            return self.unwatch(key);
        }
        if let Some(kept) = self.kept.get(&key)
            && let Some(budget) = kept.policy.handler_budget
        {
            let busy = kept.child.busy();
            self.watch.add(key, budget, Instant::now(), busy);
        }
    }

    pub(super) fn unwatch(&mut self, key: Key) {
        let kept = self.kept.get(&key);
        if let Some(budget) = kept.and_then(|kept| kept.policy.handler_budget) {
            self.watch.remove(key, budget);
        }
    }

    /// Looks at those whose moment has come.
    pub(super) fn look_after(&mut self, now: Instant) {
        if self.watch.deadline().is_none_or(|at| at > now) {
            return;
        }
        let kept = &self.kept;
        let found = self.watch.look(now, |key| kept.get(&key)?.child.busy());
        for finding in found {
            self.report(finding);
        }
    }

    fn report(&self, finding: Finding) {
        let (key, what) = match finding {
            Finding::Stuck {
                key,
                message,
                budget,
                for_,
            } => {
                count_stuck(self.label_of(key).as_str());
                let message = short_name(message).to_owned();
                let stuck = Lifecycle::Stuck {
                    message,
                    budget,
                    for_,
                };
                (key, stuck)
            }
            Finding::Unstuck { key, message, took } => {
                let message = short_name(message).to_owned();
                (key, Lifecycle::Unstuck { message, took })
            }
        };
        let incarnation = self.family.incarnation(key);
        self.tell(key, incarnation, what);
    }

    /// Tells the metrics how many children are how.
    pub(super) fn tell_metrics(&mut self) {
        let stuck = self.watch.stuck();
        let mut counts = self.family.counts();
        for (health, count) in Health::ALL.into_iter().zip(&mut counts) {
            match health {
                Health::Up => *count = count.saturating_sub(stuck),
                Health::Stuck => *count = stuck,
                _ => {}
            }
        }
        self.tally.show(counts);
    }
}
