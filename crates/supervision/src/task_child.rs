//! A child that is a plain async function: listeners, pumps, one-off jobs.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::child::{Begin, Child, Life, Look, Ring, StopHow};
use crate::exit::{ChildState, DownReason, Exit};
use crate::names::ChildPath;
use crate::spec_error::SpecError;
use crate::work::{WorkGuard, WorkLog};

/// What a task may fail with.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

type Run = Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>;

/// What a task is started with.
pub struct TaskContext {
    path: ChildPath,
    incarnation: u64,
    ring: Arc<Mutex<Option<Ring>>>,
    work: Arc<WorkLog>,
    stopping: CancellationToken,
}

impl TaskContext {
    /// Tells the supervisor that the next child may start: the socket is bound, the file is open. A task that returns
    /// `Ok` without it counts as started and ended.
    pub fn ready(&self) {
        press(&self.ring);
    }

    /// Completes when the task should come to its end; past its `Shutdown` deadline it is dropped where it stands.
    pub fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.stopping.clone().cancelled_owned()
    }

    /// While the guard lives, a graceful stop waits even if the task has returned.
    pub fn work(&self, label: impl Into<String>) -> WorkGuard {
        self.work.begin(label.into())
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

fn press(ring: &Mutex<Option<Ring>>) {
    let ring = ring.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(ring) = ring {
        ring.ready();
    }
}

#[derive(Default)]
struct Tokens {
    stopping: CancellationToken,
    killed: CancellationToken,
    /// What a kill interrupted; the guards of it are gone when the rest is counted.
    left: Vec<String>,
    down: bool,
}

pub(crate) struct TaskChild {
    start: Arc<dyn Fn(TaskContext) -> Run + Send + Sync>,
    adopted: Mutex<bool>,
    work: Arc<WorkLog>,
    tokens: Mutex<Tokens>,
}

impl TaskChild {
    pub(crate) fn new<F, Fut>(start: F) -> Self
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        Self {
            start: Arc::new(move |context| Box::pin(start(context))),
            adopted: Mutex::default(),
            work: Arc::default(),
            tokens: Mutex::default(),
        }
    }
}

impl Child for TaskChild {
    fn check(&self) -> Result<(), SpecError> {
        Ok(())
    }

    fn adopt(&self, _path: &ChildPath) -> bool {
        let mut adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        !std::mem::replace(&mut *adopted, true)
    }

    fn begin(&self, begin: Begin) -> Life {
        let tokens = Tokens::default();
        let (stopping, killed) = (tokens.stopping.clone(), tokens.killed.clone());
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) = tokens;
        let ring = Arc::new(Mutex::new(Some(begin.ring)));
        let context = TaskContext {
            path: begin.path,
            incarnation: begin.incarnation,
            ring: ring.clone(),
            work: self.work.clone(),
            stopping: stopping.clone(),
        };
        let start = self.start.clone();
        let work = self.work.clone();
        Box::pin(async move {
            let whole = async {
                let ended = start(context).await;
                while stopping.is_cancelled() && !work.is_idle() {
                    work.changed.notified().await;
                }
                ended
            };
            tokio::select! {
                biased;
                () = killed.cancelled() => Exit::Killed,
                ended = whole => match ended {
                    Ok(()) => {
                        press(&ring);
                        Exit::Normal
                    }
                    Err(error) => Exit::Crashed(error.to_string()),
                },
            }
        })
    }

    fn ask_stop(&self, _how: StopHow) {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.stopping.cancel();
        drop(tokens);
        self.work.changed.notify_one();
    }

    fn kill(&self) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.left = self.work.labels();
        tokens.killed.cancel();
    }

    fn down(&self, _reason: &DownReason) -> Vec<String> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut tokens.down, true) {
            return Vec::new();
        }
        let mut undone = std::mem::take(&mut tokens.left);
        drop(tokens);
        for label in self.work.labels() {
            if !undone.contains(&label) {
                undone.push(label);
            }
        }
        undone
    }

    fn show(&self, _state: ChildState) {}

    fn look(&self) -> Look {
        Look {
            work: self.work.labels(),
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
