//! What a supervisor can do to a child without knowing what kind of child it is.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::chaos::Chaos;
use crate::exit::{ChildState, DownReason, Exit};
use crate::family::Key;
use crate::handling::{Handling, Totals};
use crate::names::ChildPath;
use crate::spec_error::SpecError;
use crate::tap::TapEnd;
use crate::tree::Tree;
use crate::vitals::Remains;

/// One life of one child. It runs in its supervisor's `JoinSet` and ends when the life does.
pub(crate) type Life = Pin<Box<dyn Future<Output = Exit> + Send>>;

/// How a child is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopHow {
    /// For good: take nothing new, handle what is queued, finish the work.
    Drain,
    /// It will be started again: finish the message and the work, keep the queue.
    Pause,
}

/// What every life is begun with.
pub(crate) struct Begin {
    pub(crate) path: ChildPath,
    /// The path for metrics, whose values are bounded by the specs: a child started at run time is `*`.
    pub(crate) label: ChildPath,
    pub(crate) incarnation: u64,
    pub(crate) ring: Ring,
    pub(crate) tree: Arc<Tree>,
    /// Any end of this life is followed by another.
    pub(crate) comes_back: bool,
}

/// What can be seen of a child from outside, at this moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) depth: usize,
    pub(crate) capacity: usize,
    pub(crate) current: Option<(&'static str, Instant)>,
    pub(crate) work: Vec<String>,
    pub(crate) paused: bool,
    pub(crate) handled: u64,
    pub(crate) handling: Option<Handling>,
}

/// A handler under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy {
    /// The message's full type name.
    pub(crate) name: &'static str,
    /// When it was begun; no two messages of one child that take any time share it.
    pub(crate) since: Instant,
}

/// What became of something that is done to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    Done,
    NoQueue,
    TooMany,
}

/// A place in the tree. It outlives its incarnations: queue, handles and configuration are kept here.
pub(crate) trait Child: Send + Sync + 'static {
    /// Refuses what can never run, before anything was started.
    fn check(&self) -> Result<(), SpecError>;
    /// Tells the child its path. `false` if it already has one: a spec is used once.
    fn adopt(&self, path: &ChildPath) -> bool;
    /// Begins a life. Nothing of the future has run when this returns.
    fn begin(&self, begin: Begin) -> Life;
    /// Begins a life in its supervisor's `JoinSet`.
    fn spawn(&self, begin: Begin, tasks: &mut JoinSet<Exit>) -> AbortHandle {
        tasks.spawn(self.begin(begin))
    }
    /// Asks the present life to end.
    fn ask_stop(&self, how: StopHow);
    /// Drops what the present life is doing. A supervisor passes it on to its children.
    fn kill(&self);
    /// Takes no more messages, and answers those that are queued. Returns what is left undone.
    fn down(&self, reason: &DownReason) -> Vec<String>;
    /// What a kill cut off in the life that has just ended, if another is to follow.
    fn take_left(&self) -> Vec<String> {
        Vec::new()
    }
    /// Lets the queue wait, or go on.
    fn pause(&self, _paused: bool) -> Touched {
        Touched::NoQueue
    }
    /// Lets somebody look at its messages.
    fn tap(&self, _end: TapEnd) -> Touched {
        Touched::NoQueue
    }
    /// A fault on purpose.
    fn chaos(&self, _chaos: &Chaos) -> Touched {
        Touched::NoQueue
    }
    /// Shows where the child is in its life to those who hold its handle.
    fn show(&self, state: ChildState);
    /// Depth, current message, work.
    fn look(&self) -> Look;
    /// The message being handled. Cheap: asked of every child once per its handler budget.
    fn busy(&self) -> Option<Busy> {
        None
    }
    /// What it has done, over all its lives.
    fn totals(&self) -> Totals {
        Totals::default()
    }
    /// It is forgotten: what it did stays counted.
    fn depart(&self, label: &ChildPath, remains: &Remains) {
        remains.keep(label, &self.totals());
    }
    /// True if it handles messages, so that a handler budget means something.
    fn has_handlers(&self) -> bool {
        false
    }
    /// True if the present life takes no more messages although nobody here stopped it.
    fn is_leaving(&self) -> bool;
    /// Why a start may hang, in words for the person who reads the timeout.
    fn start_hint(&self) -> String;
    /// What its handle shares, to be downcast by who knows the type.
    fn shared(&self) -> Arc<dyn Any + Send + Sync>;
}

/// How a child says that it is ready. Bounded without a limit of its own: one entry per life at most.
#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    rung: Mutex<Vec<(Key, u64)>>,
    heard: Notify,
}

impl Doorbell {
    pub(crate) fn take(&self) -> Vec<(Key, u64)> {
        std::mem::take(&mut *self.rung.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn rings(&self) {
        self.heard.notified().await;
    }
}

/// One life's button on the doorbell; pressing it consumes it.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) key: Key,
    pub(crate) incarnation: u64,
    pub(crate) bell: Arc<Doorbell>,
}

impl Ring {
    pub(crate) fn ready(self) {
        let mut rung = self
            .bell
            .rung
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        rung.push((self.key, self.incarnation));
        drop(rung);
        self.bell.heard.notify_one();
    }
}
