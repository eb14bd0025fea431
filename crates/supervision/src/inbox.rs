//! What a living actor receives from: its place's queue, its own alarm, and kameo's mailbox for what is private to this
//! life.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::mailbox::{MailboxReceiver, Signal};
use kameo::message::Message;
use tokio::task::coop;
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::cell::{Cell, Step, short_name};
use crate::names::ChildPath;
use crate::parcel::Envelope;
use crate::turn::Turn;
use crate::work::WorkGuard;

/// What an actor is born with: its `Args`.
pub struct Birth<A: Actor, S> {
    /// Handles, configuration, and `Arc`s of what must outlive a crash. Cloned for every life.
    pub seed: S,
    /// Keep it in a field and name that field in `receive_from!`.
    pub inbox: Inbox<A>,
}

/// The message an actor gets when the alarm of its inbox is due. It arrives once per `set_alarm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmDue;

/// The receiving end of an actor's place. Dropped with the actor; the queue stays.
///
/// It is two pointers: kameo's futures hold an actor, and what it is born with, several times over.
pub struct Inbox<A: Actor> {
    cell: Arc<Cell<A>>,
    /// Whose turn the message in hand belongs to.
    turn: Option<Box<Turn>>,
}

impl<A: Actor> Inbox<A> {
    pub(crate) fn new(cell: Arc<Cell<A>>) -> Self {
        Self { cell, turn: None }
    }

    /// Where in the tree this actor stands.
    pub fn child(&self) -> &ChildPath {
        self.cell.path()
    }

    /// Which life this is, from 1.
    pub fn incarnation(&self) -> u64 {
        self.cell.incarnation()
    }

    /// The actor's one re-armable alarm: when due, the actor gets `AlarmDue`. `None` disarms it. Needs
    /// `receive_from!(inbox, alarm)`.
    pub fn set_alarm(&mut self, at: Option<Instant>) {
        self.cell.set_alarm(at);
    }

    /// While the guard lives, a graceful stop waits (to the deadline of the child's `Shutdown`). The label is what the
    /// stop report says was abandoned if the deadline passes.
    pub fn work(&self, label: impl Into<String>) -> WorkGuard {
        self.cell.begin_work(label.into())
    }

    /// The span whose sender the message in hand has; none if there is none. What goes on after the handler takes it along.
    pub fn turn(&self) -> tracing::Span {
        let turn = self.turn.as_ref();
        turn.map_or_else(tracing::Span::none, |turn| turn.caller())
    }

    /// Called by `receive_from!`: the span of the handler that begins.
    #[doc(hidden)]
    pub fn handling(&mut self) -> Option<tracing::Span> {
        self.turn.as_mut().map(|turn| turn.begin())
    }

    /// Called by `receive_from!`: the turn may end while this actor waits.
    #[doc(hidden)]
    pub fn handled(&mut self) {
        self.turn = None;
    }

    /// Its turn is ours to enter: kameo would only link it.
    fn received(&mut self, mut signal: Option<Signal<A>>) -> Option<Signal<A>> {
        if let Some(Signal::Message {
            message_name,
            caller_span,
            ..
        }) = &mut signal
        {
            let caller = std::mem::replace(caller_span, tracing::Span::none());
            self.turn = Turn::of(caller, self.cell.path(), message_name);
        }
        signal
    }

    /// True once a stop was asked for. What is queued is still handled, unless the actor is to be started again.
    pub fn is_stopping(&self) -> bool {
        self.cell.is_stopping()
    }

