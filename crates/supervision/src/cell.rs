//! The place of one actor: its queue, its gate and what it is doing. It outlives the actor's incarnations, which is why
//! a restart loses nothing that was queued (docs/adr/0002).
//!
//! Everything that must be seen together is under one lock, and nothing waits while holding it: a sender's "is it open?"
//! and its push, and an idle stop's "is it empty?" and its closing, can never come between each other.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Wake, Waker};

use kameo::actor::{Actor, ActorId, ActorRef};
use kameo::error::SendError;
use kameo::message::Message;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::child::{Busy, Look, Ring, StopHow};
use crate::exit::{ChildState, DownReason};
use crate::life::LifeGuard;
use crate::names::{ChildId, ChildPath};
use crate::parcel::{Envelope, Parcel, seal};
use crate::patience::Shelf;
use crate::queue::{InLine, Queue, Ticket};
use crate::work::{WorkGuard, WorkLog, Workplace};

/// A message that is not taken any more, and why.
pub(crate) type Down<M> = (M, DownReason);

/// Why nothing is taken any more; what is queued is still handled until the child is down. Boxed: most gates are open.
type Closed = Box<DownReason>;

struct Inner<A: Actor> {
    queue: Queue<Envelope<A>, Waker>,
    /// `None` while the gate is open.
    closed: Option<Closed>,
    leave: Option<StopHow>,
    state: ChildState,
    current: Option<(&'static str, Instant)>,
    work: WorkLog,
    actor: Option<ActorRef<A>>,
    /// The inbox, while it waits. Whoever gives it something to do takes this and wakes it.
    listener: Option<Waker>,
    /// kameo's mailbox may hold something: it rang since it was last found empty.
    private: bool,
    /// Private messages and queued ones take turns, so that neither starves the other.
    private_first: bool,
    /// Pressed when the actor asks for its first message: then it is ready.
    ring: Option<Ring>,
    alarm: Option<Instant>,
    incarnation: u64,
    /// The start of this life said that it is not wanted.
    ignored: bool,
    /// Made when somebody first asks for it.
    stopping: Option<CancellationToken>,
}

/// What the inbox does next.
pub(crate) enum Step<A: Actor> {
    Deliver(Envelope<A>, ActorRef<A>),
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
    pub(crate) shelf: Shelf,
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
                work: WorkLog::default(),
                actor: None,
                listener: None,
                private: true,
                private_first: true,
                ring: None,
                alarm: None,
                incarnation: 0,
                ignored: false,
                stopping: None,
            }),
            shelf: Shelf::default(),
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
        let inner = self.lock();
        Look {
            depth: inner.queue.len(),
            capacity: inner.queue.capacity(),
            current: inner.current,
            work: inner.work.labels(),
        }
    }

    /// The message being handled and since when.
    pub(crate) fn busy(&self) -> Option<Busy> {
        let current = self.lock().current;
        current.map(|(name, since)| Busy { name, since })
    }

    // ---- senders

    /// Why nothing can be sent, if so.
    pub(crate) fn closed(&self) -> Option<DownReason> {
        self.lock().refusal()
    }

    /// Queues a message if there is a place for it now.
    pub(crate) fn try_put<M>(&self, parcel: Parcel<M>) -> Result<(), Result<Parcel<M>, Down<M>>>
    where
        A: Message<M>,
        M: Send + 'static,
    {
        let mut inner = self.lock();
        if let Some(reason) = inner.refusal() {
            return Err(Err((parcel.open(), reason)));
        }
        inner.queue.push(parcel, seal::<A, M>).map_err(Ok)?;
        let listener = inner.listener.take();
        drop(inner);
        wake(listener);
        Ok(())
    }

    /// Queues a message, or stands in line for a place: first come, first served. A gate that closes sends the whole line
    /// away; who finds it open again afterwards stands in line anew.
    pub(crate) fn poll_put<M>(
        &self,
        parcel: Parcel<M>,
        ticket: Option<Ticket>,
        cx: &Context<'_>,
    ) -> Result<(), Refused<M>>
    where
        A: Message<M>,
        M: Send + 'static,
    {
        let mut inner = self.lock();
        if let Some(reason) = inner.refusal() {
            return Err(Refused::Down((parcel.open(), reason)));
        }
        let waker = || cx.waker().clone();
        let put = inner
            .queue
            .push_or_wait(ticket, parcel, seal::<A, M>, waker);
        match put {
            Ok(()) => {
                let listener = inner.listener.take();
                drop(inner);
                wake(listener);
                Ok(())
            }
            Err(InLine {
                parcel,
                ticket,
                stale,
            }) => {
                drop(inner);
                drop(stale);
                Err(Refused::Full(parcel, ticket))
            }
        }
    }

    /// Leaves the line; a place that was promised goes to the next.
    pub(crate) fn leave_line(&self, ticket: Ticket) {
        let (stale, next) = self.lock().queue.leave(ticket);
        drop(stale);
        wake(next);
    }

    // ---- the living actor

    /// The next thing for the inbox to do. The message handed out before is done. On `Wait` the waker is kept, under the
    /// lock that whoever brings something must take: there is no moment at which its wake-up could be lost.
    pub(crate) fn step(&self, cx: &Context<'_>) -> Step<A> {
        // Wakers are dropped and called outside the lock: they may be anything.
        let _stale;
        let mut inner = self.lock();
        inner.current = None;
        if inner.ignored {
            return Step::End;
        }
        if let Some(ring) = inner.ring.take() {
            drop(inner);
            ring.ready();
            inner = self.lock();
        }
        let private_first = std::mem::replace(&mut inner.private_first, false);
        if inner.private && private_first {
            inner.private = false;
            return Step::Private;
        }
        if inner.leave != Some(StopHow::Pause)
            && let Some(actor) = inner.actor.clone()
            && let Some((envelope, next)) = inner.queue.pop()
        {
            inner.private_first = true;
            inner.current = Some((envelope.name, Instant::now()));
            drop(inner);
            wake(next);
            return Step::Deliver(envelope, actor);
        }
        // Private messages may be the end of what was queued (the result of a pipe): they are not left behind.
        if inner.private {
            inner.private = false;
            return Step::Private;
        }
        if inner.leave.is_some() && inner.work.is_idle() {
            return Step::End;
        }
        match &inner.listener {
            Some(listener) if listener.will_wake(cx.waker()) => {}
            _ => _stale = inner.listener.replace(cx.waker().clone()),
        }
        Step::Wait
    }

    /// The living actor's own reference, while it lives.
    pub(crate) fn actor(&self) -> Option<ActorRef<A>> {
        self.lock().actor.clone()
    }

    pub(crate) fn set_alarm(&self, at: Option<Instant>) {
        self.lock().alarm = at;
    }

    pub(crate) fn alarm(&self) -> Option<Instant> {
        self.lock().alarm
    }

    /// The alarm is due and its message is being handled. It comes once.
    pub(crate) fn take_alarm(&self, name: &'static str) -> Option<ActorRef<A>> {
        let mut inner = self.lock();
        if inner.ignored {
            return None;
        }
        inner.alarm = None;
        inner.current = Some((name, Instant::now()));
        let actor = inner.actor.clone();
        let ring = inner.ring.take();
        drop(inner);
        if let Some(ring) = ring {
            ring.ready();
        }
        actor
    }

    /// A signal came out of kameo's mailbox, which may hold more.
    pub(crate) fn took_private(&self, name: Option<&'static str>) {
        let mut inner = self.lock();
        inner.private = true;
        inner.current = name.map(|name| (name, Instant::now()));
    }

    /// kameo's mailbox may hold something.
    pub(crate) fn look_into_mailbox(&self) {
        let mut inner = self.lock();
        inner.private = true;
        let listener = inner.listener.take();
        drop(inner);
        wake(listener);
    }

    pub(crate) fn begin_work(self: &Arc<Self>, label: String) -> WorkGuard {
        let id = self.lock().work.begin(label);
        WorkGuard::new(id, self.clone())
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.lock().incarnation
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().leave.is_some()
    }

    pub(crate) fn stopping(&self) -> CancellationToken {
        let mut inner = self.lock();
        let leaving = inner.leave.is_some();
        let stopping = inner.stopping.get_or_insert_default().clone();
        drop(inner);
        if leaving {
            stopping.cancel();
        }
        stopping
    }

    /// The present life, which is not ready yet, is not wanted.
    pub(crate) fn ignore(&self) {
        let mut inner = self.lock();
        inner.ignored = inner.ring.is_some();
    }

    pub(crate) fn start_panicked(&self) {
        self.lock().ignored = false;
    }

    /// The present life was found unwanted by its own start.
    pub(crate) fn is_ignored(&self) -> bool {
        self.lock().ignored
    }

    /// Closes the gate if nothing is queued and no work is under way.
    pub(crate) fn stop_if_idle(&self) -> bool {
        let mut inner = self.lock();
        if inner.leave.is_some() {
            return true;
        }
        if !inner.queue.is_empty() || !inner.work.is_idle() {
            return false;
        }
        let line = inner.close(DownReason::Finished);
        inner.leave = Some(StopHow::Drain);
        inner.state = ChildState::Stopping;
        drop(inner);
        line.into_iter().for_each(Waker::wake);
        true
    }

    // ---- the supervisor

    /// A new life begins; a gate that was closed opens.
    pub(crate) fn begin(self: &Arc<Self>, actor: ActorRef<A>, ring: Ring) -> LifeGuard<A> {
        let id = actor.id();
        let mut inner = self.lock();
        inner.open();
        inner.leave = None;
        inner.work.forget_left();
        inner.private = true;
        inner.private_first = true;
        inner.incarnation = ring.incarnation;
        inner.ring = Some(ring);
        inner.alarm = None;
        inner.ignored = false;
        let former = (
            inner.actor.replace(actor),
            inner.listener.take(),
            inner.stopping.take(),
        );
        drop(inner);
        drop(former);
        LifeGuard::new(self.clone(), id)
    }

    /// That life is over. It may be an aborted one whose end comes after the next has begun.
    pub(crate) fn end_life(&self, id: ActorId) {
        // Dropped outside the lock: the last reference to an actor closes its mailbox, which rings here.
        let _former;
        let mut inner = self.lock();
        if inner.actor.as_ref().is_some_and(|actor| actor.id() == id) {
            _former = (inner.actor.take(), inner.listener.take());
            inner.current = None;
            inner.ring = None;
        }
    }

    pub(crate) fn ask_stop(&self, how: StopHow) {
        let mut inner = self.lock();
        let line = match how {
            StopHow::Drain => inner.close(DownReason::Stopped),
            StopHow::Pause => Vec::new(),
        };
        inner.leave = Some(how);
        let stopping = inner.stopping.clone();
        let listener = inner.listener.take();
        drop(inner);
        line.into_iter().for_each(Waker::wake);
        if let Some(stopping) = stopping {
            stopping.cancel();
        }
        wake(listener);
    }

    pub(crate) fn kill(&self) {
        let mut inner = self.lock();
        let current = inner.current.map(|(name, _)| short_name(name));
        let interrupted = current.map(|name| format!("interrupted {name}"));
        inner.work.cut_off(interrupted);
        let actor = inner.actor.clone();
        drop(inner);
        if let Some(actor) = actor {
            actor.kill();
        }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.lock().closed.is_some()
    }

    /// Closes for good, answers the queued asks, and says what is left undone.
    pub(crate) fn down(&self, reason: &DownReason) -> Vec<String> {
        let mut inner = self.lock();
        if inner.state == ChildState::Down {
            return Vec::new();
        }
        let line = inner.close(reason.clone());
        inner.closed = Some(Box::new(reason.clone()));
        inner.state = ChildState::Down;
        let queue = inner.queue.take_items();
        let mut undone = inner.work.take_left();
        let labels = inner.work.labels();
        drop(inner);
        line.into_iter().for_each(Waker::wake);
        self.shelf.clear();
        let mut counts: Vec<(&'static str, usize)> = Vec::new();
        for envelope in queue {
            match counts.iter_mut().find(|(name, _)| *name == envelope.name) {
                Some((_, count)) => *count += 1,
                None => counts.push((envelope.name, 1)),
            }
            if let Some(reply) = envelope.reply {
                let message = envelope.message.as_any();
                // An error only means that the asker has gone.
                drop(reply.send(Err(SendError::ActorNotRunning(message))));
            }
        }
        undone.extend(
            counts
                .into_iter()
                .map(|(name, count)| format!("{count} queued {}", short_name(name))),
        );
        for label in labels {
            if !undone.contains(&label) {
                undone.push(label);
            }
        }
        undone
    }
}

impl<A: Actor> Inner<A> {
    fn refusal(&self) -> Option<DownReason> {
        self.closed.as_deref().cloned()
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
