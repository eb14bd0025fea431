//! A child as data: what to start and what to do when it ends. Nothing here starts anything.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kameo::actor::Actor;

use crate::actor_child::ActorChild;
use crate::backoff::Backoff;
use crate::cell::Cell;
use crate::child::Child;
use crate::handle::Handle;
use crate::inbox::Birth;
use crate::names::ChildId;
use crate::policy::{AutoShutdown, MIN_HANDLER_BUDGET, Policy, Restart, Shutdown};
use crate::spec_error::SpecError;
use crate::supervisor_spec::SupervisorSpec;
use crate::task_child::{TaskChild, TaskContext, TaskError};

/// Siblings that have to be up before a child is started; behind one pointer, because most depend on nobody.
#[derive(Clone, Default)]
pub(crate) struct Needs(Option<Arc<Vec<ChildId>>>);

impl Needs {
    pub(crate) fn ids(&self) -> &[ChildId] {
        self.0.as_ref().map_or(&[], |ids| ids)
    }
}

/// One child, as its supervisor keeps it.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) id: ChildId,
    pub(crate) policy: Arc<Policy>,
    pub(crate) needs: Needs,
    pub(crate) child: Arc<dyn Child>,
}

/// What to start and what to do when it ends.
#[must_use = "a spec does nothing until a supervisor starts it"]
pub struct ChildSpec(Record);

impl ChildSpec {
    fn new(id: ChildId, policy: Policy, child: Arc<dyn Child>) -> Self {
        Self::with_shared_policy(id, Arc::new(policy), child)
    }

    fn with_shared_policy(id: ChildId, policy: Arc<Policy>, child: Arc<dyn Child>) -> Self {
        Self(Record {
            id,
            policy,
            needs: Needs::default(),
            child,
        })
    }

    /// An actor with decisions that it shares with others like it.
    pub(crate) fn instance<A, S>(
        id: ChildId,
        capacity: usize,
        policy: Arc<Policy>,
        seed: S,
    ) -> (Self, Handle<A>)
    where
        A: Actor<Args = Birth<A, S>>,
        S: Clone + Send + Sync + 'static,
    {
        let cell = Arc::new(Cell::new(&id, capacity));
        let child = Arc::new(ActorChild {
            cell: cell.clone(),
            seed,
        });
        let spec = Self::with_shared_policy(id, policy, child);
        (spec, Handle::new(cell))
    }

    /// A permanent actor. At most `capacity` (at least 1) messages queue for it; `seed` is cloned for every life. The
    /// handle works at once: what is sent before the start is handled after it.
    pub fn actor<A, S>(id: impl Into<ChildId>, capacity: usize, seed: S) -> (Self, Handle<A>)
    where
        A: Actor<Args = Birth<A, S>>,
        S: Clone + Send + Sync + 'static,
    {
        Self::instance(id.into(), capacity, Arc::new(Policy::worker()), seed)
    }

    /// A permanent task: a listener, a pump. It is ready when it calls [`TaskContext::ready`].
    pub fn task<F, Fut>(id: impl Into<ChildId>, start: F) -> Self
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        Self::new(id.into(), Policy::task(), Arc::new(TaskChild::new(start)))
    }

    /// A permanent supervisor. Ready when all its children are.
    pub fn supervisor(spec: SupervisorSpec) -> Self {
        let id = spec.id().clone();
        Self::new(id, Policy::supervisor(), Arc::new(spec.into_child()))
    }

    /// Which ends are answered by a new start; `Permanent` unless said otherwise.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.policy_mut().restart = restart;
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
        self.policy_mut().shutdown = shutdown;
        self
    }

    /// How long it rests before a restart.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.policy_mut().backoff = backoff;
        self
    }

    /// How long a start may take; 30 s for workers unless said otherwise.
    pub fn start_timeout(mut self, start_timeout: Duration) -> Self {
        self.policy_mut().start_timeout = start_timeout;
        self
    }

    /// How long it may handle one message before it is reported stuck (`Lifecycle::Stuck`): at least 1 ms; 10 s for actors
    /// unless said otherwise. `None` is for an actor whose handlers rightly take as long as they take. Nothing is done to
    /// one that is stuck: only its author knows whether dropping a handler half way is safe.
    pub fn handler_budget(mut self, handler_budget: impl Into<Option<Duration>>) -> Self {
        self.policy_mut().handler_budget = handler_budget.into();
        self
    }

    /// Its end, by itself and for good, may end its supervisor: see [`AutoShutdown`]. For transient and temporary
    /// children of a supervisor whose `auto_shutdown` is not `Never`; others are refused at the start, as in OTP.
    pub fn significant(mut self) -> Self {
        self.policy_mut().significant = true;
        self
    }

    /// It is started after these siblings, wherever it stands in the spec, and stopped before them. Siblings that depend
    /// on nothing keep the order they were written in. A child that is added at run time is refused unless these are up.
    /// Restarts are not tied to it, nor are `terminate_child` and `delete_child`: handles outlive them.
    /// [`Strategy::RestForOne`](crate::Strategy) ties restarts.
    pub fn depends_on<I>(mut self, siblings: impl IntoIterator<Item = I>) -> Self
    where
        I: Into<ChildId>,
    {
        self.0.needs = Needs(Some(Arc::new(
            siblings.into_iter().map(Into::into).collect(),
        )));
        self
    }

    fn policy_mut(&mut self) -> &mut Policy {
        Arc::make_mut(&mut self.0.policy)
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
        self.id.check()?;
        self.policy.check_significance(&self.id, auto_shutdown)?;
        self.policy
            .check_budget(&self.id, self.child.has_handlers())?;
        self.child.check()
    }
}

impl Policy {
    /// OTP's two bad combinations.
    pub(crate) fn check_significance(
        &self,
        child: &ChildId,
        auto_shutdown: AutoShutdown,
    ) -> Result<(), SpecError> {
        let child = || child.clone();
        match (self.significant, self.restart, auto_shutdown) {
            (true, _, AutoShutdown::Never) => Err(SpecError::Significant { child: child() }),
            (true, Restart::Permanent, _) => {
                Err(SpecError::SignificantPermanent { child: child() })
            }
            _ => Ok(()),
        }
    }

    /// `has_handlers`: only an actor handles messages.
    pub(crate) fn check_budget(
        &self,
        child: &ChildId,
        has_handlers: bool,
    ) -> Result<(), SpecError> {
        let Some(value) = self.handler_budget else {
            return Ok(());
        };
        let child = child.clone();
        if !has_handlers {
            return Err(SpecError::NoHandlers { child, value });
        }
        if value < MIN_HANDLER_BUDGET {
            return Err(SpecError::HandlerBudget { child, value });
        }
        Ok(())
    }
}
