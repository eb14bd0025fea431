//! The place of one actor: its queue, its gate and what it is doing. It outlives the actor's incarnations, which is why
//! a restart loses nothing that was queued (docs/adr/0002).
//!
//! Everything that must be seen together is under one lock, and nothing waits while holding it: a sender's "is it open?"
//! and its push, and an idle stop's "is it empty?" and its closing, can never come between each other.

mod extras;
mod living;
mod senders;
mod supervised;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use kameo::actor::{Actor, ActorRef};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::child::{Busy, Look, Ring, StopHow};
use crate::exit::{ChildState, DownReason};
use crate::handling::{Handling, ONE_IN};
use crate::names::{ChildId, ChildPath};
use crate::parcel::{Envelope, Parcel};
use crate::patience::Shelf;
use crate::queue::{Queue, Ticket};
use crate::tap::Outcome;
use crate::work::{WorkLog, Workplace};
use extras::Extras;

/// A message that is not taken any more, and why.
pub(crate) type Down<M> = (M, DownReason);

/// Why nothing is taken any more; what is queued is still handled until the child is down. Boxed: most gates are open.
type Closed = Box<DownReason>;

/// The message being handled. Its time is taken when its handler first waits, or when somebody first looks: most handlers
/// never wait, and for those no clock is read.
#[derive(Clone, Copy)]
struct Current {
    name: &'static str,
    since: Option<Instant>,
    /// Its time was taken at its beginning.
    sampled: bool,
    waited: bool,
}

impl Current {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            since: None,
            sampled: false,
            waited: false,
        }
    }

    fn since(&mut self) -> Instant {
        *self.since.get_or_insert_with(Instant::now)
    }
}

#[allow(
    clippy::struct_excessive_bools,
    reason = "each may be so without the others"
)]
struct Inner<A: Actor> {
    queue: Queue<Envelope<A>, Waker>,
    /// `None` while the gate is open.
    closed: Option<Closed>,
    /// The inbox, while it waits. Whoever gives it something to do takes this and wakes it.
    listener: Option<Waker>,
    /// Who looks at its messages, and faults on purpose.
    extras: Option<Box<Extras>>,
    current: Option<Current>,
    /// Messages handled to their end, by all lives.
    handled: u64,
    /// Made when the first is timed.
    handling: Option<Box<Handling>>,
    leave: Option<StopHow>,
    state: ChildState,
    /// kameo's mailbox may hold something: it rang since it was last found empty.
    private: bool,
    /// Private messages and queued ones take turns, so that neither starves the other.
    private_first: bool,
    /// An administrator lets the queue wait.
    paused: bool,
    /// The start of this life said that it is not wanted.
    ignored: bool,
    actor: Option<ActorRef<A>>,
    work: WorkLog,
    /// Pressed when the actor asks for its first message: then it is ready.
    ring: Option<Ring>,
    alarm: Option<Instant>,
    incarnation: u64,
    /// Made when somebody first asks for it.
    stopping: Option<CancellationToken>,
}

/// What the inbox does next.
pub(crate) enum Step<A: Actor> {
    Deliver(Envelope<A>, ActorRef<A>),
    /// The same after a delay, on purpose.
    Slow(Duration, Envelope<A>, ActorRef<A>),
    /// Drop this one and crash, on purpose.
    Crash(Envelope<A>),
    /// Do nothing for so long, on purpose.
    Stall(Duration),
    /// Look into kameo's mailbox, until it is empty.
    Private,
    /// The waker that was given is kept.
    Wait,
    End,
}

/// The place of one actor.
pub(crate) struct Cell<A: Actor> {
    id: ChildPath,
    path: OnceLock<ChildPath>,
    inner: Mutex<Inner<A>>,
    /// A message was handed out and nobody has looked at the clock. Only the task of the present life uses this.
    timeless: AtomicBool,
    /// That of its tree, once it lives in one.
    shelf: OnceLock<Arc<Shelf>>,
}

/// Why a message did not get its place.
pub(crate) enum Refused<M> {
    Down(Down<M>),
    Full(Parcel<M>, Ticket),
}