    /// Says, in `on_start`, that this child is not wanted: whatever `on_start` then returns, the life ends as
    /// [`Exit::Ignored`](crate::Exit::Ignored), never ready and without having handled a message (if it returns `Ok`,
    /// `on_stop` runs). A panic stays a failure. Once the actor has asked for its first message this does nothing.
    pub fn ignore(&mut self) {
        self.cell.ignore();
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
            let odd = match poll_fn(|cx| self.poll_next(mailbox, cx)).await {
                Next::Plain(signal) => return self.received(signal),
                Next::Odd(odd) => odd,
            };
            if let Some(signal) = odd.await {
                return self.received(Some(signal));
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
        loop {
            let Some(at) = self.cell.alarm() else {
                return self.next(me, mailbox).await;
            };
            let odd = match self.poll_until(at, mailbox).await {
                Some(Next::Plain(signal)) => return self.received(signal),
                Some(Next::Odd(odd)) => odd,
                None => break,
            };
            if let Some(signal) = odd.await {
                return self.received(Some(signal));
            }
        }
        let name = <A as Message<AlarmDue>>::name();
        let actor_ref = self.cell.take_alarm(name)?;
        Some(Signal::Message {
            message: Box::new(AlarmDue),
            actor_ref,
            reply: None,
            sent_within_actor: true,
            message_name: name,
            // An alarm is the actor's own: nobody's turn.
            caller_span: tracing::Span::none(),
        })
    }

    /// What is next, or `None` at that moment.
    async fn poll_until(
        &mut self,
        at: Instant,
        mailbox: &mut MailboxReceiver<A>,
    ) -> Option<Next<A>> {
        let mut sleep = pin!(tokio::time::sleep_until(at));
        poll_fn(|cx| {
            // An alarm that is already due goes first: a full queue must not postpone it for ever.
            if Instant::now() >= at {
                return Poll::Ready(None);
            }
            match self.poll_next(mailbox, cx) {
                Poll::Ready(signal) => Poll::Ready(Some(signal)),
                // Armed only by an actor that has nothing to do.
                Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
            }
        })
        .await
    }

    fn poll_next(
        &mut self,
        mailbox: &mut MailboxReceiver<A>,
        cx: &mut Context<'_>,
    ) -> Poll<Next<A>> {
        // An actor whose queue never empties lets others have the thread, too.
        let budget = ready!(coop::poll_proceed(cx));
        loop {
            let signal = match self.cell.step(cx) {
                Step::Deliver(envelope, actor_ref) => Some(signal(envelope, actor_ref)),
                Step::Slow(delay, envelope, actor_ref) => {
                    let odd = async move {
                        tokio::time::sleep(delay).await;
                        Some(signal(envelope, actor_ref))
                    };
                    return Poll::Ready(Next::Odd(Box::pin(odd)));
                }
                Step::Crash(envelope) => {
                    return Poll::Ready(Next::Odd(Box::pin(async { crash(envelope) })));
                }
                Step::Stall(lasts) => {
                    let odd = async move {
                        tokio::time::sleep(lasts).await;
                        None
                    };
                    return Poll::Ready(Next::Odd(Box::pin(odd)));
                }
                Step::Private => match self.poll_mailbox(mailbox) {
                    Poll::Ready(signal) => signal,
                    Poll::Pending => continue,
                },
                Step::Wait => return Poll::Pending,
                Step::End => None,
            };
            budget.made_progress();
            return Poll::Ready(Next::Plain(signal));
        }
    }

    /// Takes from kameo's mailbox, or leaves the cell's ear there: it rings when something comes.
    fn poll_mailbox(&mut self, mailbox: &mut MailboxReceiver<A>) -> Poll<Option<Signal<A>>> {
        let ear = Waker::from(self.cell.clone());
        // Unconstrained: "nothing there" must not mean "no budget", or a stop could leave something behind.
        let received = pin!(coop::unconstrained(mailbox.recv()));
        let signal = ready!(received.poll(&mut Context::from_waker(&ear)));
        // What came took the ear with it, or left it in place: look again until nothing is there.
        let name = match &signal {
            Some(Signal::Message { message_name, .. }) => Some(*message_name),
            _ => None,
        };
        self.cell.took_private(name);
        Poll::Ready(signal)
    }
}

/// What an inbox has found.
enum Next<A: Actor> {
    Plain(Option<Signal<A>>),
    /// A fault on purpose comes first; `None`: look again afterwards. Boxed, because kameo's futures hold it several times.
    Odd(Pin<Box<dyn Future<Output = Option<Signal<A>>> + Send>>),
}

fn signal<A: Actor>(envelope: Envelope<A>, actor_ref: ActorRef<A>) -> Signal<A> {
    Signal::Message {
        message: envelope.message,
        actor_ref,
        reply: envelope.reply,
        // So that kameo does not put it into its start-up buffer, which a crash empties unseen.
        sent_within_actor: true,
        message_name: envelope.name,
        caller_span: envelope.caller,
    }
}

/// Loses the message and unwinds as its handler would; kameo catches both alike. Not by `panic!`: nobody is to read a
/// message of a bug that is none.
fn crash<A: Actor>(envelope: Envelope<A>) -> Option<Signal<A>> {
    let name = short_name(envelope.name).to_owned();
    drop(envelope);
    std::panic::resume_unwind(Box::new(format!("chaos: crashed on purpose at {name}")))
}

/// A start that panics has failed, whatever it said before.
impl<A: Actor> Drop for Inbox<A> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.cell.start_panicked();
        }
    }
}

/// Overrides `Actor::next` so that the actor receives from its place in the tree, and `Actor::on_message` so that a handler
/// logs within its sender's turn. Write it inside `impl Actor`, with the name of the field that holds the inbox, and
/// `, alarm` after it if the actor handles `AlarmDue`.
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

        async fn on_message(
            &mut self,
            message: $crate::kameo::message::BoxMessage<Self>,
            me: $crate::kameo::actor::ActorRef<Self>,
            reply: ::core::option::Option<$crate::kameo::reply::BoxReplySender>,
            stop: &mut bool,
        ) -> ::core::result::Result<
            (),
            ::std::boxed::Box<dyn $crate::kameo::reply::ReplyError>,
        > {
            let handling = self.$inbox.handling();
            let handled = $crate::within(handling, message.handle_dyn(self, me, reply, stop)).await;
            self.$inbox.handled();
            handled
        }
    };
}
