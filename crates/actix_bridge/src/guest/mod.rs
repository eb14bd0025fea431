//! An actix actor as a child of our tree.
//!
//! actix catches no panic: the actor's task dies and its address is closed for ever. So the queue is not actix's here. It
//! is the place of a [`Guest`], which is one of our actors and hands the messages over one by one:
//!
//! ```text
//!   Handle<Guest<A>> ──> queue ──> Guest<A>  ── errand ──> Feed ──> A::handle      the actix actor, on the local set
//!                        (stays)   (one life)  <── done, answer ──'
//!                                     '── the panic that ended A goes on here: Crashed, backoff, a new A
//! ```
//!
//! Invariants: a new life has a new actor, and nothing that the former one spawned; at most one message is on its way to
//! the actor; no more answers are outstanding than messages may queue.

mod errand;
mod life;

use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;

use actix::{Actor, Context, Handler, Message};
use supervision::kameo;
use supervision::kameo::actor::{ActorRef, WeakActorRef};
use supervision::kameo::error::{ActorStopReason, Infallible};
use supervision::kameo::mailbox::{MailboxReceiver, Signal};
use supervision::kameo::message::BoxMessage;
use supervision::kameo::reply::{BoxReplySender, DelegatedReply, Reply, ReplyError, ReplySender};
use supervision::{Birth, ChildId, ChildSpec, Handle, Inbox};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bridge::{Bridge, Gone};
use crate::names::short_name;
use crate::stay::{End, Seat, Stay};
use errand::{Carried, Errand};

/// Makes an actor within the context it will have.
type Make<A> = dyn Fn(&mut Context<A>) -> A + Send + Sync;

/// The place of an actix actor in our tree: ask and tell it what `A` handles, through its `Handle`.
pub struct Guest<A: Actor<Context = Context<A>>> {
    inbox: Inbox<Self>,
    errands: mpsc::Sender<Box<dyn Errand<A>>>,
    stop: CancellationToken,
    stay: Stay<()>,
    /// Those that `A` gives later, each with the work guard a stop waits for.
    answers: JoinSet<()>,
    most_answers: usize,
}

/// What every life of a [`Guest`] is made from; see [`Bridge::actor`].
pub struct GuestSeed<A: Actor<Context = Context<A>>> {
    bridge: Bridge,
    make: Arc<Make<A>>,
    seat: Seat,
    most_answers: usize,
}

impl<A: Actor<Context = Context<A>>> Clone for GuestSeed<A> {
    fn clone(&self) -> Self {
        Self {
            bridge: self.bridge.clone(),
            make: self.make.clone(),
            seat: self.seat.clone(),
            most_answers: self.most_answers,
        }
    }
}

/// Why a guest could not begin or go on. Its `Debug` is what the tree shows as the reason.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// There is no local set to live on.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// It called `ctx.stop()` before it took its first message.
    #[error("the actix actor stopped itself before it was ready")]
    StoppedInStart,
}

impl fmt::Debug for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an actix handler answers, whatever it is: to its asker, an error in it is an answer.
pub struct Answered<T>(T);

impl<T: Send + 'static> Reply for Answered<T> {
    type Ok = T;
    type Error = Infallible;
    type Value = Self;

    fn to_result(self) -> Result<T, Infallible> {
        Ok(self.0)
    }

    fn into_any_err(self) -> Option<Box<dyn ReplyError>> {
        None
    }

    fn into_value(self) -> Self {
        self
    }
}

impl Bridge {
    /// An actix actor as a permanent child, as [`ChildSpec::actor`] makes one of ours. `make` is called for every life, on
    /// the local set; if it panics, or `started` does, the start has failed. The child is ready when `started` has returned and what
    /// it waits for (`ctx.wait`) is done.
    ///
    /// At most `capacity` (at least 1) messages queue, and as many answers that come later (`ResponseFuture`) may be
    /// outstanding; then the queue waits. `ctx.address()` and all that comes through it belong to one life: give others the
    /// handle.
    ///
    /// A panic in a handler, or in a future of the actor (`ctx.spawn`, `ctx.wait`, `ResponseActFuture`,
    /// streams, intervals) is the child's crash. A panic in a `ResponseFuture` is not: actix gives those to tokio, which
    /// keeps it to itself; the asker hears `Crashed`, and the actor lives on.
    pub fn actor<A, F>(
        &self,
        id: impl Into<ChildId>,
        capacity: usize,
        make: F,
    ) -> (ChildSpec, Handle<Guest<A>>)
    where
        A: Actor<Context = Context<A>>,
        F: Fn(&mut Context<A>) -> A + Send + Sync + 'static,
    {
        let seed = GuestSeed {
            bridge: self.clone(),
            make: Arc::new(make),
            seat: Seat::default(),
            most_answers: capacity,
        };
        ChildSpec::actor(id, capacity, seed)
    }
}

