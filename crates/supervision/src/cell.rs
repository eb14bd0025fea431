//! The place of one actor: its queue, its gate and what it is doing. It outlives the actor's incarnations, which is why
//! a restart loses nothing that was queued (docs/adr/0002).
//!
//! Everything that must be seen together is under one lock, and nothing waits while holding it: a sender's "is it open?"
//! and its push, and an idle stop's "is it empty?" and its closing, can never come between each other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use kameo::actor::{Actor, ActorId, ActorRef};
use kameo::error::SendError;
use kameo::message::{BoxMessage, Message};
use kameo::reply::BoxReplySender;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::child::{Busy, Look, StopHow};
use crate::exit::{ChildState, DownReason};
use crate::names::{ChildId, ChildPath};
use crate::work::WorkLog;

/// A queued message.
pub(crate) struct Envelope<A: Actor> {
    pub(crate) message: BoxMessage<A>,
    pub(crate) reply: Option<BoxReplySender>,
    pub(crate) name: &'static str,
    pub(crate) caller: tracing::Span,
}

enum Gate {
    Open,
    /// Nothing new; what is queued is still handled.
    Closing(DownReason),
    Closed(DownReason),
}

struct Inner<A: Actor> {
    queue: VecDeque<Envelope<A>>,
    /// One permit per free place; replaced when a closed gate opens again.
    room: Arc<Semaphore>,
    gate: Gate,
    leave: Option<StopHow>,
    state: ChildState,
    current: Option<(&'static str, Instant)>,
    /// What a kill interrupted; the guards of it are gone when the rest is counted.
    left: Vec<String>,
    actor: Option<ActorRef<A>>,
    stopping: CancellationToken,
}

/// What the inbox does next.
pub(crate) enum Step<A: Actor> {
    Deliver(Envelope<A>, ActorRef<A>),
    Wait,
    End,
}

/// The place of one actor.
pub(crate) struct Cell<A: Actor> {
    id: ChildPath,
    path: OnceLock<ChildPath>,
    capacity: usize,
    inner: Mutex<Inner<A>>,
    pub(crate) work: Arc<WorkLog>,
}

/// A free place in the queue, held until the message is in it.
pub(crate) struct Room {
    of: Arc<Semaphore>,
    permit: OwnedSemaphorePermit,
}

/// Why a message did not get its place.
pub(crate) enum Refused<M> {
    Down(M, DownReason),
    /// The gate closed and opened again since the place was taken, and its room was counted anew: take another.
    Moved(M, Option<BoxReplySender>),
}

impl<A: Actor> Cell<A> {
    pub(crate) fn new(id: &ChildId, capacity: usize) -> Self {
        Self {
            id: ChildPath::root(id),
            path: OnceLock::new(),
            capacity,
            inner: Mutex::new(Inner {
                queue: VecDeque::new(),
                room: Arc::new(Semaphore::new(capacity.min(Semaphore::MAX_PERMITS))),
                gate: Gate::Open,
                leave: None,
                state: ChildState::Starting,
                current: None,
                left: Vec::new(),
                actor: None,
                stopping: CancellationToken::new(),
            }),
            work: Arc::default(),
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
        self.capacity
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
            inner.open(self.capacity);
        }
    }

    pub(crate) fn look(&self) -> Look {
        let inner = self.lock();
        Look {
            depth: inner.queue.len(),
            capacity: self.capacity,
            current: inner.current,
            work: self.work.labels(),
        }
    }

    /// The message being handled and since when.
    pub(crate) fn busy(&self) -> Option<Busy> {
        let current = self.lock().current;
        current.map(|(name, since)| Busy { name, since })
    }

    /// What wakes the living inbox: a message, the end of some work, or a stop.
    pub(crate) fn wake(&self) -> &Notify {
        &self.work.changed
    }

    // ---- senders

    /// Why nothing can be sent, if so.
    pub(crate) fn closed(&self) -> Option<DownReason> {
        match &self.lock().gate {
            Gate::Open => None,
            Gate::Closing(reason) | Gate::Closed(reason) => Some(reason.clone()),
        }
    }

    fn room(&self) -> Result<Arc<Semaphore>, DownReason> {
        let inner = self.lock();
        match &inner.gate {
            Gate::Open => Ok(inner.room.clone()),
            Gate::Closing(reason) | Gate::Closed(reason) => Err(reason.clone()),
        }
    }

    /// Waits for a free place; first come, first served.
    pub(crate) async fn wait_for_room(&self) -> Result<Room, DownReason> {
        loop {
            let of = self.room()?;
            // An error means that the gate closed meanwhile; the next look says why, or finds it open again.
            if let Ok(permit) = of.clone().acquire_owned().await {
                return Ok(Room { of, permit });
            }
        }
    }

    /// A free place if there is one now.
    pub(crate) fn try_room(&self) -> Result<Option<Room>, DownReason> {
        let of = self.room()?;
        let permit = of.clone().try_acquire_owned().ok();
        Ok(permit.map(|permit| Room { of, permit }))
    }

