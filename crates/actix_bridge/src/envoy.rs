//! We ask actix: an [`Envoy`] is one of our actors, and what it is asked it asks an actix `Recipient`.
//!
//! actix's `send` has no bound (every request that finds the mailbox full gets a place of its own), and a request that is
//! given up leaves its message in the mailbox. So the bounds are ours: the envoy's queue, and how many messages of it may
//! be on the other side. A message holds its seat there until it is handled, whether its asker still waits or not.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use actix::{Message, Recipient};
use supervision::kameo;
use supervision::kameo::actor::ActorRef;
use supervision::kameo::error::Infallible;
use supervision::kameo::message::Context;
use supervision::kameo::reply::{DelegatedReply, ReplySender};
use supervision::{Birth, ChildId, ChildSpec, Handle, Inbox};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::names::short_name;

/// How much an [`Envoy`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvoyLimits {
    /// Messages that may wait for a seat; at least 1.
    pub queue: usize,
    /// Messages that may be with the actix actor, in its mailbox or in its hands; at least 1. One keeps them in order even
    /// if its answers come later.
    pub at_once: usize,
}

impl Default for EnvoyLimits {
    /// 16, as an actix mailbox has, and 64 behind them.
    fn default() -> Self {
        Self {
            queue: 64,
            at_once: 16,
        }
    }
}

/// Why the actix side gave no answer. That there was no room is `Full` of a `try_tell`, and too late is `Timeout` of an
/// ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// Its mailbox was closed: it was not carried out.
    #[error("the actix actor has ended; the message was not delivered")]
    Closed,
    /// It took the message and gave no answer: it panicked, was stopped, or dropped the answer. Ask again if that is
    /// harmless.
    #[error(
        "the actix actor ended, or dropped its answer, while it held the message; it may or may not have been carried out"
    )]
    Crashed,
}

/// Carries messages to an actix recipient. Ask and tell it through its `Handle`.
pub struct Envoy<M: Message + Send + 'static>
where
    M::Result: Send,
{
    inbox: Inbox<Self>,
    to: Recipient<M>,
    seats: Arc<Semaphore>,
    under_way: JoinSet<()>,
}

/// What every life of an [`Envoy`] is made from; see [`envoy`].
pub struct EnvoySeed<M: Message + Send + 'static>
where
    M::Result: Send,
{
    to: Recipient<M>,
    at_once: usize,
}

impl<M: Message + Send + 'static> Clone for EnvoySeed<M>
where
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self {
            to: self.to.clone(),
            at_once: self.at_once,
        }
    }
}

/// A transient child that carries messages to `to`. actix closes an address for ever, so when it finds it closed it ends:
/// from then on an ask is `Down` at once. A tell that nobody can be given back is logged.
pub fn envoy<M>(
    id: impl Into<ChildId>,
    limits: EnvoyLimits,
    to: Recipient<M>,
) -> (ChildSpec, Handle<Envoy<M>>)
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    let at_once = limits.at_once.max(1);
    let (spec, handle) = ChildSpec::actor(id, limits.queue, EnvoySeed { to, at_once });
    (spec.transient(), handle)
}

impl<M: Message + Send + 'static> kameo::Actor for Envoy<M>
where
    M::Result: Send,
{
    type Args = Birth<Self, EnvoySeed<M>>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            inbox: birth.inbox,
            to: birth.seed.to,
            seats: Arc::new(Semaphore::new(birth.seed.at_once)),
            under_way: JoinSet::new(),
        })
    }

    supervision::receive_from!(inbox);
}

type Asker<T> = Option<ReplySender<Result<T, Undelivered>>>;

impl<M: Message + Send + 'static> kameo::message::Message<M> for Envoy<M>
where
    M::Result: Send,
{
    type Reply = DelegatedReply<Result<M::Result, Undelivered>>;

    async fn handle(&mut self, message: M, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        while self.under_way.try_join_next().is_some() {}
        let seat = self.seats.clone().acquire_owned().await;
        match seat {
            Ok(seat) if self.to.connected() => self.carry(message, asker, seat).await,
            _ => {
                self.answer(asker, Err(Undelivered::Closed));
                ctx.stop();
            }
        }
        delegated
    }
}

impl<M: Message + Send + 'static> Envoy<M>
where
    M::Result: Send,
{
    /// Puts the message into the mailbox, before the next one is looked at, and waits for the answer beside.
    async fn carry(&mut self, message: M, asker: Asker<M::Result>, seat: OwnedSemaphorePermit) {
        let mut request = Box::pin(self.to.send(message));
        // One that found the mailbox full gets its place when it is first polled.
        let first = poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx))).await;
        if let Poll::Ready(answer) = first {
            self.answer(asker, answer.map_err(|_| Undelivered::Crashed));
            return;
        }
        let work = self.inbox.work(format!("answer to {}", short_name::<M>()));
        self.under_way.spawn(async move {
            let _held = (seat, work);
            let answer = request.await.map_err(|_| Undelivered::Crashed);
            if let Some(asker) = asker {
                asker.send(answer);
            }
        });
    }

    fn answer(&self, asker: Asker<M::Result>, answer: Result<M::Result, Undelivered>) {
        match (asker, answer) {
            (Some(asker), answer) => asker.send(answer),
            (None, Ok(_)) => {}
            (None, Err(error)) => {
                let (child, message) = (self.inbox.child().as_str(), short_name::<M>());
                tracing::warn!(child, message, %error, "a message that nobody waits for is lost");
            }
        }
    }
}
