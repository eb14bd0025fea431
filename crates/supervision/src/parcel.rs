//! A message on its way into the queue, and in it. Two types, because on the way it may have to go back as what it was.

use kameo::actor::Actor;
use kameo::message::{BoxMessage, Message};
use kameo::reply::BoxReplySender;

/// A queued message.
pub(crate) struct Envelope<A: Actor> {
    pub(crate) message: BoxMessage<A>,
    pub(crate) reply: Option<BoxReplySender>,
    pub(crate) name: &'static str,
    pub(crate) caller: tracing::Span,
}

/// A message on its way to its place. Boxed before the lock is taken.
pub(crate) struct Parcel<M> {
    message: Box<M>,
    reply: Option<BoxReplySender>,
    caller: tracing::Span,
}

impl<M> Parcel<M> {
    pub(crate) fn new(message: M, reply: Option<BoxReplySender>) -> Self {
        Self {
            message: Box::new(message),
            reply,
            caller: tracing::Span::current(),
        }
    }

    pub(crate) fn open(self) -> M {
        *self.message
    }
}

pub(crate) fn seal<A, M>(parcel: Parcel<M>) -> Envelope<A>
where
    A: Message<M>,
    M: Send + 'static,
{
    Envelope {
        message: parcel.message,
        reply: parcel.reply,
        name: <A as Message<M>>::name(),
        caller: parcel.caller,
    }
}