impl<A: Actor<Context = Context<A>>> kameo::Actor for Guest<A> {
    type Args = Birth<Self, GuestSeed<A>>;
    type Error = GuestError;

    fn name() -> &'static str {
        std::any::type_name::<A>()
    }

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, GuestError> {
        let Birth { seed, inbox } = birth;
        // One: the next message is handed over when the one before was taken.
        let (errands, taken) = mpsc::channel(1);
        let (up, is_up) = oneshot::channel();
        let stop = CancellationToken::new();
        let (make, asked) = (seed.make, stop.clone());
        let life = move || life::live(make, life::Feed::new(taken, up), asked);
        let mut stay = Stay::begin(&seed.bridge, &seed.seat, life).await?;
        tokio::select! {
            biased;
            Ok(()) = is_up => {}
            end = stay.ended() => {
                end.or_unwind()?;
                return Err(GuestError::StoppedInStart);
            }
        }
        Ok(Self {
            inbox,
            errands,
            stop,
            stay,
            answers: JoinSet::new(),
            most_answers: seed.most_answers,
        })
    }

    /// As `supervision::receive_from!`, but the end of the actix actor is an end of this one.
    async fn next(
        &mut self,
        me: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<Signal<Self>>, GuestError> {
        tokio::select! {
            biased;
            end = self.stay.ended() => {
                end.or_unwind()?;
                Ok(None)
            }
            signal = self.inbox.next(me, mailbox) => Ok(signal),
        }
    }

    async fn on_message(
        &mut self,
        message: BoxMessage<Self>,
        me: ActorRef<Self>,
        reply: Option<BoxReplySender>,
        stop: &mut bool,
    ) -> Result<(), Box<dyn ReplyError>> {
        let handling = self.inbox.handling();
        let handled =
            supervision::within(handling, message.handle_dyn(self, me, reply, stop)).await;
        self.inbox.handled();
        handled
    }

    async fn on_stop(
        &mut self,
        _me: WeakActorRef<Self>,
        reason: ActorStopReason,
    ) -> Result<(), GuestError> {
        if matches!(reason, ActorStopReason::Killed) {
            self.stay.cut_off();
        } else {
            self.stop.cancel();
        }
        if let End::Panicked(panic) = self.stay.ended().await {
            let child = self.inbox.child().as_str();
            let said = text_of(&*panic);
            tracing::warn!(child, said, "the actix actor panicked while it stopped");
        }
        Ok(())
    }
}

/// The text of a panic, if it is one.
fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else {
        panic.downcast_ref::<String>().map_or("", String::as_str)
    }
}

type Asker<M> = Option<ReplySender<Answered<<M as Message>::Result>>>;

impl<A, M> kameo::message::Message<M> for Guest<A>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    type Reply = DelegatedReply<Answered<M::Result>>;

    async fn handle(
        &mut self,
        message: M,
        ctx: &mut kameo::message::Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        self.make_room().await;
        let (answer, answered) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let errand = Box::new(Carried::new(message, answer, done));
        // If it is not taken, it is not done either.
        drop(self.errands.send(errand).await);
        if is_done.await.is_ok() {
            self.answer::<M>(asker, answered);
        } else {
            match self.stay.ended().await.or_unwind() {
                Ok(()) => ctx.stop(),
                Err(gone) => resume_unwind(Box::new(gone.to_string())),
            }
        }
        delegated
    }
}

impl<A: Actor<Context = Context<A>>> Guest<A> {
    /// Waits while too many answers are outstanding.
    async fn make_room(&mut self) {
        while self.answers.try_join_next().is_some() {}
        while self.answers.len() >= self.most_answers {
            self.answers.join_next().await;
        }
    }

    /// Passes the answer on, now or when it is there.
    fn answer<M>(&mut self, asker: Asker<M>, mut answered: oneshot::Receiver<M::Result>)
    where
        M: Message + 'static,
        M::Result: Send,
    {
        use oneshot::error::TryRecvError;
        match answered.try_recv() {
            Ok(answer) => pass_on(asker, answer),
            // It never will be.
            Err(TryRecvError::Closed) => {}
            Err(TryRecvError::Empty) => {
                let work = self.inbox.work(format!("answer to {}", short_name::<M>()));
                self.answers.spawn(async move {
                    let _work = work;
                    if let Ok(answer) = answered.await {
                        pass_on(asker, answer);
                    }
                });
            }
        }
    }
}

fn pass_on<T: Send + 'static>(asker: Option<ReplySender<Answered<T>>>, answer: T) {
    if let Some(asker) = asker {
        asker.send(Answered(answer));
    }
}
