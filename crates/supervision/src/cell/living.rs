//! What the living actor does to its place: it takes what is next, says what it is at, and may leave by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Waker};

use kameo::actor::{Actor, ActorRef};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::extras::Fault;
use super::{Cell, Step, wake};
use crate::chaos::STALL;
use crate::child::StopHow;
use crate::exit::{ChildState, DownReason};
use crate::tap::Outcome;
use crate::work::WorkGuard;

impl<A: Actor> Cell<A> {
    /// The next thing for the inbox to do. The message handed out before is done. On `Wait` the waker is kept, under the
    /// lock that whoever brings something must take: there is no moment at which its wake-up could be lost.
    pub(crate) fn step(&self, cx: &Context<'_>) -> Step<A> {
        // Wakers are dropped and called outside the lock: they may be anything.
        let _stale;
        self.timeless.store(false, Relaxed);
        let mut inner = self.lock();
        inner.done(Outcome::Handled);
        if inner.ignored {
            return Step::End;
        }
        if let Some(ring) = inner.ring.take() {
            drop(inner);
            ring.ready();
            inner = self.lock();
        }
        if inner.leave.is_none()
            && let Some(lasts) = inner.extras.as_mut().and_then(|extras| extras.stall())
        {
            inner.begins(STALL);
            self.timeless.store(true, Relaxed);
            return Step::Stall(lasts);
        }
        let private_first = std::mem::replace(&mut inner.private_first, false);
        if inner.private && private_first {
            inner.private = false;
            return Step::Private;
        }
        if inner.takes_from_queue()
            && !inner.queue.is_empty()
            && let Some(actor) = inner.actor.clone()
            && let Some((envelope, next)) = inner.queue.pop()
        {
            inner.private_first = true;
            let fault = match &mut inner.extras {
                Some(extras) => extras.taken(),
                None => Fault::None,
            };
            inner.begins(envelope.name);
            self.timeless.store(true, Relaxed);
            drop(inner);
            wake(next);
            return match fault {
                Fault::None => Step::Deliver(envelope, actor),
                Fault::Slow(delay) => Step::Slow(delay, envelope, actor),
                Fault::Crash => Step::Crash(envelope),
            };
        }
        // Private messages may be the end of what was queued (the result of a pipe): they are not left behind.
        if inner.private {
            inner.private = false;
            return Step::Private;
        }
        if inner.leave.is_some() && inner.work.is_idle() {
            return Step::End;
        }
        inner.queue.rest();
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
        inner.done(Outcome::Handled);
        inner.begins(name);
        self.timeless.store(true, Relaxed);
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
        if let Some(name) = name {
            inner.begins(name);
        }
        self.timeless.store(true, Relaxed);
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

    /// The life waits: if it does so inside a handler, that one takes time.
    pub(crate) fn note_time(&self) {
        if self.timeless.load(Relaxed) {
            self.timeless.store(false, Relaxed);
            if let Some(current) = &mut self.lock().current {
                current.waited = true;
                current.since();
            }
        }
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
}
