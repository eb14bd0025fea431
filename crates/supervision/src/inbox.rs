//! What a living actor receives from: its place's queue, its own alarm, and kameo's mailbox for what is private to this
//! life.

use std::sync::Arc;

use kameo::actor::{Actor, WeakActorRef};
use kameo::mailbox::{MailboxReceiver, Signal};
use kameo::message::Message;
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::cell::{Cell, Step};
use crate::child::Ring;
use crate::names::ChildPath;
use crate::work::WorkGuard;

/// What an actor is born with: its `Args`.
pub struct Birth<A: Actor, S> {
    /// Handles, configuration, and `Arc`s of what must outlive a crash. Cloned for every life.
    pub seed: S,
    /// Keep it in a field and name that field in `receive_from!`.
    pub inbox: Inbox<A>,
    /// Which life this is, from 1.
    pub incarnation: u64,
    /// Where in the tree.
    pub child: ChildPath,
}

/// The message an actor gets when the alarm of its inbox is due. It arrives once per `set_alarm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmDue;

/// The receiving end of an actor's place. Dropped with the actor; the queue stays.
pub struct Inbox<A: Actor> {
    cell: Arc<Cell<A>>,
    ring: Option<Ring>,
    alarm: Option<Instant>,
    /// Private messages and queued ones take turns, so that neither starves the other.
    private_first: bool,
}

impl<A: Actor> Inbox<A> {
    pub(crate) fn new(cell: Arc<Cell<A>>, ring: Ring) -> Self {
        Self {
            cell,
            ring: Some(ring),
            alarm: None,
            private_first: true,
        }
    }

    /// Where in the tree this actor stands.
    pub fn child(&self) -> &ChildPath {
        self.cell.path()
    }

    /// The actor's one re-armable alarm: when due, the actor gets `AlarmDue`. `None` disarms it. Needs
    /// `receive_from!(inbox, alarm)`.
    pub fn set_alarm(&mut self, at: Option<Instant>) {
        self.alarm = at;
    }

    /// While the guard lives, a graceful stop waits (to the deadline of the child's `Shutdown`). The label is what the
    /// stop report says was abandoned if the deadline passes.
    pub fn work(&self, label: impl Into<String>) -> WorkGuard {
        self.cell.work.begin(label.into())
    }

    /// True once a stop was asked for. What is queued is still handled, unless the actor is to be started again.
    pub fn is_stopping(&self) -> bool {
        self.cell.is_stopping()
    }

    /// Completes when a stop is asked for; for tasks that the actor runs beside itself.
    pub fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.cell.stopping().cancelled_owned()
    }

    /// Ends this actor normally after the present message if nothing is queued and no work guard lives, atomically with
    /// respect to senders: from then on they get their message back as `Down`. Returns whether it will stop.
    pub fn stop_if_idle(&mut self) -> bool {
        self.cell.stop_if_idle()
    }

    /// Called by `receive_from!(inbox)`: what the actor handles next, or `None` when it should end.
    #[doc(hidden)]
    pub async fn next(
        &mut self,
        _me: WeakActorRef<A>,
        mailbox: &mut MailboxReceiver<A>,
    ) -> Option<Signal<A>> {
        loop {
            match self.poll_both(mailbox) {
                Found::Signal(signal) => return Some(signal),
                Found::End => return None,
                Found::Nothing => {}
            }
            tokio::select! {
                biased;
                signal = mailbox.recv() => match signal {
                    Some(signal) => return Some(self.private(signal)),
                    None => return None,
                },
                () = self.cell.wake().notified() => {}
            }
        }
    }

    /// Called by `receive_from!(inbox, alarm)`.
    #[doc(hidden)]
    pub async fn next_or_alarm(
        &mut self,
        me: WeakActorRef<A>,
        mailbox: &mut MailboxReceiver<A>,
    ) -> Option<Signal<A>>
    where
        A: Message<AlarmDue>,
    {
        let Some(at) = self.alarm else {
            return self.next(me, mailbox).await;
        };
        // An alarm that is already due goes first: a full queue must not postpone it for ever.
        let due = tokio::select! {
            biased;
            () = tokio::time::sleep_until(at) => true,
            signal = self.next(me, mailbox) => match signal {
                Some(signal) => return Some(signal),
                None => false,
            },
        };
        if !due {
            return None;
        }
        self.alarm = None;
        self.ring_once();
        let actor_ref = self.cell.actor()?;
        let name = <A as Message<AlarmDue>>::name();
        self.cell.handling(name);
        Some(Signal::Message {
            message: Box::new(AlarmDue),
            actor_ref,
            reply: None,
            sent_within_actor: true,
            message_name: name,
            caller_span: tracing::Span::none(),
        })
    }

    /// Ready means: asked for its first message.
    fn ring_once(&mut self) {
        if let Some(ring) = self.ring.take() {
            ring.ready();
        }
    }

    fn poll_both(&mut self, mailbox: &mut MailboxReceiver<A>) -> Found<A> {
        self.ring_once();
        let private_first = std::mem::replace(&mut self.private_first, false);
        if private_first && let Ok(signal) = mailbox.try_recv() {
            return Found::Signal(self.private(signal));
        }
        match self.cell.step() {
            Step::Deliver(envelope, actor_ref) => {
                self.private_first = true;
                Found::Signal(Signal::Message {
                    message: envelope.message,
                    actor_ref,
                    reply: envelope.reply,
                    // So that kameo does not put it into its start-up buffer, which a crash empties unseen.
                    sent_within_actor: true,
                    message_name: envelope.name,
                    caller_span: envelope.caller,
                })
            }
            // Private messages may be the end of what was queued (the result of a pipe): they are not left behind.
            Step::End => match mailbox.try_recv() {
                Ok(signal) => Found::Signal(self.private(signal)),
                Err(_) => Found::End,
            },
            Step::Wait => Found::Nothing,
        }
    }

    fn private(&self, signal: Signal<A>) -> Signal<A> {
        if let Signal::Message { message_name, .. } = &signal {
            self.cell.handling(message_name);
        }
        signal
    }
}

enum Found<A: Actor> {
    Signal(Signal<A>),
    Nothing,
    End,
}

/// Overrides `Actor::next` so that the actor receives from its place in the tree. Write it inside `impl Actor`, with the
/// name of the field that holds the inbox, and `, alarm` after it if the actor handles `AlarmDue`.
#[macro_export]
macro_rules! receive_from {
    ($inbox:ident) => {
        $crate::receive_from!(@override $inbox, next);
    };
    ($inbox:ident, alarm) => {
        $crate::receive_from!(@override $inbox, next_or_alarm);
    };
    (@override $inbox:ident, $method:ident) => {
        async fn next(
            &mut self,
            me: $crate::kameo::actor::WeakActorRef<Self>,
            mailbox: &mut $crate::kameo::mailbox::MailboxReceiver<Self>,
        ) -> ::core::result::Result<
            ::core::option::Option<$crate::kameo::mailbox::Signal<Self>>,
            Self::Error,
        > {
            ::core::result::Result::Ok(self.$inbox.$method(me, mailbox).await)
        }
    };
}
