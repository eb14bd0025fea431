//! The children of a `simple_one_for_one` supervisor: any number of actors of one type, started, found and stopped by
//! id at run time. One that ends leaves nothing behind.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use kameo::actor::Actor;

use crate::admin::{StartChildError, Started, SupervisorHandle, TerminateChildError};
use crate::handle::Handle;
use crate::inbox::Birth;
use crate::names::ChildId;
use crate::policy::Policy;
use crate::spec::ChildSpec;

/// The way to the children of one template. Cheap to clone; made before their supervisor starts.
pub struct Instances<A: Actor, S> {
    supervisor: SupervisorHandle,
    capacity: usize,
    policy: Arc<Policy>,
    of: PhantomData<fn(S) -> A>,
}

impl<A: Actor, S> Clone for Instances<A, S> {
    fn clone(&self) -> Self {
        Self {
            supervisor: self.supervisor.clone(),
            capacity: self.capacity,
            policy: self.policy.clone(),
            of: PhantomData,
        }
    }
}

impl<A: Actor, S> fmt::Debug for Instances<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instances<{}>({})", A::name(), self.supervisor.child())
    }
}

impl<A, S> Instances<A, S>
where
    A: Actor<Args = Birth<A, S>>,
    S: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(supervisor: SupervisorHandle, capacity: usize, policy: Arc<Policy>) -> Self {
        Self {
            supervisor,
            capacity,
            policy,
            of: PhantomData,
        }
    }

    fn spec(&self, id: impl Into<ChildId>, seed: S) -> (ChildSpec, Handle<A>) {
        ChildSpec::instance(id.into(), self.capacity, self.policy.clone(), seed)
    }

    /// Starts one more and waits until it is ready.
    ///
    /// # Errors
    /// See [`StartChildError`]; then nothing of it is left.
    pub async fn start(
        &self,
        id: impl Into<ChildId>,
        seed: S,
    ) -> Result<Handle<A>, StartChildError> {
        let (spec, handle) = self.spec(id, seed);
        match self.supervisor.start_instance(spec).await? {
            Started::Running => Ok(handle),
            Started::Ignored => Err(StartChildError::Ignored {
                child: handle.child().clone(),
            }),
        }
    }

    /// The handle of the living one of that id, or of a new one made with this seed and ready. One that is on its way out
    /// is waited for, then replaced. A caller whose message comes back as `Down` because the actor had finished asks here
    /// again: no message is ever lost between two lives.
    ///
    /// # Errors
    /// See [`StartChildError`]; `AlreadyStarted` is never among them.
    pub async fn ensure(
        &self,
        id: impl Into<ChildId>,
        seed: S,
    ) -> Result<Handle<A>, StartChildError> {
        let (spec, _) = self.spec(id, seed);
        self.supervisor.ensure_instance(spec).await
    }

    /// Stops the one of that id as its policy says, waits for its end, and forgets it.
    ///
    /// # Errors
    /// See [`TerminateChildError`].
    pub async fn terminate(&self, id: &ChildId) -> Result<(), TerminateChildError> {
        self.supervisor.terminate_child(id).await
    }

    /// Their supervisor, to list and count them.
    pub fn supervisor(&self) -> &SupervisorHandle {
        &self.supervisor
    }
}
