//! How others reach a supervisor: start, find, stop and list its children at run time.
//!
//! A command waits in a bounded queue that outlives the supervisor's own restarts; it is answered, or its supervisor is
//! down.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use kameo::actor::Actor;
use tokio::sync::{mpsc, oneshot};

use crate::cell::Cell;
use crate::exit::{ChildState, StartFailure};
use crate::handle::Handle;
use crate::inbox::Birth;
use crate::names::{ChildId, ChildPath};
use crate::policy::Kind;
use crate::spec::{ChildSpec, Record, SpecError};

/// Commands that may wait for one supervisor: 64. It answers each at once, so a full queue means hundreds of callers.
const COMMANDS: usize = 64;

/// Why a child was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartChildError {
    /// A child of that id lives.
    #[error("{child} is already started; use `ensure_actor` to get its handle")]
    AlreadyStarted {
        /// Which.
        child: ChildPath,
    },
    /// A child of that id has ended and its spec is kept.
    #[error("{child} has ended and its spec is kept; use another id, or `ensure_actor`")]
    AlreadyPresent {
        /// Which.
        child: ChildPath,
    },
    /// It did not become ready; nothing of it is left.
    #[error(transparent)]
    Failed(#[from] StartFailure),
    /// The supervisor takes no children any more.
    #[error("{supervisor} is stopping or down and starts no children")]
    Stopping {
        /// Which.
        supervisor: ChildPath,
    },
    /// The child of that id is another kind of actor.
    #[error("{child} is not an actor of the type asked for; use another id")]
    OtherActor {
        /// Which.
        child: ChildPath,
    },
    /// The spec can never run.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Why a child was not stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TerminateChildError {
    /// No child of that id.
    #[error("{supervisor} has no child {child}; `which_children` lists them")]
    NotFound {
        /// Whose.
        supervisor: ChildPath,
        /// The id.
        child: ChildId,
    },
    /// The supervisor is down, and the child with it.
    #[error("{supervisor} is down, and its children with it")]
    Down {
        /// Which.
        supervisor: ChildPath,
    },
}

/// What can be seen of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildInfo {
    /// The id under its supervisor.
    pub id: ChildId,
    /// Where in the tree.
    pub child: ChildPath,
    /// Where in its life.
    pub state: ChildState,
    /// Worker or supervisor.
    pub kind: Kind,
    /// Which life, from 1; 0 before the first.
    pub incarnation: u64,
    /// Restarts that succeeded under the present life of its supervisor.
    pub restarts: u64,
    /// Messages queued now.
    pub depth: usize,
    /// Messages that may be queued; 0 for what has no queue.
    pub capacity: usize,
    /// The message being handled and for how long it has been.
    pub current: Option<(String, Duration)>,
    /// Labels of the work under way.
    pub work: Vec<String>,
    /// Why it last crashed or did not start.
    pub last_error: Option<String>,
    /// How long the present life has been up.
    pub uptime: Option<Duration>,
}

pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

pub(crate) enum Command {
    Start {
        record: Record,
        reply: oneshot::Sender<Result<(), StartChildError>>,
    },
    Ensure {
        record: Record,
        reply: oneshot::Sender<Result<(ChildPath, Shared), StartChildError>>,
    },
    Terminate {
        id: ChildId,
        reply: oneshot::Sender<Result<(), TerminateChildError>>,
    },
    Which {
        reply: oneshot::Sender<Vec<ChildInfo>>,
    },
}

/// A supervisor's place: what its handle and its lives share.
pub(crate) struct Control {
    id: ChildPath,
    path: OnceLock<ChildPath>,
    inner: Mutex<Inner>,
}

struct Inner {
    sender: Option<mpsc::Sender<Command>>,
    /// Here while no life of the supervisor holds it.
    receiver: Option<mpsc::Receiver<Command>>,
    state: ChildState,
}

impl Control {
    pub(crate) fn new(id: &ChildId) -> Self {
        let (sender, receiver) = mpsc::channel(COMMANDS);
        Self {
            id: ChildPath::root(id),
            path: OnceLock::new(),
            inner: Mutex::new(Inner {
                sender: Some(sender),
                receiver: Some(receiver),
                state: ChildState::Starting,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn path(&self) -> &ChildPath {
        self.path.get().unwrap_or(&self.id)
    }

    pub(crate) fn adopt(&self, path: &ChildPath) -> bool {
        self.path.set(path.clone()).is_ok()
    }

    pub(crate) fn show(&self, state: ChildState) {
        self.lock().state = state;
    }

    pub(crate) fn state(&self) -> ChildState {
        self.lock().state
    }

    /// The commands, for one life of the supervisor; they come back when the life ends.
    pub(crate) fn commands(self: &Arc<Self>) -> Commands {
        let mut inner = self.lock();
        let kept = inner.receiver.take().filter(|_| inner.sender.is_some());
        let receiver = kept.unwrap_or_else(|| {
            let (sender, receiver) = mpsc::channel(COMMANDS);
            inner.sender = Some(sender);
            receiver
        });
        Commands {
            receiver: Some(receiver),
            control: self.clone(),
        }
    }

    /// Nobody will answer any more: commands that wait are dropped, and their callers hear so.
    pub(crate) fn down(&self) {
        let mut inner = self.lock();
        inner.sender = None;
        inner.receiver = None;
        inner.state = ChildState::Down;
    }

    async fn send(&self, command: Command) -> Option<()> {
        let sender = self.lock().sender.clone()?;
        sender.send(command).await.ok()
    }
}

/// The receiving end of a supervisor's commands.
pub(crate) struct Commands {
    receiver: Option<mpsc::Receiver<Command>>,
    control: Arc<Control>,
}

impl Commands {
    pub(crate) async fn next(&mut self) -> Option<Command> {
        self.receiver.as_mut()?.recv().await
    }

    pub(crate) fn try_next(&mut self) -> Option<Command> {
        self.receiver.as_mut()?.try_recv().ok()
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        let mut inner = self.control.lock();
        if inner.sender.is_some() {
            inner.receiver = self.receiver.take();
        }
    }
}

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
