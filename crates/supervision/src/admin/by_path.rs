//! Every child of a tree by its path, for operators: down from the top, each supervisor names the next.
//!
//! Nothing here reaches into a child: an order is a message to its supervisor, which answers at any moment of its life.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{AdminError, Command, Control, Entered, Impact, Intervention, Order, Reply, Started};
use crate::chaos::Chaos;
use crate::flight::Flight;
use crate::names::{ChildId, ChildPath};
use crate::tap::{self, Tap, TapLimits};
use crate::topology::{Topology, ask_tree};
use crate::vitals::Vitals;

/// The way to every child of a tree, or of one supervisor. Cheap to clone; made before the tree starts, too.
///
/// A path is a whole one (`root/agent_supervisor/worker-1`) or one from the top's children on
/// (`agent_supervisor/worker-1`); if a child is called like the top, the whole one is meant. Every deadline is for the
/// whole way, there and back.
#[derive(Clone)]
pub struct Administration {
    top: Arc<Control>,
    by: Arc<str>,
}

impl std::fmt::Debug for Administration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Administration({}, by {})", self.top.path(), self.by)
    }
}

/// The ids of a path below the top, the last apart.
struct Way {
    through: Vec<ChildId>,
    last: ChildId,
}

impl Administration {
    pub(crate) fn new(top: Arc<Control>) -> Self {
        Self {
            top,
            by: Arc::from("the app"),
        }
    }

    /// The same, for orders on behalf of somebody: `ctl of uid 1000`. The events of the tree name them; `the app` unless
    /// said otherwise.
    #[must_use]
    pub fn on_behalf_of(&self, by: impl AsRef<str>) -> Self {
        Self {
            top: self.top.clone(),
            by: Arc::from(by.as_ref()),
        }
    }

    /// The top: all paths lie below it.
    pub fn top(&self) -> &ChildPath {
        self.top.path()
    }

    /// Stops a child as its spec says, but keeps its queue, and starts it again; waits until it is up. Its supervisor's
    /// strategy decides who is restarted with it ([`Administration::impact`] tells beforehand). It is no crash: it counts
    /// for no intensity and is followed by no rest. One that rests is started now, and one that is down, too. Below a
    /// supervisor, children of the spec keep their queues, and those started at run time end.
    ///
    /// # Errors
    /// See [`AdminError`]. If the new start fails, its supervisor tries again, and this goes on waiting.
    pub async fn restart(
        &self,
        path: impl AsRef<str>,
        deadline: Duration,
    ) -> Result<Started, AdminError> {
        self.plain(path.as_ref(), Intervention::Restart, deadline)
            .await
    }

