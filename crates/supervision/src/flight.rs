//! What led to what: the last steps of every child, with their reasons, for who asks why. Bounded; it outlives the lives
//! of the children and of their supervisors.
//!
//! Starts that went well are left out, and so are stops in so far as their end is told: they explain nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::events::{Lifecycle, LifecycleEvent};
use crate::names::ChildPath;

/// Steps kept of one child: 32, the story of some eight crashes.
const STEPS: usize = 32;
/// Children started at run time of whom steps are kept: the last 256 of whom there was something to tell.
const PASSING: usize = 256;
/// Characters kept of a reason: 1000, a panic message with its values and no whole dump.
const REASON: usize = 1000;

/// One step that explains something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlightRecord {
    /// Whose.
    pub child: ChildPath,
    /// Which of its lives.
    pub incarnation: u64,
    /// When, on tokio's clock.
    pub at: Instant,
    /// What happened, with its reason and what was decided on it.
    pub what: Lifecycle,
    /// Grows with every step that is kept, in the whole tree.
    order: u64,
}

/// The last steps of one child and of the supervisors above it, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Whose.
    pub child: ChildPath,
    /// Its own steps, and those of the supervisors above it, in the order in which they were taken.
    pub records: Vec<FlightRecord>,
}

impl Flight {
    /// The child's own steps.
    pub fn own(&self) -> impl Iterator<Item = &FlightRecord> {
        self.records.iter().filter(|one| one.child == self.child)
    }
}

/// The recorder of one tree.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    order: u64,
    /// Of those in specs; as many as there are.
    fixed: BTreeMap<ChildPath, VecDeque<FlightRecord>>,
    /// Of those started at run time, [`PASSING`] at most.
    passing: BTreeMap<ChildPath, VecDeque<FlightRecord>>,
    /// The latter in the order in which they came.
    came: VecDeque<ChildPath>,
}

impl Recorder {
    pub(crate) fn note(&self, event: &LifecycleEvent, passing: bool) {
        let unremarkable = matches!(
            event.what,
            Lifecycle::Starting | Lifecycle::Ready { .. } | Lifecycle::Stopping
        );
        if unremarkable {
            return;
        }
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.order += 1;
        let record = FlightRecord {
            child: event.child.clone(),
            incarnation: event.incarnation,
            at: event.at,
            what: shortened(event.what.clone()),
            order: inner.order,
        };
        inner.keep(record, passing);
    }

    /// The steps of these, in the order in which they were taken.
    pub(crate) fn of<'a>(&self, paths: impl Iterator<Item = &'a ChildPath>) -> Vec<FlightRecord> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records: Vec<FlightRecord> = paths
            .filter_map(|path| inner.fixed.get(path).or_else(|| inner.passing.get(path)))
            .flatten()
            .cloned()
            .collect();
        records.sort_by_key(|record| record.order);
        records
    }
}

impl Inner {
    fn keep(&mut self, record: FlightRecord, passing: bool) {
        if passing && !self.passing.contains_key(&record.child) {
            self.came.push_back(record.child.clone());
            if self.came.len() > PASSING
                && let Some(oldest) = self.came.pop_front()
            {
                self.passing.remove(&oldest);
            }
        }
        let rings = if passing {
            &mut self.passing
        } else {
            &mut self.fixed
        };
        let ring = rings.entry(record.child.clone()).or_default();
        if ring.len() == STEPS {
            ring.pop_front();
        }
        ring.push_back(record);
    }
}

fn shortened(mut what: Lifecycle) -> Lifecycle {
    match &mut what {
        Lifecycle::Crashed { reason }
        | Lifecycle::StartFailed { reason }
        | Lifecycle::Escalated { reason, .. } => cut(reason),
        _ => {}
    }
    what
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(REASON) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ChildId;

    fn crash(child: &str, reason: &str) -> LifecycleEvent {
        LifecycleEvent {
            child: ChildPath::root(&ChildId::new(child)),
            incarnation: 1,
            at: Instant::now(),
            what: Lifecycle::Crashed {
                reason: reason.to_owned(),
            },
        }
    }

    fn reasons(recorder: &Recorder, child: &str) -> Vec<String> {
        let path = ChildPath::root(&ChildId::new(child));
        let records = recorder.of([path].iter());
        let reason = |record: FlightRecord| match record.what {
            Lifecycle::Crashed { reason } => reason,
            other => format!("{other:?}"),
        };
        records.into_iter().map(reason).collect()
    }

    #[test]
    fn the_last_steps_are_kept_and_those_who_pass_push_out_only_their_like() {
        let recorder = Recorder::default();
        for n in 0..100 {
            recorder.note(&crash("root/a", &n.to_string()), false);
        }
        for n in 0..1000 {
            recorder.note(&crash(&format!("root/guest-{n}"), "bye"), true);
        }
        let kept: Vec<String> = (100 - STEPS..100).map(|n| n.to_string()).collect();
        assert_eq!(reasons(&recorder, "root/a"), kept);
        assert_eq!(reasons(&recorder, "root/guest-743"), [""; 0]);
        assert_eq!(reasons(&recorder, "root/guest-744"), ["bye"]);
        assert_eq!(recorder.0.lock().unwrap().passing.len(), PASSING);
    }

    #[test]
    fn a_reason_of_any_length_is_kept_in_part() {
        let recorder = Recorder::default();
        recorder.note(&crash("root/a", &"ä".repeat(REASON + 1)), false);
        recorder.note(&crash("root/a", &"ä".repeat(REASON)), false);
        let kept = reasons(&recorder, "root/a");
        assert_eq!(kept, ["ä".repeat(REASON) + "…", "ä".repeat(REASON)]);
    }
}
