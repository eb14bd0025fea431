//! The top of a tree, and the one place where a task is spawned that no `JoinSet` of a supervisor owns.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::admin::{Administration, SupervisorHandle};
use crate::child::{Begin, Child, Doorbell, Life, Ring, StopHow};
use crate::events::{Events, Lifecycle, LifecycleEvent};
use crate::exit::{ChildState, DownReason, Escalation, Exit, StartFailure};
use crate::family::Key;
use crate::names::ChildPath;
use crate::policy::SUPERVISOR_KILL_GRACE;
use crate::spec::ChildSpec;
use crate::spec_error::SpecError;
use crate::supervisor_spec::SupervisorSpec;
use crate::topology::Topology;
use crate::tree::{Abandoned, Tree};

/// Why a tree did not start. Nothing of it is left running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartTreeError {
    /// It can never run.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A child did not become ready; those started before it were stopped in reverse order.
    #[error(transparent)]
    Child(#[from] StartFailure),
    /// A child that had started crashed too often before the last one was ready.
    #[error(transparent)]
    Escalated(#[from] Escalation),
    /// It was stopped before it was ready.
    #[error("the tree was stopped before it was ready: {0}")]
    Stopped(String),
}

/// Why a tree ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// It was asked to.
    Stopped,
    /// This significant child of the root ended, and the root's `auto_shutdown` says that this is the end.
    AutoShutdown(ChildPath),
    /// Its root gave up.
    Escalated(Escalation),
    /// Its root itself broke.
    Crashed(String),
}

/// What a stop left undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopReport {
    /// Queued messages, interrupted ones and work, by child. Empty after a clean stop.
    pub abandoned: Vec<Abandoned>,
    /// From the asking to the end, on tokio's clock.
    pub took: Duration,
}

/// A running tree. Dropping it asks the tree to stop, but only [`RootHandle::stop`] waits for that and sets a deadline.
pub struct RootHandle {
    /// Held by the root's own task: what its children were started from is freed when it ends, whoever holds this.
    root: Weak<dyn Child>,
    path: ChildPath,
    supervisor: SupervisorHandle,
    tree: Arc<Tree>,
    abort: AbortHandle,
    ended: watch::Receiver<Option<Exit>>,
}

/// Starts a tree: every child in order, each awaited until it is ready. Dropping the future stops what has started.
///
/// # Errors
/// The spec can never run, or a child did not start; the error says which and why.
pub async fn start_root(
    spec: SupervisorSpec,
    events: Events,
) -> Result<RootHandle, StartTreeError> {
    let supervisor = spec.handle();
    let chaos = spec.allows_chaos();
    let path = ChildPath::root(spec.id());
    let root = ChildSpec::supervisor(spec).into_record().child;
    root.check()?;
    if !root.adopt(&path) {
        return Err(SpecError::UsedTwice { child: path }.into());
    }
    let bell = Arc::new(Doorbell::default());
    let begun = Instant::now();
    let tree = Tree::new(events, supervisor.clone(), chaos);
    let mut handle = launch(root, path, supervisor, tree, &bell);
    handle.announce(Lifecycle::Starting);
    tokio::select! {
        biased;
        () = bell.rings() => {
            if let Some(root) = handle.root.upgrade() {
                root.show(ChildState::Up);
            }
            handle.announce(Lifecycle::Ready { took: begun.elapsed() });
            Ok(handle)
        }
        exit = end_of(&mut handle.ended) => Err(match exit {
            Exit::StartFailed(failure) => failure.into(),
            Exit::Escalated(escalation) => escalation.into(),
            other => StartTreeError::Stopped(other.to_string()),
        }),
    }
}

fn launch(
    root: Arc<dyn Child>,
    path: ChildPath,
    supervisor: SupervisorHandle,
    tree: Tree,
    bell: &Arc<Doorbell>,
) -> RootHandle {
    let tree = Arc::new(tree);
    let life = root.begin(Begin {
        path: path.clone(),
        label: path.clone(),
        incarnation: 1,
        ring: Ring {
            key: Key(0),
            incarnation: 1,
            bell: bell.clone(),
        },
        tree: tree.clone(),
        comes_back: false,
    });
    let (sender, ended) = watch::channel(None);
    let handle = Arc::downgrade(&root);
    let last_words = LastWords {
        root,
        tree: tree.clone(),
        path: path.clone(),
        exit: Exit::Crashed("the root supervisor itself was cut off".to_owned()),
        sender,
    };
    let whole_life = async move { last_words.after(life).await };
    #[allow(
        clippy::disallowed_methods,
        reason = "the root's task is the only one that no JoinSet owns"
    )]
    let abort = tokio::spawn(whole_life).abort_handle();
    RootHandle {
        root: handle,
        path,
        supervisor,
        tree,
        abort,
        ended,
    }
}

