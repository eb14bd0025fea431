//! What a supervisor does to a place: it begins lives there, ends them, and closes it for good.

use std::sync::Arc;
use std::task::Waker;

use kameo::actor::{Actor, ActorId, ActorRef};
use kameo::error::SendError;

use super::{Cell, short_name, wake};
use crate::child::{Ring, StopHow};
use crate::exit::{ChildState, DownReason};
use crate::handling::Totals;
use crate::life::LifeGuard;
use crate::patience::Shelf;
use crate::tap::Outcome;

impl<A: Actor> Cell<A> {
    /// A new life begins; a gate that was closed opens.
    pub(crate) fn begin(
        self: &Arc<Self>,
        actor: ActorRef<A>,
        ring: Ring,
        kept_timers: &Arc<Shelf>,
    ) -> LifeGuard<A> {
        // A place has one tree for good, so only the first life sets it.
        self.shelf.get_or_init(|| kept_timers.clone());
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

    /// The present life has ended, and with it the handling of its last message.
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.lock().done(outcome);
    }

    /// What this place has done.
    pub(crate) fn totals(&self) -> Totals {
        let inner = self.lock();
        Totals {
            handled: inner.handled,
            handling: inner.handling.as_deref().cloned().unwrap_or_default(),
        }
    }

    /// That life is over. It may be an aborted one whose end comes after the next has begun.
    pub(crate) fn end_life(&self, id: ActorId) {
        // Dropped outside the lock: the last reference to an actor closes its mailbox, which rings here.
        let _former;
        let mut inner = self.lock();
        if inner.actor.as_ref().is_some_and(|actor| actor.id() == id) {
            _former = (inner.actor.take(), inner.listener.take());
            // Still there if the life was aborted.
            inner.done(Outcome::Killed);
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
        let current = inner.current.map(|current| short_name(current.name));
        let interrupted = current.map(|name| format!("interrupted {name}"));
        inner.work.cut_off(interrupted);
        let actor = inner.actor.clone();
        drop(inner);
        if let Some(actor) = actor {
            actor.kill();
        }
    }

    /// The queue waits, or goes on.
    pub(crate) fn pause(&self, paused: bool) {
        let mut inner = self.lock();
        inner.paused = paused;
        let listener = inner.listener.take();
        drop(inner);
        wake(listener);
    }

    pub(crate) fn take_left(&self) -> Vec<String> {
        self.lock().work.take_left()
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
        inner.paused = false;
        let extras = inner.extras.take();
        let queue = inner.queue.take_items();
        let mut undone = inner.work.take_left();
        let labels = inner.work.labels();
        drop(inner);
        drop(extras);
        line.into_iter().for_each(Waker::wake);
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
