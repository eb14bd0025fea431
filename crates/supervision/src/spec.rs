//! Specs are data: what to start, in which order, and what to do when it ends. Nothing here starts anything.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kameo::actor::Actor;

use crate::actor_child::ActorChild;
use crate::admin::{Control, SupervisorHandle};
use crate::backoff::Backoff;
use crate::cell::Cell;
use crate::child::Child;
use crate::handle::Handle;
use crate::inbox::Birth;
use crate::intensity::Intensity;
use crate::names::{ChildId, ChildPath};
use crate::policy::{AutoShutdown, Policy, Restart, Shutdown, Strategy};
use crate::supervisor_child::SupervisorChild;
use crate::task_child::{TaskChild, TaskContext, TaskError};

/// Restarts a supervisor allows unless asked otherwise: 5 …
pub const DEFAULT_MAX_RESTARTS: u32 = 5;
/// … within 30 s: with the default backoff a child that crashes at once uses them up in about three seconds.
pub const DEFAULT_PERIOD: Duration = Duration::from_secs(30);

/// A spec that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A queue of no places.
    #[error("child {child}: capacity is 0, but a queue needs room for at least 1 message")]
    NoCapacity {
        /// Whose.
        child: ChildPath,
    },
    /// Two children of one supervisor share an id.
    #[error("supervisor {supervisor} has two children called {child}; give one another id")]
    Duplicate {
        /// Whose children.
        supervisor: ChildId,
        /// The id.
        child: ChildId,
    },
    /// The strategy is known but not built yet.
    #[error(
        "supervisor {supervisor}: strategy {strategy:?} is not available yet; use OneForOne or RestForOne"
    )]
    Strategy {
        /// Whose.
        supervisor: ChildId,
        /// Which.
        strategy: Strategy,
    },
    /// Automatic shutdown is known but not built yet.
    #[error(
        "supervisor {supervisor}: auto_shutdown {auto_shutdown:?} is not available yet; use Never, and no significant children"
    )]
    AutoShutdown {
        /// Whose.
        supervisor: ChildId,
        /// Which.
        auto_shutdown: AutoShutdown,
    },
    /// A significant child under a supervisor that does not care, as in OTP.
    #[error("child {child} is significant, but its supervisor's auto_shutdown is Never")]
    Significant {
        /// Which.
        child: ChildId,
    },
    /// A spec stands for one place in one tree.
    #[error("the spec of {child} is already in use; make a new one for a new place")]
    UsedTwice {
        /// Its second path.
        child: ChildPath,
    },
}

/// One child, as its supervisor keeps it.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) id: ChildId,
    pub(crate) policy: Policy,
    pub(crate) child: Arc<dyn Child>,
}

/// What to start and what to do when it ends.
#[must_use = "a spec does nothing until a supervisor starts it"]
pub struct ChildSpec(Record);

impl ChildSpec {
    fn new(id: ChildId, policy: Policy, child: Arc<dyn Child>) -> Self {
        Self(Record { id, policy, child })
    }

    /// A permanent actor. At most `capacity` (at least 1) messages queue for it; `seed` is cloned for every life. The
    /// handle works at once: what is sent before the start is handled after it.
    pub fn actor<A, S>(id: impl Into<ChildId>, capacity: usize, seed: S) -> (Self, Handle<A>)
    where
        A: Actor<Args = Birth<A, S>>,
        S: Clone + Send + Sync + 'static,
    {
        let id = id.into();
        let cell = Arc::new(Cell::new(&id, capacity));
        let child = Arc::new(ActorChild {
            cell: cell.clone(),
            seed,
        });
        (Self::new(id, Policy::worker(), child), Handle::new(cell))
    }