impl<A: Actor> Cell<A> {
    pub(crate) fn new(id: &ChildId, capacity: usize) -> Self {
        Self {
            id: ChildPath::root(id),
            path: OnceLock::new(),
            inner: Mutex::new(Inner {
                queue: Queue::new(capacity),
                closed: None,
                leave: None,
                state: ChildState::Starting,
                current: None,
                handled: 0,
                handling: None,
                work: WorkLog::default(),
                actor: None,
                listener: None,
                private: true,
                private_first: true,
                ring: None,
                alarm: None,
                incarnation: 0,
                paused: false,
                extras: None,
                ignored: false,
                stopping: None,
            }),
            timeless: AtomicBool::new(false),
            shelf: OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<A>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn path(&self) -> &ChildPath {
        self.path.get().unwrap_or(&self.id)
    }

    pub(crate) fn adopt(&self, path: &ChildPath) -> bool {
        self.path.set(path.clone()).is_ok()
    }

    /// Where timers of asks are kept.
    pub(crate) fn shelf(&self) -> Option<&Shelf> {
        self.shelf.get().map(|shelf| &**shelf)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.lock().queue.capacity()
    }

    pub(crate) fn depth(&self) -> usize {
        self.lock().queue.len()
    }

    pub(crate) fn state(&self) -> ChildState {
        self.lock().state
    }

    /// Shows where the child is in its life. One that is to be started again takes messages already.
    pub(crate) fn show(&self, state: ChildState) {
        let mut inner = self.lock();
        inner.state = state;
        if matches!(state, ChildState::Starting | ChildState::BackingOff) {
            inner.open();
        }
    }

    pub(crate) fn look(&self) -> Look {
        let mut inner = self.lock();
        let current = inner.current.as_mut();
        let current = current.map(|current| (current.name, current.since()));
        Look {
            depth: inner.queue.len(),
            capacity: inner.queue.capacity(),
            current,
            work: inner.work.labels(),
            paused: inner.paused,
            handled: inner.handled,
            handling: inner.handling.as_deref().cloned(),
        }
    }

    /// The message being handled and since when.
    pub(crate) fn busy(&self) -> Option<Busy> {
        let mut inner = self.lock();
        let current = inner.current.as_mut()?;
        Some(Busy {
            name: current.name,
            since: current.since(),
        })
    }
}

impl<A: Actor> Inner<A> {
    fn refusal(&self) -> Option<DownReason> {
        self.closed.as_deref().cloned()
    }

    /// The handler of a message begins.
    fn begins(&mut self, name: &'static str) {
        let mut current = Current::new(name);
        if cfg!(paraphym_uncounted) {
            self.current = Some(current);
            return;
        }
        // Not the first: most actors of a crowd handle few.
        current.sampled = self.handled % ONE_IN == ONE_IN / 2;
        if current.sampled || self.looked_at() {
            current.since();
        }
        self.current = Some(current);
    }

    /// The handling of the message in hand is over.
    fn done(&mut self, outcome: Outcome) {
        let Some(current) = self.current.take() else {
            return;
        };
        if self.extras.is_some() {
            self.show(&current, outcome);
        }
        if outcome != Outcome::Handled || cfg!(paraphym_uncounted) {
            return;
        }
        self.handled += 1;
        let Some(since) = current.since.filter(|_| current.sampled || current.waited) else {
            return;
        };
        let weight = if current.waited { 1 } else { ONE_IN };
        let handling = self.handling.get_or_insert_default();
        handling.note(since.elapsed(), weight);
    }

    /// A stop for good handles what is queued even if it was told to wait: it would be lost otherwise.
    fn takes_from_queue(&self) -> bool {
        match self.leave {
            Some(StopHow::Pause) => false,
            Some(StopHow::Drain) => true,
            None => !self.paused,
        }
    }

    fn open(&mut self) {
        self.closed = None;
    }

    /// Returns who stood in line for room, to be woken outside the lock. The first reason stays.
    fn close(&mut self, reason: DownReason) -> Vec<Waker> {
        self.closed.get_or_insert_with(|| Box::new(reason));
        self.queue.dissolve_line()
    }
}

/// Never called under the lock: what it wakes may take it.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The ear at kameo's mailbox. It outlives the life it listens for by no more than that mailbox.
impl<A: Actor> Wake for Cell<A> {
    fn wake(self: Arc<Self>) {
        self.look_into_mailbox();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.look_into_mailbox();
    }
}

impl<A: Actor> Workplace for Cell<A> {
    fn work_ended(&self, id: u64) {
        let mut inner = self.lock();
        inner.work.end(id);
        // Only an inbox that is to leave waits for work.
        let leaving = inner.leave.is_some();
        let listener = if leaving { inner.listener.take() } else { None };
        drop(inner);
        wake(listener);
    }
}

/// `Generate` for `paraphym_model_host::messages::Generate`; generic arguments are dropped.
pub(crate) fn short_name(name: &str) -> &str {
    let plain = name.split('<').next().unwrap_or(name);
    plain.rsplit("::").next().unwrap_or(plain)
}
