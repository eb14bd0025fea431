//! A child that is a plain async function: listeners, pumps, one-off jobs.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::admin::Administration;
use crate::child::{Begin, Child, Life, Look, Ring, StopHow};
use crate::exit::{ChildState, DownReason, Exit};
use crate::names::ChildPath;
use crate::spec_error::SpecError;
use crate::tree::Tree;
use crate::work::{WorkGuard, WorkLog, Workplace};

/// What a task may fail with.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

type Run = Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>;

/// What a task is started with.
pub struct TaskContext {
    path: ChildPath,
    incarnation: u64,
    door: Arc<Mutex<Door>>,
    place: Arc<Place>,
    stopping: CancellationToken,
    tree: Arc<Tree>,
}

/// How one life enters: it rings, or says that it is not wanted.
struct Door {
    ring: Option<Ring>,
    ignored: bool,
}

impl TaskContext {
    /// Tells the supervisor that the next child may start: the socket is bound, the file is open. A task that returns
    /// `Ok` without it counts as started and ended.
    pub fn ready(&self) {
        press(&self.door);
    }

    /// Says that this child is not wanted: if the task then returns `Ok`, its life ends as
    /// [`Exit::Ignored`](crate::Exit::Ignored) without ever having been ready. An error or a panic stays a failure. After
    /// [`TaskContext::ready`] this does nothing.
    pub fn ignore(&self) {
        let mut door = lock(&self.door);
        door.ignored = door.ring.is_some();
    }

    /// Completes when the task should come to its end; past its `Shutdown` deadline it is dropped where it stands.
    pub fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.stopping.clone().cancelled_owned()
    }

    /// True once it was asked to end for good, and not to be started again at once: what outlives its lives may be closed.
    pub fn stops_for_good(&self) -> bool {
        lock(&self.place.0).leaving == Some(StopHow::Drain)
    }

    /// While the guard lives, a graceful stop waits even if the task has returned.
    pub fn work(&self, label: impl Into<String>) -> WorkGuard {
        let id = lock(&self.place.0).work.begin(label.into());
        WorkGuard::new(id, self.place.clone())
    }

    /// The way to every child of the whole tree by its path. An order to restart or stop this very task is not waited for
    /// within it: its end would wait for the answer.
    pub fn administration(&self) -> Administration {
        self.tree.top.administration()
    }

    /// Where in the tree.
    pub fn child(&self) -> &ChildPath {
        &self.path
    }

    /// Which life this is, from 1.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn press(door: &Mutex<Door>) {
    let mut door = lock(door);
    door.ignored = false;
    let ring = door.ring.take();
    drop(door);
    if let Some(ring) = ring {
        ring.ready();
    }
}

/// What outlives the lives of one task.
#[derive(Default)]
struct Place(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    adopted: bool,
    stopping: CancellationToken,
    /// How the present life was asked to end.
    leaving: Option<StopHow>,
    killed: CancellationToken,
    work: WorkLog,
    /// The life that has returned and waits for its work to end.
    listener: Option<Waker>,
    down: bool,
}

impl Place {
    /// Registers under the lock that the end of work must take: its wake-up cannot be lost.
    fn poll_idle(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = lock(&self.0);
        if inner.work.is_idle() {
            return Poll::Ready(());
        }
        let stale = inner.listener.replace(cx.waker().clone());
        drop(inner);
        drop(stale);
        Poll::Pending
    }
}

impl Workplace for Place {
    fn work_ended(&self, id: u64) {
        let mut inner = lock(&self.0);
        inner.work.end(id);
        let listener = inner.listener.take();
        drop(inner);
        if let Some(listener) = listener {
            listener.wake();
        }
    }
}

pub(crate) struct TaskChild {
    start: Arc<dyn Fn(TaskContext) -> Run + Send + Sync>,
    place: Arc<Place>,
}

impl TaskChild {
    pub(crate) fn new<F, Fut>(start: F) -> Self
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        Self {
            start: Arc::new(move |context| Box::pin(start(context))),
            place: Arc::default(),
        }
    }
}

impl Child for TaskChild {
    fn check(&self) -> Result<(), SpecError> {
        Ok(())
    }

    fn adopt(&self, _path: &ChildPath) -> bool {
        !std::mem::replace(&mut lock(&self.place.0).adopted, true)
    }

    fn begin(&self, begin: Begin) -> Life {
        let (stopping, killed) = (CancellationToken::new(), CancellationToken::new());
        let mut inner = lock(&self.place.0);
        inner.stopping = stopping.clone();
        inner.leaving = None;
        inner.killed = killed.clone();
        inner.work.forget_left();
        inner.down = false;
        drop(inner);
        let door = Arc::new(Mutex::new(Door {
            ring: Some(begin.ring),
            ignored: false,
        }));
        let context = TaskContext {
            path: begin.path,
            incarnation: begin.incarnation,
            door: door.clone(),
            place: self.place.clone(),
            stopping: stopping.clone(),
            tree: begin.tree,
        };
        let start = self.start.clone();
        let place = self.place.clone();
        Box::pin(async move {
            let whole = async {
                let ended = start(context).await;
                if stopping.is_cancelled() {
                    poll_fn(|cx| place.poll_idle(cx)).await;
                }
                ended
            };
            tokio::select! {
                biased;
                () = killed.cancelled() => Exit::Killed,
                ended = whole => read_end(ended, &door),
            }
        })
    }

    fn ask_stop(&self, how: StopHow) {
        let mut inner = lock(&self.place.0);
        inner.leaving = Some(how);
        let stopping = inner.stopping.clone();
        drop(inner);
        stopping.cancel();
    }

    fn kill(&self) {
        let mut inner = lock(&self.place.0);
        inner.work.cut_off(None);
        let killed = inner.killed.clone();
        drop(inner);
        killed.cancel();
    }

    fn down(&self, _reason: &DownReason) -> Vec<String> {
        let mut inner = lock(&self.place.0);
        if std::mem::replace(&mut inner.down, true) {
            return Vec::new();
        }
        let mut undone = inner.work.take_left();
        for label in inner.work.labels() {
            if !undone.contains(&label) {
                undone.push(label);
            }
        }
        undone
    }

    fn take_left(&self) -> Vec<String> {
        lock(&self.place.0).work.take_left()
    }

    fn show(&self, _state: ChildState) {}

    fn look(&self) -> Look {
        Look {
            work: lock(&self.place.0).work.labels(),
            ..Look::default()
        }
    }

    fn is_leaving(&self) -> bool {
        false
    }

    fn start_hint(&self) -> String {
        "it has not called `TaskContext::ready`".to_owned()
    }

    fn shared(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(())
    }
}

fn read_end(ended: Result<(), TaskError>, door: &Mutex<Door>) -> Exit {
    match ended {
        Ok(()) if lock(door).ignored => Exit::Ignored,
        Ok(()) => {
            press(door);
            Exit::Normal
        }
        Err(error) => Exit::Crashed(error.to_string()),
    }
}