/// However the root ends, by return, panic or abort: whoever still waits for a child of this tree hears why there will be
/// no answer.
struct LastWords {
    root: Arc<dyn Child>,
    tree: Arc<Tree>,
    path: ChildPath,
    exit: Exit,
    sender: watch::Sender<Option<Exit>>,
}

impl LastWords {
    async fn after(mut self, life: Life) {
        self.exit = life.await;
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        let reason = match &self.exit {
            Exit::Normal | Exit::Ignored | Exit::Killed | Exit::Aborted => DownReason::Stopped,
            Exit::AutoShutdown(_) => DownReason::Finished,
            Exit::StartFailed(failure) => DownReason::StartFailed(failure.to_string()),
            Exit::Escalated(escalation) => DownReason::Escalated(escalation.to_string()),
            Exit::Crashed(reason) => DownReason::Crashed(reason.clone()),
        };
        let abandoned = self.root.down(&reason);
        self.tree.abandon(&self.path, &abandoned);
        self.tree.announce(
            LifecycleEvent {
                child: self.path.clone(),
                incarnation: 1,
                at: Instant::now(),
                what: Lifecycle::Stopped { reason, abandoned },
            },
            false,
        );
        self.sender.send_replace(Some(self.exit.clone()));
    }
}

async fn end_of(ended: &mut watch::Receiver<Option<Exit>>) -> Exit {
    match ended.wait_for(Option::is_some).await {
        Ok(exit) => exit.clone().unwrap_or(Exit::Normal),
        // Not reached: the last words are said on every way out.
        Err(_) => Exit::Aborted,
    }
}

impl RootHandle {
    /// Nothing is left to ask once the tree has ended.
    fn ask_stop(&self) {
        if let Some(root) = self.root.upgrade() {
            root.ask_stop(StopHow::Drain);
        }
    }

    fn announce(&self, what: Lifecycle) {
        self.tree.announce(
            LifecycleEvent {
                child: self.path.clone(),
                incarnation: 1,
                at: Instant::now(),
                what,
            },
            false,
        );
    }

    /// The root's own handle: start, find, stop and list its children.
    pub fn supervisor(&self) -> SupervisorHandle {
        self.supervisor.clone()
    }

    /// The way to every child of the tree by its path.
    pub fn administration(&self) -> Administration {
        self.supervisor.administration()
    }

    /// The whole tree; see [`SupervisorHandle::topology`].
    pub async fn topology(&self, deadline: Duration) -> Topology {
        self.supervisor.topology(deadline).await
    }

    /// What happens in the tree from now on.
    pub fn events(&self) -> broadcast::Receiver<LifecycleEvent> {
        self.tree.events.subscribe()
    }

    /// Stops the tree in reverse start order. Each child has the time its spec allows; past `deadline` everything that is
    /// left is killed at once and, two seconds later at most, aborted.
    pub async fn stop(&self, deadline: Duration) -> StopReport {
        let begun = Instant::now();
        self.tree.open_ledger();
        self.ask_stop();
        let mut ended = self.ended.clone();
        let in_time = tokio::time::timeout(deadline, end_of(&mut ended)).await;
        if in_time.is_err() {
            if let Some(root) = self.root.upgrade() {
                root.kill();
            }
            let killed = tokio::time::timeout(SUPERVISOR_KILL_GRACE, end_of(&mut ended)).await;
            if killed.is_err() {
                // Something blocks its thread: nothing can stop it, but nobody waits for it any more.
                self.abort.abort();
                if let Some(root) = self.root.upgrade() {
                    let abandoned = root.down(&DownReason::Stopped);
                    self.tree.abandon(&self.path, &abandoned);
                }
            }
        }
        StopReport {
            abandoned: self.tree.abandoned(),
            took: begun.elapsed(),
        }
    }

    /// Whether the tree has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Completes when the tree has ended, and says why.
    pub async fn ended(&self) -> EndReason {
        match end_of(&mut self.ended.clone()).await {
            Exit::Normal | Exit::Ignored | Exit::Killed | Exit::Aborted => EndReason::Stopped,
            Exit::AutoShutdown(significant) => EndReason::AutoShutdown(significant),
            Exit::Escalated(escalation) => EndReason::Escalated(escalation),
            Exit::StartFailed(failure) => EndReason::Crashed(failure.to_string()),
            Exit::Crashed(reason) => EndReason::Crashed(reason),
        }
    }
}

impl Drop for RootHandle {
    fn drop(&mut self) {
        self.ask_stop();
    }
}
