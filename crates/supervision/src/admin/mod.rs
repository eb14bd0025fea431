//! What lies between a supervisor and those who administer it.
//!
//! A command waits in a bounded queue that outlives the supervisor's own restarts; it is answered, or its supervisor is
//! down.

mod answers;
mod by_path;
mod handle;
mod impact;
mod info;
mod intervention;
mod refusal;
mod survey;

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::{mpsc, oneshot};

use crate::exit::ChildState;
use crate::names::{ChildId, ChildPath};
use crate::policy::{Restart, Strategy};
use crate::spec::Record;
use crate::tree::Tree;

pub use answers::{
    DeleteChildError, GetChildspecError, RestartChildError, StartChildError, Started,
    TerminateChildError,
};
pub use by_path::Administration;
pub use handle::SupervisorHandle;
pub use impact::{Affected, Fate, Impact};
pub use info::{ChildCounts, ChildInfo, ChildSpecInfo};
pub use intervention::Intervention;
pub(crate) use intervention::Order;
pub use refusal::AdminError;
pub(crate) use survey::Survey;

/// Commands that may wait for one supervisor: 64. It answers each at once, so a full queue means hundreds of callers.
const COMMANDS: usize = 64;

pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

/// Where an answer goes.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

pub(crate) enum Command {
    Start {
        record: Record,
        /// It is made from the supervisor's template.
        instance: bool,
        reply: Reply<Started, StartChildError>,
    },
    Ensure {
        record: Record,
        instance: bool,
        reply: Reply<(ChildPath, Shared), StartChildError>,
    },
    Terminate {
        id: ChildId,
        reply: Reply<(), TerminateChildError>,
    },
    Restart {
        id: ChildId,
        reply: Reply<Started, RestartChildError>,
    },
    Delete {
        id: ChildId,
        reply: Reply<(), DeleteChildError>,
    },
    Spec {
        id: ChildId,
        reply: Reply<ChildSpecInfo, GetChildspecError>,
    },
    Which {
        reply: oneshot::Sender<Vec<ChildInfo>>,
    },
    Count {
        reply: oneshot::Sender<ChildCounts>,
    },
    Survey {
        reply: oneshot::Sender<Survey>,
    },
    /// Where the child of that id is, on the way to one below it.
    Enter {
        id: ChildId,
        reply: oneshot::Sender<Entered>,
    },
    /// What an operator wants done to a child.
    Operate {
        id: ChildId,
        order: Order,
        by: Arc<str>,
        reply: Reply<Started, AdminError>,
    },
}

/// A step on the way to a child.
pub(crate) enum Entered {
    NotFound,
    Worker,
    Supervisor(Arc<Control>),
}

/// Where a supervisor lives, once it does.
struct Home {
    /// Its place is held by the tree, not the other way round.
    tree: Weak<Tree>,
    label: ChildPath,
}

/// A supervisor's place: what its handle and its lives share.
pub(crate) struct Control {
    id: ChildPath,
    path: OnceLock<ChildPath>,
    strategy: OnceLock<Strategy>,
    restart: OnceLock<Restart>,
    home: OnceLock<Home>,
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
            strategy: OnceLock::new(),
            restart: OnceLock::new(),
            home: OnceLock::new(),
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

    /// A place has one tree for good.
    pub(crate) fn lives_in(&self, tree: &Arc<Tree>, label: &ChildPath) {
        self.home.get_or_init(|| Home {
            tree: Arc::downgrade(tree),
            label: label.clone(),
        });
    }

    /// Its tree and its label, if it has ever lived and somebody still holds the tree.
    pub(crate) fn home(&self) -> Option<(Arc<Tree>, &ChildPath)> {
        let home = self.home.get()?;
        Some((home.tree.upgrade()?, &home.label))
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
