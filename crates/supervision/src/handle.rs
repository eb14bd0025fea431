//! How others reach an actor: by its place, which stays while actors in it come and go.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kameo::actor::Actor;
use kameo::error::SendError;
use kameo::message::{BoxReply, Message};
use kameo::reply::{BoxReplySender, Reply};
use tokio::sync::oneshot;

use crate::cell::{Cell, Down, Refused};
use crate::exit::{ChildState, DownReason};
use crate::names::ChildPath;
use crate::parcel::Parcel;
use crate::patience::Patience;
use crate::queue::Ticket;

/// What an ask of `M` to `A` answers.
pub type Answer<A, M> = <<A as Message<M>>::Reply as Reply>::Ok;
/// What an ask of `M` to `A` may refuse with.
pub type Refusal<A, M> = <<A as Message<M>>::Reply as Reply>::Error;

/// Why an ask has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError<E> {
    /// The actor answered with an error.
    #[error("{0:?}")]
    Handler(E),
    /// The actor ended while it held this request; whether it was carried out is unknown. Ask again if that is harmless.
    #[error(
        "{child} ended while it held this request; it may or may not have been carried out, so ask again only if that is harmless"
    )]
    Crashed {
        /// Who.
        child: ChildPath,
    },
    /// The actor takes no messages any more; the request was not carried out.
    #[error("{child} is down: {reason}; the request was not carried out")]
    Down {
        /// Who.
        child: ChildPath,
        /// Why.
        reason: DownReason,
    },
    /// No answer in time; the request may still be carried out.
    #[error(
        "{child} did not answer within {deadline:?}; the request may still be carried out, so look before asking again"
    )]
    Timeout {
        /// Who.
        child: ChildPath,
        /// The whole time that was allowed, for room and answer together.
        deadline: Duration,
    },
}

/// Why a tell was not taken. The message comes back.
#[derive(thiserror::Error)]
pub enum TellError<M> {
    /// Every place in the queue is taken; wait with `tell`, or drop the message.
    #[error("the queue is full; wait for room with `tell`, or drop the message")]
    Full(M),
    /// The actor takes no messages any more.
    #[error("{child} is down: {reason}")]
    Down {
        /// What was to be said.
        message: M,
        /// To whom.
        child: ChildPath,
        /// Why not.
        reason: DownReason,
    },
}

impl<M> TellError<M> {
    /// The message that was not taken.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message) | Self::Down { message, .. } => message,
        }
    }
}

impl<M> fmt::Debug for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full"),
            Self::Down { child, reason, .. } => f
                .debug_struct("Down")
                .field("child", child)
                .field("reason", reason)
                .finish_non_exhaustive(),
        }
    }
}

/// The way to one actor's place. Cheap to clone; made before the actor starts; survives its restarts.
pub struct Handle<A: Actor> {
    cell: Arc<Cell<A>>,
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self {
            cell: self.cell.clone(),
        }
    }
}

impl<A: Actor> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.cell.path())
    }
}

/// Two handles are equal if they lead to the same place.
impl<A: Actor> PartialEq for Handle<A> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cell, &other.cell)
    }
}

impl<A: Actor> Eq for Handle<A> {}

impl<A: Actor> Handle<A> {
    pub(crate) fn new(cell: Arc<Cell<A>>) -> Self {
        Self { cell }
    }

    /// Where in the tree; only the id until a supervisor has taken the spec.
    pub fn child(&self) -> &ChildPath {
        self.cell.path()
    }

    /// Where the actor is in its life.
    pub fn state(&self) -> ChildState {
        self.cell.state()
    }

    /// Messages queued now.
    pub fn depth(&self) -> usize {
        self.cell.depth()
    }

    /// Messages that may be queued.
    pub fn capacity(&self) -> usize {
        self.cell.capacity()
    }

