//! A supervisor as data: its strategy, its limits, and its children in start order. Nothing here starts anything.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kameo::actor::Actor;

use crate::admin::{Control, SupervisorHandle};
use crate::dependency_order::{self, Disorder};
use crate::inbox::Birth;
use crate::instances::Instances;
use crate::intensity::Intensity;
use crate::names::ChildId;
use crate::policy::{AutoShutdown, Policy, Strategy};
use crate::spec::{ChildSpec, Record};
use crate::spec_error::SpecError;
use crate::supervisor_child::SupervisorChild;

/// Restarts a supervisor allows unless asked otherwise: 5 …
pub const DEFAULT_MAX_RESTARTS: u32 = 5;
/// … within 30 s: with the default backoff a child that crashes at once uses them up in about three seconds.
pub const DEFAULT_PERIOD: Duration = Duration::from_secs(30);

/// A supervisor and its children, in start order.
#[must_use = "a spec does nothing until it is started"]
pub struct SupervisorSpec {
    id: ChildId,
    strategy: Strategy,
    auto_shutdown: AutoShutdown,
    max_restarts: u32,
    period: Duration,
    children: Vec<Record>,
    template: Option<Arc<Policy>>,
    chaos: bool,
    place: Unborn,
}

/// The place of a supervisor that no tree has yet. It goes down with its spec: nobody may wait for a supervisor that is
/// never started.
struct Unborn {
    control: Arc<Control>,
    born: bool,
}

impl Drop for Unborn {
    fn drop(&mut self) {
        if !self.born {
            self.control.down();
        }
    }
}

impl SupervisorSpec {
    /// `one_for_one`, 5 restarts within 30 s, no children yet.
    pub fn new(id: impl Into<ChildId>) -> Self {
        let id = id.into();
        let place = Unborn {
            control: Arc::new(Control::new(&id)),
            born: false,
        };
        Self {
            id,
            strategy: Strategy::OneForOne,
            auto_shutdown: AutoShutdown::Never,
            max_restarts: DEFAULT_MAX_RESTARTS,
            period: DEFAULT_PERIOD,
            children: Vec::new(),
            template: None,
            chaos: false,
            place,
        }
    }

    /// `simple_one_for_one`: no children yet, and all that come are actors of one type with these decisions and room for
    /// `capacity` messages (at least 1). They are started, found by id and stopped through the [`Instances`], and leave
    /// nothing behind when they end.
    pub fn simple_one_for_one<A, S>(
        id: impl Into<ChildId>,
        capacity: usize,
        policy: Policy,
    ) -> (Self, Instances<A, S>)
    where
        A: Actor<Args = Birth<A, S>>,
        S: Clone + Send + Sync + 'static,
    {
        let policy = Arc::new(policy);
        let mut spec = Self::new(id).strategy(Strategy::SimpleOneForOne);
        spec.template = Some(policy.clone());
        let instances = Instances::new(spec.handle(), capacity, policy);
        (spec, instances)
    }

    /// Who else is restarted when a child is.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Which ends of significant children end this supervisor too.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.auto_shutdown = auto_shutdown;
        self
    }

    /// More than `max_restarts` restarts within `period`, and the supervisor gives up.
    pub fn intensity(mut self, max_restarts: u32, period: Duration) -> Self {
        self.max_restarts = max_restarts;
        self.period = period;
        self
    }

    /// Allows faults on purpose ([`Administration::chaos`](crate::Administration::chaos)) in the whole tree. Only the spec
    /// of the root is asked; off unless said.
    pub fn allow_chaos(mut self) -> Self {
        self.chaos = true;
        self
    }

    pub(crate) fn allows_chaos(&self) -> bool {
        self.chaos
    }

    /// One more child, started after those before it and stopped before them.
    pub fn child(mut self, spec: ChildSpec) -> Self {
        let mut record = spec.into_record();
        // Of a crowd with one policy, each keeps the same copy.
        if let Some(last) = self
            .children
            .last()
            .filter(|last| last.policy == record.policy)
        {
            record.policy = last.policy.clone();
        }
        self.children.push(record);
        self
    }

    /// One more child, started before those that are there already and stopped after them.
    pub fn first_child(mut self, spec: ChildSpec) -> Self {
        self.children.insert(0, spec.into_record());
        self
    }

    /// The way to this supervisor, before it starts, too.
    pub fn handle(&self) -> SupervisorHandle {
        SupervisorHandle::new(self.place.control.clone())
    }

    /// The id.
    pub fn id(&self) -> &ChildId {
        &self.id
    }

    pub(crate) fn into_child(self) -> SupervisorChild {
        SupervisorChild::new(self)
    }
}

/// What a supervisor's every life is made from.
pub(crate) struct Plan {
    pub(crate) id: ChildId,
    pub(crate) strategy: Strategy,
    pub(crate) auto_shutdown: AutoShutdown,
    pub(crate) intensity: Intensity,
    /// In start order: as written, but each after those it depends on.
    pub(crate) children: Vec<Record>,
    template: Option<Arc<Policy>>,
    disorder: Option<Disorder>,
}

impl SupervisorSpec {
    pub(crate) fn into_parts(mut self) -> (Plan, Arc<Control>) {
        self.place.born = true;
        let control = self.place.control.clone();
        control.runs(self.strategy);
        let (mut children, disorder) = in_start_order(self.children);
        children.shrink_to_fit();
        let plan = Plan {
            id: self.id,
            strategy: self.strategy,
            auto_shutdown: self.auto_shutdown,
            intensity: Intensity::new(self.max_restarts, self.period),
            children,
            template: self.template,
            disorder,
        };
        (plan, control)
    }
}

fn in_start_order(children: Vec<Record>) -> (Vec<Record>, Option<Disorder>) {
    if children.iter().all(|record| record.needs.ids().is_empty()) {
        return (children, None);
    }
    let wishes: Vec<(&ChildId, &[ChildId])> = children
        .iter()
        .map(|record| (&record.id, record.needs.ids()))
        .collect();
    match dependency_order::start_order(&wishes) {
        Ok(order) => {
            let ordered = order.into_iter().filter_map(|at| children.get(at).cloned());
            (ordered.collect(), None)
        }
        Err(disorder) => (children, Some(disorder)),
    }
}

impl Plan {
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        self.id.check()?;
        self.check_template()?;
        let mut ids = HashSet::new();
        for record in &self.children {
            if !ids.insert(&record.id) {
                return Err(SpecError::Duplicate {
                    supervisor: self.id.clone(),
                    child: record.id.clone(),
                });
            }
            record.check(self.auto_shutdown)?;
        }
        match self.disorder.clone() {
            None => Ok(()),
            Some(Disorder::Unknown { child, on }) => {
                Err(SpecError::UnknownDependency { child, on })
            }
            Some(Disorder::Cycle(path)) => Err(SpecError::DependencyCycle { path }),
        }
    }

    fn check_template(&self) -> Result<(), SpecError> {
        let supervisor = || self.id.clone();
        let simple = self.strategy == Strategy::SimpleOneForOne;
        match (&self.template, self.children.first()) {
            (None, _) if simple => Err(SpecError::NoTemplate {
                supervisor: supervisor(),
            }),
            (Some(_), Some(child)) => Err(SpecError::BesideTemplate {
                supervisor: supervisor(),
                child: child.id.clone(),
            }),
            (Some(policy), None) => {
                policy.check_significance(&self.id, self.auto_shutdown)?;
                policy.check_budget(&self.id, true)
            }
            (None, _) => Ok(()),
        }
    }
}
