//! One message on its way to an actix actor, whatever its type.

use actix::dev::MessageResponse;
use actix::{Actor, Handler, Message};
use tokio::sync::oneshot;

/// What a [`Feed`](super::life::Feed) hands over.
pub(super) trait Errand<A: Actor>: Send {
    fn run(self: Box<Self>, actor: &mut A, ctx: &mut A::Context);
}

/// A message, where its answer goes, and who is told that its handler has returned. Dropped before that, it tells so too.
pub(super) struct Carried<M: Message> {
    message: M,
    answer: oneshot::Sender<M::Result>,
    done: oneshot::Sender<()>,
}

impl<M: Message> Carried<M> {
    pub(super) fn new(
        message: M,
        answer: oneshot::Sender<M::Result>,
        done: oneshot::Sender<()>,
    ) -> Self {
        Self {
            message,
            answer,
            done,
        }
    }
}

impl<A, M> Errand<A> for Carried<M>
where
    A: Actor + Handler<M>,
    M: Message + Send,
    M::Result: Send,
{
    fn run(self: Box<Self>, actor: &mut A, ctx: &mut A::Context) {
        let Self {
            message,
            answer,
            done,
        } = *self;
        let response = actor.handle(message, ctx);
        response.handle(ctx, Some(answer));
        // The guest waits for it, unless it was cut off.
        let _ = done.send(());
    }
}
