//! The way to one supervisor: start, find, stop and list its children at run time.

use std::sync::Arc;
use std::time::Duration;

use kameo::actor::Actor;
use tokio::sync::oneshot;

use super::{
    Administration, ChildCounts, ChildInfo, ChildSpecInfo, Command, Control, DeleteChildError,
    GetChildspecError, RestartChildError, StartChildError, Started, TerminateChildError,
};
use crate::cell::Cell;
use crate::exit::ChildState;
use crate::handle::Handle;
use crate::inbox::Birth;
use crate::names::{ChildId, ChildPath};
use crate::spec::ChildSpec;
use crate::topology::{Topology, ask_tree};

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

    /// The way to every child below this supervisor by its path.
    pub fn administration(&self) -> Administration {
        Administration::new(self.control.clone())
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

    /// Sends a command and waits for its answer; `None` if the supervisor is down before that.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.control.send(command(reply)).await?;
        answer.await.ok()
    }

    /// Starts one more child, after all others, and waits until it is ready or ignores its start. Its spec is kept when it
    /// ends, unless it is temporary.
    ///
    /// # Errors
    /// See [`StartChildError`]; then nothing of the child is left, unless it was `Terminated`.
    pub async fn start_child(&self, spec: ChildSpec) -> Result<Started, StartChildError> {
        self.start(spec, false).await
    }

    pub(crate) async fn start_instance(&self, spec: ChildSpec) -> Result<Started, StartChildError> {
        self.start(spec, true).await
    }

    async fn start(&self, spec: ChildSpec, instance: bool) -> Result<Started, StartChildError> {
        let record = spec.into_record();
        let start = |reply| Command::Start {
            record,
            instance,
            reply,
        };
        let answer = self.ask(start).await;
        answer.unwrap_or_else(|| Err(self.stopping()))
    }

    /// The handle of the living actor of that id, or of a new one made from these arguments and ready. One that is on its
    /// way out is waited for, then replaced. A caller whose message comes back as `Down` because the actor had finished
    /// asks here again: no message is ever lost between two lives.
    /// A child of the spec that is down gives its place to the new one; its old handle stays down until a later life of the
    /// supervisor starts the spec again.
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
        self.ensure(adjust(spec), false).await
    }

    pub(crate) async fn ensure_instance<A: Actor>(
        &self,
        spec: ChildSpec,
    ) -> Result<Handle<A>, StartChildError> {
        self.ensure(spec, true).await
    }

    async fn ensure<A: Actor>(
        &self,
        spec: ChildSpec,
        instance: bool,
    ) -> Result<Handle<A>, StartChildError> {
        let record = spec.into_record();
        let ensure = |reply| Command::Ensure {
            record,
            instance,
            reply,
        };
        let answer = self.ask(ensure).await;
        let (child, shared) = answer.unwrap_or_else(|| Err(self.stopping()))?;
        match shared.downcast::<Cell<A>>() {
            Ok(cell) => Ok(Handle::new(cell)),
            Err(_) => Err(StartChildError::OtherActor { child }),
        }
    }

    /// Stops a child as its spec says, and waits for its end. It is not started again by itself; one that rests before a
    /// restart is down at once. Its spec is kept, unless it is temporary or a template's.
    ///
    /// # Errors
    /// See [`TerminateChildError`].
    pub async fn terminate_child(&self, id: &ChildId) -> Result<(), TerminateChildError> {
        let id = id.clone();
        let answer = self.ask(|reply| Command::Terminate { id, reply }).await;
        answer.unwrap_or_else(|| {
            Err(TerminateChildError::Down {
                supervisor: self.child().clone(),
            })
        })
    }

    /// Starts a child again that has ended and whose spec is kept, and waits until it is ready or ignores its start. What
    /// was queued for its former life was answered when that went down.
    ///
    /// # Errors
    /// See [`RestartChildError`]. A failed start leaves it down.
    pub async fn restart_child(&self, id: &ChildId) -> Result<Started, RestartChildError> {
        let id = id.clone();
        let answer = self.ask(|reply| Command::Restart { id, reply }).await;
        answer.unwrap_or_else(|| {
            Err(RestartChildError::Down {
                supervisor: self.child().clone(),
            })
        })
    }

    /// Forgets a child that has ended and whose spec is kept. Its id is free then.
    ///
    /// # Errors
    /// See [`DeleteChildError`].
    pub async fn delete_child(&self, id: &ChildId) -> Result<(), DeleteChildError> {
        let id = id.clone();
        let answer = self.ask(|reply| Command::Delete { id, reply }).await;
        answer.unwrap_or_else(|| {
            Err(DeleteChildError::Down {
                supervisor: self.child().clone(),
            })
        })
    }

    /// The decisions of one child's spec.
    ///
    /// # Errors
    /// See [`GetChildspecError`].
    pub async fn get_childspec(&self, id: &ChildId) -> Result<ChildSpecInfo, GetChildspecError> {
        let id = id.clone();
        let answer = self.ask(|reply| Command::Spec { id, reply }).await;
        answer.unwrap_or_else(|| {
            Err(GetChildspecError::Down {
                supervisor: self.child().clone(),
            })
        })
    }

    /// What is below this supervisor, down to the last child. A supervisor that has not answered within `deadline` (for
    /// all of them together) is shown without its children and with the reason; the rest is shown all the same. Every
    /// living supervisor below is asked once, so take this for looking, not for polling a thousand times a second.
    pub async fn topology(&self, deadline: Duration) -> Topology {
        ask_tree(&self.control, deadline).await
    }

    /// Every child in start order. Empty if the supervisor is down.
    pub async fn which_children(&self) -> Vec<ChildInfo> {
        let answer = self.ask(|reply| Command::Which { reply }).await;
        answer.unwrap_or_default()
    }

    /// How many children there are. All zero if the supervisor is down.
    pub async fn count_children(&self) -> ChildCounts {
        let answer = self.ask(|reply| Command::Count { reply }).await;
        answer.unwrap_or_default()
    }
}