    /// Drops what an actor or a task does where it stands; what follows is what follows a crash, its message is lost, its
    /// queue is kept. One that is being stopped is stopped by force. Back when the order is given: the events tell the rest.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn kill(&self, path: impl AsRef<str>, deadline: Duration) -> Result<(), AdminError> {
        let done = self.plain(path.as_ref(), Intervention::Kill, deadline);
        done.await.map(drop)
    }

    /// Stops a child for good, as its spec says, and waits for its end; see
    /// [`SupervisorHandle::terminate_child`](super::SupervisorHandle::terminate_child).
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn stop(&self, path: impl AsRef<str>, deadline: Duration) -> Result<(), AdminError> {
        let done = self.plain(path.as_ref(), Intervention::Stop, deadline);
        done.await.map(drop)
    }

    /// Starts a child that is down and whose spec is kept, and waits until it is up; see
    /// [`SupervisorHandle::restart_child`](super::SupervisorHandle::restart_child).
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn start(
        &self,
        path: impl AsRef<str>,
        deadline: Duration,
    ) -> Result<Started, AdminError> {
        self.plain(path.as_ref(), Intervention::Start, deadline)
            .await
    }

    /// From now on what is queued for an actor waits: nothing is lost, and asks wait within their deadlines. The message
    /// in hand is finished; what is private to this life (results of its own work, its alarm) is still handled. Restarts
    /// keep the pause. A stop for good overrides it: what is queued is handled. Twice is once.
    ///
    /// # Errors
    /// See [`AdminError`]; supervisors and tasks have no queue.
    pub async fn pause(&self, path: impl AsRef<str>, deadline: Duration) -> Result<(), AdminError> {
        let done = self.plain(path.as_ref(), Intervention::Pause, deadline);
        done.await.map(drop)
    }

    /// The end of a pause; nothing if there is none.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn resume(
        &self,
        path: impl AsRef<str>,
        deadline: Duration,
    ) -> Result<(), AdminError> {
        let done = self.plain(path.as_ref(), Intervention::Resume, deadline);
        done.await.map(drop)
    }

    /// The messages that an actor handles from now on: their names and times, never what is in them. The look ends by itself
    /// ([`TapLimits`]); an actor may be looked at by four at a time. Restarts do not end it.
    ///
    /// # Errors
    /// See [`AdminError`]: `Limit`, `TooManyTaps`, and `NoQueue` for supervisors and tasks.
    pub async fn tap(
        &self,
        path: impl AsRef<str>,
        limits: TapLimits,
        deadline: Duration,
    ) -> Result<Tap, AdminError> {
        limits.check()?;
        let (tap, end) = tap::tap(&limits, Instant::now());
        self.order(path.as_ref(), Order::Tap(end), deadline).await?;
        Ok(tap)
    }

    /// A fault on purpose, to see what the tree makes of it.
    ///
    /// # Errors
    /// `ChaosOff` unless the spec of the root allowed it; `Limit`; and see [`AdminError`].
    pub async fn chaos(
        &self,
        path: impl AsRef<str>,
        chaos: Chaos,
        deadline: Duration,
    ) -> Result<(), AdminError> {
        chaos.check()?;
        let done = self.plain(path.as_ref(), Intervention::Chaos(chaos), deadline);
        done.await.map(drop)
    }

    /// Whom a restart, a kill or a stop of a child would tear down, and what would become of each. Nothing is done.
    ///
    /// # Errors
    /// The refusals that the order itself would meet, as far as they can be seen from outside.
    pub async fn impact(
        &self,
        path: impl AsRef<str>,
        what: Intervention,
        deadline: Duration,
    ) -> Result<Impact, AdminError> {
        let path = path.as_ref();
        let whole = async {
            let way = self.way(path)?;
            let parent = self.walk(&way.through).await?;
            let seen = ask_tree(&parent, deadline).await;
            Impact::of(&seen, &way.last, &what)
        };
        self.within(path, deadline, whole).await
    }

    /// The last steps of a child, and of the supervisors above it, with their reasons: why it was restarted, why it is
    /// down, who asked for it. It answers at once, whatever the child and its supervisor are at, and of children that are
    /// gone as long as their steps are kept. No steps: nothing but a start has happened to it, or it never was.
    ///
    /// # Errors
    /// `Path`, and `Down` if the tree has never been started or is gone.
    pub fn why(&self, path: impl AsRef<str>) -> Result<Flight, AdminError> {
        let top = self.top.path();
        let (through, last) = match self.way(path.as_ref()) {
            Err(AdminError::Top { .. }) => (Vec::new(), None),
            way => way.map(|way| (way.through, Some(way.last)))?,
        };
        let (tree, _) = self.top.home().ok_or_else(|| AdminError::Down {
            supervisor: top.clone(),
        })?;
        let mut line = vec![top.clone()];
        let mut child = top.clone();
        for id in through.iter().chain(&last) {
            child = child.join(id);
            line.push(child.clone());
        }
        let records = tree.recorder.of(line.iter());
        Ok(Flight { child, records })
    }

    /// What is below the top; see [`SupervisorHandle::topology`](super::SupervisorHandle::topology).
    pub async fn topology(&self, deadline: Duration) -> Topology {
        ask_tree(&self.top, deadline).await
    }

    /// What every child does, by label: counted messages, queues, health. Costs what a topology costs; a supervisor that
    /// does not answer within `deadline` keeps what it last told of counters, and its gauges are left out.
    pub async fn vitals(&self, deadline: Duration) -> Vitals {
        self.look(deadline).await.1
    }

    /// Both of one look: what is there, and what was counted, so that whoever shows the one beside the other asks once.
    pub async fn look(&self, deadline: Duration) -> (Topology, Vitals) {
        let home = self.top.home();
        // Before the look: a child that goes meanwhile must not be counted twice.
        let gone = home.as_ref().map(|(tree, _)| tree.remains.gone());
        let seen = ask_tree(&self.top, deadline).await;
        let label = home
            .as_ref()
            .map_or_else(|| self.top.path(), |(_, label)| label);
        let mut vitals = Vitals::of(&seen, label, &gone.unwrap_or_default());
        if let Some((tree, label)) = &home {
            tree.remains.never_less(&mut vitals, label);
        }
        (seen, vitals)
    }

    /// The whole path of a child, if it is there.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn find(
        &self,
        path: impl AsRef<str>,
        deadline: Duration,
    ) -> Result<ChildPath, AdminError> {
        let path = path.as_ref();
        let whole = async {
            let way = match self.way(path) {
                Err(AdminError::Top { child }) => return Ok(child),
                way => way?,
            };
            let parent = self.walk(&way.through).await?;
            match enter(&parent, &way.last).await? {
                Entered::NotFound => Err(not_found(&parent, &way.last)),
                Entered::Worker | Entered::Supervisor(_) => Ok(parent.path().join(&way.last)),
            }
        };
        self.within(path, deadline, whole).await
    }

    async fn plain(
        &self,
        path: &str,
        what: Intervention,
        deadline: Duration,
    ) -> Result<Started, AdminError> {
        self.order(path, Order::Plain(what), deadline).await
    }

    async fn order(
        &self,
        path: &str,
        order: Order,
        deadline: Duration,
    ) -> Result<Started, AdminError> {
        let whole = async {
            let Way { through, last: id } = self.way(path)?;
            let parent = self.walk(&through).await?;
            let by = self.by.clone();
            let operate = |reply: Reply<_, _>| Command::Operate {
                id,
                order,
                by,
                reply,
            };
            ask(&parent, operate).await?
        };
        self.within(path, deadline, whole).await
    }

    async fn within<T>(
        &self,
        path: &str,
        deadline: Duration,
        whole: impl Future<Output = Result<T, AdminError>>,
    ) -> Result<T, AdminError> {
        let done = tokio::time::timeout(deadline, whole).await;
        done.unwrap_or_else(|_| {
            Err(AdminError::Timeout {
                path: path.to_owned(),
                deadline,
            })
        })
    }

    fn way(&self, path: &str) -> Result<Way, AdminError> {
        let top = self.top.path();
        let below = match path.strip_prefix(top.as_str()) {
            Some("") => return Err(AdminError::Top { child: top.clone() }),
            Some(rest) => rest.strip_prefix('/').unwrap_or(path),
            None => path,
        };
        let mut ids: Vec<ChildId> = below.split('/').map(ChildId::new).collect();
        let bad = || AdminError::Path {
            path: path.to_owned(),
        };
        if ids.iter().any(|id| id.check().is_err()) {
            return Err(bad());
        }
        let last = ids.pop().ok_or_else(bad)?;
        Ok(Way { through: ids, last })
    }

    /// Down from the top: each supervisor names the next.
    async fn walk(&self, through: &[ChildId]) -> Result<Arc<Control>, AdminError> {
        let mut at = self.top.clone();
        let mut ids = through.iter();
        while let Some(id) = ids.next() {
            at = match enter(&at, id).await? {
                Entered::Supervisor(next) => next,
                Entered::NotFound => return Err(not_found(&at, id)),
                Entered::Worker => {
                    let below = ids.next().map_or_else(String::new, ToString::to_string);
                    let child = at.path().join(id);
                    return Err(AdminError::NotASupervisor { child, below });
                }
            };
        }
        Ok(at)
    }
}

async fn enter(at: &Arc<Control>, id: &ChildId) -> Result<Entered, AdminError> {
    let id = id.clone();
    ask(at, |reply| Command::Enter { id, reply }).await
}

async fn ask<T>(
    at: &Arc<Control>,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, AdminError> {
    let down = || AdminError::Down {
        supervisor: at.path().clone(),
    };
    let (reply, answer) = oneshot::channel();
    at.send(command(reply)).await.ok_or_else(down)?;
    answer.await.map_err(|_| down())
}

fn not_found(at: &Control, id: &ChildId) -> AdminError {
    AdminError::NotFound {
        supervisor: at.path().clone(),
        child: id.clone(),
    }
}
