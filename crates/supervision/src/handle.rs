//! How others reach an actor: by its place, which stays while actors in it come and go.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kameo::actor::Actor;
use kameo::error::SendError;
use kameo::message::{BoxReply, Message};
use kameo::reply::{BoxReplySender, Reply};
use tokio::sync::oneshot;

use crate::cell::{Cell, Refused};
use crate::exit::{ChildState, DownReason};
use crate::names::ChildPath;

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

    /// Waits for room and for the answer, together at most `deadline` on tokio's clock. While the actor is being started
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
        let answered = tokio::time::timeout(deadline, self.ask_without_deadline(message)).await;
        answered.unwrap_or_else(|_| {
            Err(AskError::Timeout {
                child: self.child().clone(),
                deadline,
            })
        })
    }

    async fn ask_without_deadline<M>(
        &self,
        message: M,
    ) -> Result<Answer<A, M>, AskError<Refusal<A, M>>>
    where
        A: Message<M>,
        M: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        if let Err((_, reason)) = self.put(message, Some(reply)).await {
            return Err(self.ask_down(reason));
        }
        match answer.await {
            Ok(answer) => self.read_answer::<M>(answer),
            Err(_) => Err(AskError::Crashed {
                child: self.child().clone(),
            }),
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
        let put = self.put(message, None).await;
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
        match self.cell.try_room() {
            Err(reason) => Err(self.tell_down(message, reason)),
            Ok(None) => Err(TellError::Full(message)),
            Ok(Some(room)) => self.cell.put(room, message, None).map_err(|e| match e {
                Refused::Down(message, reason) => self.tell_down(message, reason),
                Refused::Moved(message, _) => TellError::Full(message),
            }),
        }
    }

    fn tell_down<M>(&self, message: M, reason: DownReason) -> TellError<M> {
        TellError::Down {
            message,
            child: self.child().clone(),
            reason,
        }
    }

    async fn put<M>(
        &self,
        mut message: M,
        mut reply: Option<BoxReplySender>,
    ) -> Result<(), (M, DownReason)>
    where
        A: Message<M>,
        M: Send + 'static,
    {
        loop {
            let room = match self.cell.wait_for_room().await {
                Ok(room) => room,
                Err(reason) => return Err((message, reason)),
            };
            match self.cell.put(room, message, reply) {
                Ok(()) => return Ok(()),
                Err(Refused::Down(message, reason)) => return Err((message, reason)),
                Err(Refused::Moved(back, sender)) => (message, reply) = (back, sender),
            }
        }
    }
}
