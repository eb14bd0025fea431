//! The way to one supervisor: start, find, stop and list its children at run time.

use std::sync::Arc;

use kameo::actor::Actor;
use tokio::sync::oneshot;

use super::{ChildInfo, Command, Control, StartChildError, TerminateChildError};
use crate::cell::Cell;
use crate::exit::ChildState;
use crate::handle::Handle;
use crate::inbox::Birth;
use crate::names::{ChildId, ChildPath};
use crate::spec::ChildSpec;

/// The way to one supervisor. Cheap to clone; made before it starts; survives its restarts.
#[derive(Clone)]
pub struct SupervisorHandle {
    control: Arc<Control>,
}

impl std::fmt::Debug for SupervisorHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SupervisorHandle({})", self.control.path())
    }
}

impl SupervisorHandle {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Self { control }
    }

    /// Where in the tree.
    pub fn child(&self) -> &ChildPath {
        self.control.path()
    }

    /// Where the supervisor is in its life.
    pub fn state(&self) -> ChildState {
        self.control.state()
    }

    fn stopping(&self) -> StartChildError {
        StartChildError::Stopping {
            supervisor: self.child().clone(),
        }
    }

    /// Starts one more child, after all others, and waits until it is ready.
    ///
    /// # Errors
    /// See [`StartChildError`]; then nothing of the child is left.
    pub async fn start_child(&self, spec: ChildSpec) -> Result<(), StartChildError> {
        let (reply, answer) = oneshot::channel();
        let record = spec.into_record();
        let sent = self.control.send(Command::Start { record, reply }).await;
        sent.ok_or_else(|| self.stopping())?;
        answer.await.unwrap_or_else(|_| Err(self.stopping()))
    }

    /// The handle of the living actor of that id, or of a new one made from these arguments and ready. One that is on its
    /// way out is waited for, then replaced. A caller whose message comes back as `Down` because the actor had finished
    /// asks here again: no message is ever lost between two lives.
    ///
    /// # Errors
    /// See [`StartChildError`]; `AlreadyStarted` is never among them.
    pub async fn ensure_actor<A, S>(
        &self,
        id: impl Into<ChildId>,
        capacity: usize,
        seed: S,
        adjust: impl FnOnce(ChildSpec) -> ChildSpec,
    ) -> Result<Handle<A>, StartChildError>
    where
        A: Actor<Args = Birth<A, S>>,
        S: Clone + Send + Sync + 'static,
    {
        let (spec, _) = ChildSpec::actor::<A, S>(id, capacity, seed);
        let record = adjust(spec).into_record();
        let (reply, answer) = oneshot::channel();
        let sent = self.control.send(Command::Ensure { record, reply }).await;
        sent.ok_or_else(|| self.stopping())?;
        let (child, shared) = answer.await.unwrap_or_else(|_| Err(self.stopping()))?;
        match shared.downcast::<Cell<A>>() {
            Ok(cell) => Ok(Handle::new(cell)),
            Err(_) => Err(StartChildError::OtherActor { child }),
        }
    }

    /// Stops a child as its spec says, and waits for its end. It is not started again; one that was started at run time
    /// is forgotten, one of the supervisor's own spec is kept as down.
    ///
    /// # Errors
    /// No such child, or no such supervisor any more.
    pub async fn terminate_child(&self, id: &ChildId) -> Result<(), TerminateChildError> {
        let down = || TerminateChildError::Down {
            supervisor: self.child().clone(),
        };
        let (reply, answer) = oneshot::channel();
        let id = id.clone();
        let sent = self.control.send(Command::Terminate { id, reply }).await;
        sent.ok_or_else(down)?;
        answer.await.unwrap_or_else(|_| Err(down()))
    }

    /// Every child in start order. Empty if the supervisor is down.
    pub async fn which_children(&self) -> Vec<ChildInfo> {
        let (reply, answer) = oneshot::channel();
        if self.control.send(Command::Which { reply }).await.is_none() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }
}