    /// Waits for room and for the answer, together `deadline` on tokio's clock: no less, and no more than a tick of its
    /// timers (1 ms) on top. While the actor is being started
    /// again the ask waits its turn.
    ///
    /// # Errors
    /// See [`AskError`]; each variant says whether the request may have been carried out.
    pub async fn ask<M>(
        &self,
        message: M,
        deadline: Duration,
    ) -> Result<Answer<A, M>, AskError<Refusal<A, M>>>
    where
        A: Message<M>,
        M: Send + 'static,
    {
        let (reply, mut answer) = oneshot::channel();
        let mut errand = Errand::new(&self.cell, message, Some(reply));
        let mut patience = Patience::new(self.cell.shelf(), deadline);
        let put = poll_fn(|cx| match errand.poll(cx) {
            Poll::Ready(put) => Poll::Ready(Some(put)),
            Poll::Pending => patience.poll_exhausted(cx).map(|()| None),
        });
        match put.await {
            Some(Ok(())) => {}
            Some(Err((_, reason))) => return Err(self.ask_down(reason)),
            None => return Err(self.ask_timeout(deadline)),
        }
        let answered = poll_fn(|cx| match Pin::new(&mut answer).poll(cx) {
            Poll::Ready(answered) => Poll::Ready(Some(answered)),
            Poll::Pending => patience.poll_exhausted(cx).map(|()| None),
        });
        match answered.await {
            Some(Ok(answer)) => self.read_answer::<M>(answer),
            Some(Err(_)) => Err(AskError::Crashed {
                child: self.child().clone(),
            }),
            None => Err(self.ask_timeout(deadline)),
        }
    }

    fn read_answer<M>(
        &self,
        answer: Result<BoxReply, kameo::error::BoxSendError>,
    ) -> Result<Answer<A, M>, AskError<Refusal<A, M>>>
    where
        A: Message<M>,
        M: Send + 'static,
    {
        let error = match answer {
            Ok(reply) => return Ok(<A::Reply as Reply>::downcast_ok(reply)),
            Err(error) => error,
        };
        match <A::Reply as Reply>::downcast_err::<M>(error) {
            SendError::HandlerError(error) => Err(AskError::Handler(error)),
            SendError::ActorNotRunning(_) | SendError::ActorRestarting(_) => {
                let reason = self.cell.closed().unwrap_or(DownReason::Stopped);
                Err(self.ask_down(reason))
            }
            SendError::ActorStopped | SendError::MailboxFull(_) | SendError::Timeout(_) => {
                Err(AskError::Crashed {
                    child: self.child().clone(),
                })
            }
        }
    }

    fn ask_timeout<E>(&self, deadline: Duration) -> AskError<E> {
        AskError::Timeout {
            child: self.child().clone(),
            deadline,
        }
    }

    fn ask_down<E>(&self, reason: DownReason) -> AskError<E> {
        AskError::Down {
            child: self.child().clone(),
            reason,
        }
    }

    /// Waits for room.
    ///
    /// # Errors
    /// `Down`, with the message.
    pub async fn tell<M>(&self, message: M) -> Result<(), TellError<M>>
    where
        A: Message<M>,
        M: Send + 'static,
    {
        let mut errand = Errand::new(&self.cell, message, None);
        let put = poll_fn(|cx| errand.poll(cx)).await;
        put.map_err(|(message, reason)| self.tell_down(message, reason))
    }

    /// Takes a place if there is one now.
    ///
    /// # Errors
    /// `Full` or `Down`, with the message.
    pub fn try_tell<M>(&self, message: M) -> Result<(), TellError<M>>
    where
        A: Message<M>,
        M: Send + 'static,
    {
        let put = self.cell.try_put(Parcel::new(message, None));
        put.map_err(|refused| match refused {
            Ok(parcel) => TellError::Full(parcel.open()),
            Err((message, reason)) => self.tell_down(message, reason),
        })
    }

    fn tell_down<M>(&self, message: M, reason: DownReason) -> TellError<M> {
        TellError::Down {
            message,
            child: self.child().clone(),
            reason,
        }
    }
}

/// One message's way into the queue. Dropped on the way, it leaves the line and the message is not sent.
struct Errand<'a, A: Actor, M> {
    cell: &'a Cell<A>,
    parcel: Option<Parcel<M>>,
    ticket: Option<Ticket>,
}

impl<'a, A, M> Errand<'a, A, M>
where
    A: Message<M>,
    M: Send + 'static,
{
    fn new(cell: &'a Cell<A>, message: M, reply: Option<BoxReplySender>) -> Self {
        Self {
            cell,
            parcel: Some(Parcel::new(message, reply)),
            ticket: None,
        }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), Down<M>>> {
        let Some(parcel) = self.parcel.take() else {
            return Poll::Ready(Ok(()));
        };
        let ticket = self.ticket.take();
        match self.cell.poll_put(parcel, ticket, cx) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(Refused::Down(down)) => Poll::Ready(Err(down)),
            Err(Refused::Full(parcel, ticket)) => {
                self.parcel = Some(parcel);
                self.ticket = Some(ticket);
                Poll::Pending
            }
        }
    }
}

impl<A: Actor, M> Drop for Errand<'_, A, M> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.cell.leave_line(ticket);
        }
    }
}
