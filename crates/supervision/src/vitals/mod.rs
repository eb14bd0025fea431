//! What every child does, under labels that are bounded by the specs: read out of the tree when somebody looks, so that a
//! message costs an addition. A counter here never goes back.

mod text;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::handling::{Handling, Totals};
use crate::health::Health;
use crate::names::{ChildId, ChildPath};
use crate::topology::{Topology, TopologyNode};

/// What the children of one label do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vital {
    /// Messages handled to their end, over all lives: queued ones, private ones and alarms.
    pub handled: u64,
    /// How long that took.
    pub handling: Handling,
    /// Messages queued now.
    pub depth: usize,
    /// Messages that may be queued; 0 for what has no queue.
    pub capacity: usize,
    /// Children whose queue waits because an administrator said so.
    pub paused: usize,
    /// Children by [`Health`], in the order of [`Health::ALL`].
    pub health: [usize; 6],
}

/// What all children of a tree do, by label: a path, with `*` for what was started at run time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// By label.
    pub by_label: BTreeMap<ChildPath, Vital>,
}

/// What outlives the children: what those that are gone had done, and what was last told.
#[derive(Debug, Default)]
pub(crate) struct Remains(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Bounded by the labels.
    gone: BTreeMap<ChildPath, Totals>,
    told: BTreeMap<ChildPath, Totals>,
}

impl Remains {
    /// A child of that label is forgotten.
    pub(crate) fn keep(&self, label: &ChildPath, totals: &Totals) {
        if totals.handled == 0 {
            return;
        }
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.gone.entry(label.clone()).or_default().add(totals);
    }

    pub(crate) fn gone(&self) -> BTreeMap<ChildPath, Totals> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.gone.clone()
    }

    /// A child that was forgotten between two looks, or a supervisor that did not answer, takes nothing back.
    /// `top`: the label of the look's top; others have been told of other parts of the tree.
    pub(crate) fn never_less(&self, vitals: &mut Vitals, top: &ChildPath) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let below = inner.told.iter().filter(|(label, _)| is_below(label, top));
        for (label, told) in below {
            let vital = vitals.by_label.entry(label.clone()).or_default();
            vital.handled = vital.handled.max(told.handled);
            vital.handling.at_least(&told.handling);
        }
        let counted = vitals
            .by_label
            .iter()
            .filter(|(_, vital)| vital.handled > 0);
        let told = counted.map(|(label, vital)| {
            let (handled, handling) = (vital.handled, vital.handling.clone());
            (label.clone(), Totals { handled, handling })
        });
        inner.told.extend(told);
    }
}

fn is_below(path: &ChildPath, top: &ChildPath) -> bool {
    let rest = path.as_str().strip_prefix(top.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Vitals {
    /// Adds up what a look at the tree shows, and what those had done that are gone.
    pub(crate) fn of(
        seen: &Topology,
        label: &ChildPath,
        gone: &BTreeMap<ChildPath, Totals>,
    ) -> Self {
        let mut vitals = Self::default();
        let below = gone.iter().filter(|(path, _)| is_below(path, label));
        for (label, totals) in below {
            let vital = vitals.by_label.entry(label.clone()).or_default();
            vital.handled += totals.handled;
            vital.handling.add(&totals.handling);
        }
        let star = ChildId::new("*");
        let mut open = vec![(&seen.top, label.clone())];
        while let Some((node, label)) = open.pop() {
            for child in &node.children {
                let id = if child.info.dynamic {
                    &star
                } else {
                    &child.info.id
                };
                open.push((child, label.join(id)));
            }
            vitals.by_label.entry(label).or_default().add(node);
        }
        vitals
    }
}

impl Vital {
    fn add(&mut self, node: &TopologyNode) {
        let info = &node.info;
        self.handled += info.handled;
        if let Some(handling) = &info.handling {
            self.handling.add(handling);
        }
        self.depth += info.depth;
        self.capacity += info.capacity;
        self.paused += usize::from(info.paused);
        // One that was never started, or left its supervisor's life with it, is shown as it is.
        let at = Health::ALL.iter().position(|word| *word == info.health);
        if let Some(count) = at.and_then(|at| self.health.get_mut(at)) {
            *count += 1;
        }
    }
}