    /// A permanent task: a listener, a pump. It is ready when it calls [`TaskContext::ready`].
    pub fn task<F, Fut>(id: impl Into<ChildId>, start: F) -> Self
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        Self::new(id.into(), Policy::worker(), Arc::new(TaskChild::new(start)))
    }

    /// A permanent supervisor. Ready when all its children are.
    pub fn supervisor(spec: SupervisorSpec) -> Self {
        let id = spec.id.clone();
        Self::new(id, Policy::supervisor(), Arc::new(spec.into_child()))
    }

    /// Which ends are answered by a new start; `Permanent` unless said otherwise.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.0.policy.restart = restart;
        self
    }

    /// Started again after a crash, not after a normal end.
    pub fn transient(self) -> Self {
        self.restart(Restart::Transient)
    }

    /// Never started again, and forgotten when it ends.
    pub fn temporary(self) -> Self {
        self.restart(Restart::Temporary)
    }

    /// How it is asked to end; `Timeout(5 s)` for workers and `Infinity` for supervisors unless said otherwise.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.0.policy.shutdown = shutdown;
        self
    }

    /// How long it rests before a restart.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.0.policy.backoff = backoff;
        self
    }

    /// How long a start may take; 30 s for workers unless said otherwise.
    pub fn start_timeout(mut self, start_timeout: Duration) -> Self {
        self.0.policy.start_timeout = start_timeout;
        self
    }

    /// Its end may end the supervisor. Refused at start while [`AutoShutdown`] is.
    pub fn significant(mut self) -> Self {
        self.0.policy.significant = true;
        self
    }

    /// The id.
    pub fn id(&self) -> &ChildId {
        &self.0.id
    }

    /// The decisions.
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    pub(crate) fn into_record(self) -> Record {
        self.0
    }
}

impl Record {
    /// Refuses what can never run. `auto_shutdown` is the supervisor's.
    pub(crate) fn check(&self, auto_shutdown: AutoShutdown) -> Result<(), SpecError> {
        if self.policy.significant && auto_shutdown == AutoShutdown::Never {
            return Err(SpecError::Significant {
                child: self.id.clone(),
            });
        }
        self.child.check()
    }
}

/// A supervisor and its children, in start order.
#[must_use = "a spec does nothing until it is started"]
pub struct SupervisorSpec {
    id: ChildId,
    pub(crate) strategy: Strategy,
    auto_shutdown: AutoShutdown,
    max_restarts: u32,
    period: Duration,
    children: Vec<Record>,
    control: Arc<Control>,
}

impl SupervisorSpec {
    /// `one_for_one`, 5 restarts within 30 s, no children yet.
    pub fn new(id: impl Into<ChildId>) -> Self {
        let id = id.into();
        let control = Arc::new(Control::new(&id));
        Self {
            id,
            strategy: Strategy::OneForOne,
            auto_shutdown: AutoShutdown::Never,
            max_restarts: DEFAULT_MAX_RESTARTS,
            period: DEFAULT_PERIOD,
            children: Vec::new(),
            control,
        }
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

    /// One more child, started after those before it and stopped before them.
    pub fn child(mut self, spec: ChildSpec) -> Self {
        self.children.push(spec.into_record());
        self
    }

    /// The way to this supervisor, before it starts, too.
    pub fn handle(&self) -> SupervisorHandle {
        SupervisorHandle::new(self.control.clone())
    }

    /// The id.
    pub fn id(&self) -> &ChildId {
        &self.id
    }

    fn into_child(self) -> SupervisorChild {
        SupervisorChild::new(self)
    }
}

/// What a supervisor's every life is made from.
pub(crate) struct Plan {
    pub(crate) id: ChildId,
    pub(crate) strategy: Strategy,
    pub(crate) auto_shutdown: AutoShutdown,
    pub(crate) intensity: Intensity,
    pub(crate) children: Vec<Record>,
}

impl SupervisorSpec {
    pub(crate) fn into_parts(self) -> (Plan, Arc<Control>) {
        let plan = Plan {
            id: self.id,
            strategy: self.strategy,
            auto_shutdown: self.auto_shutdown,
            intensity: Intensity::new(self.max_restarts, self.period),
            children: self.children,
        };
        (plan, self.control)
    }
}

impl Plan {
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        if !matches!(self.strategy, Strategy::OneForOne | Strategy::RestForOne) {
            return Err(SpecError::Strategy {
                supervisor: self.id.clone(),
                strategy: self.strategy,
            });
        }
        if self.auto_shutdown != AutoShutdown::Never {
            return Err(SpecError::AutoShutdown {
                supervisor: self.id.clone(),
                auto_shutdown: self.auto_shutdown,
            });
        }
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
        Ok(())
    }
}