    /// Puts a message in its place, or hands everything back with the reason.
    pub(crate) fn put<M>(
        &self,
        room: Room,
        message: M,
        reply: Option<BoxReplySender>,
    ) -> Result<(), Refused<M>>
    where
        A: Message<M>,
        M: Send + 'static,
    {
        let mut inner = self.lock();
        if let Gate::Closing(reason) | Gate::Closed(reason) = &inner.gate {
            return Err(Refused::Down(message, reason.clone()));
        }
        if !Arc::ptr_eq(&room.of, &inner.room) {
            return Err(Refused::Moved(message, reply));
        }
        inner.queue.push_back(Envelope {
            message: Box::new(message),
            reply,
            name: <A as Message<M>>::name(),
            caller: tracing::Span::current(),
        });
        room.permit.forget();
        drop(inner);
        self.wake().notify_one();
        Ok(())
    }

    // ---- the living actor

    /// The next thing for the inbox to do. The message handed out before is done.
    pub(crate) fn step(&self) -> Step<A> {
        let mut inner = self.lock();
        inner.current = None;
        if inner.leave != Some(StopHow::Pause)
            && let Some(actor) = inner.actor.clone()
            && let Some(envelope) = inner.queue.pop_front()
        {
            inner.room.add_permits(1);
            inner.current = Some((envelope.name, Instant::now()));
            return Step::Deliver(envelope, actor);
        }
        if inner.leave.is_some() && self.work.is_idle() {
            return Step::End;
        }
        Step::Wait
    }

    /// The living actor's own reference, while it lives.
    pub(crate) fn actor(&self) -> Option<ActorRef<A>> {
        self.lock().actor.clone()
    }

    /// A private message is being handled.
    pub(crate) fn handling(&self, name: &'static str) {
        self.lock().current = Some((name, Instant::now()));
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().leave.is_some()
    }

    pub(crate) fn stopping(&self) -> CancellationToken {
        self.lock().stopping.clone()
    }

    /// Closes the gate if nothing is queued and no work is under way.
    pub(crate) fn stop_if_idle(&self) -> bool {
        let mut inner = self.lock();
        if inner.leave.is_some() {
            return true;
        }
        if !inner.queue.is_empty() || !self.work.is_idle() {
            return false;
        }
        inner.close(Gate::Closing(DownReason::Finished));
        inner.leave = Some(StopHow::Drain);
        inner.state = ChildState::Stopping;
        true
    }

    // ---- the supervisor

    /// A new life begins; a gate that was closed opens.
    pub(crate) fn begin(self: &Arc<Self>, actor: ActorRef<A>) -> LifeGuard<A> {
        let mut inner = self.lock();
        inner.open(self.capacity);
        inner.leave = None;
        inner.left.clear();
        let id = actor.id();
        inner.actor = Some(actor);
        inner.stopping = CancellationToken::new();
        LifeGuard {
            cell: self.clone(),
            id,
        }
    }

    pub(crate) fn ask_stop(&self, how: StopHow) {
        let mut inner = self.lock();
        if how == StopHow::Drain {
            inner.close(Gate::Closing(DownReason::Stopped));
        }
        inner.leave = Some(how);
        let stopping = inner.stopping.clone();
        drop(inner);
        stopping.cancel();
        self.wake().notify_one();
    }

    pub(crate) fn kill(&self) {
        let mut inner = self.lock();
        if inner.left.is_empty() {
            let current = inner.current.map(|(name, _)| short_name(name));
            let interrupted = current.map(|name| format!("interrupted {name}"));
            inner.left = interrupted.into_iter().collect();
            inner.left.extend(self.work.labels());
        }
        let actor = inner.actor.clone();
        drop(inner);
        if let Some(actor) = actor {
            actor.kill();
        }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        !matches!(self.lock().gate, Gate::Open)
    }

    /// Closes for good, answers the queued asks, and says what is left undone.
    pub(crate) fn down(&self, reason: &DownReason) -> Vec<String> {
        let mut inner = self.lock();
        if inner.state == ChildState::Down {
            return Vec::new();
        }
        inner.close(Gate::Closed(reason.clone()));
        inner.gate = Gate::Closed(reason.clone());
        inner.state = ChildState::Down;
        let queue = std::mem::take(&mut inner.queue);
        let mut undone = std::mem::take(&mut inner.left);
        drop(inner);
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
        for label in self.work.labels() {
            if !undone.contains(&label) {
                undone.push(label);
            }
        }
        undone
    }
}

impl<A: Actor> Inner<A> {
    fn open(&mut self, capacity: usize) {
        if !matches!(self.gate, Gate::Open) {
            let free = capacity.saturating_sub(self.queue.len());
            self.room = Arc::new(Semaphore::new(free.min(Semaphore::MAX_PERMITS)));
            self.gate = Gate::Open;
        }
    }

    fn close(&mut self, gate: Gate) {
        if matches!(self.gate, Gate::Open) {
            self.gate = gate;
        }
        self.room.close();
    }
}

/// Ends the traces of a life however it ends, by return, panic or abort.
pub(crate) struct LifeGuard<A: Actor> {
    cell: Arc<Cell<A>>,
    id: ActorId,
}

impl<A: Actor> Drop for LifeGuard<A> {
    fn drop(&mut self) {
        let mut inner = self.cell.lock();
        // An aborted life may come to its end after the next has begun.
        if inner
            .actor
            .as_ref()
            .is_some_and(|actor| actor.id() == self.id)
        {
            inner.actor = None;
            inner.current = None;
        }
    }
}

/// `Generate` for `paraphym_model_host::messages::Generate`; generic arguments are dropped.
pub(crate) fn short_name(name: &str) -> &str {
    let plain = name.split('<').next().unwrap_or(name);
    plain.rsplit("::").next().unwrap_or(plain)
}
