//! What senders do to a place: look whether it is open, and leave a message there or stand in line.

use std::task::Context;

use kameo::actor::Actor;
use kameo::message::Message;

use super::{Cell, Down, Refused, wake};
use crate::exit::DownReason;
use crate::parcel::{Parcel, seal};
use crate::queue::{InLine, Ticket};

impl<A: Actor> Cell<A> {
    /// Why nothing can be sent, if so.
    pub(crate) fn closed(&self) -> Option<DownReason> {
        self.lock().refusal()
    }

    /// Queues a message if there is a place for it now.
    pub(crate) fn try_put<M>(&self, parcel: Parcel<M>) -> Result<(), Result<Parcel<M>, Down<M>>>
    where
        A: Message<M>,
        M: Send + 'static,
    {
        let mut inner = self.lock();
        if let Some(reason) = inner.refusal() {
            return Err(Err((parcel.open(), reason)));
        }
        inner.queue.push(parcel, seal::<A, M>).map_err(Ok)?;
        inner.note_arrival();
        let listener = inner.listener.take();
        drop(inner);
        wake(listener);
        Ok(())
    }

    /// Queues a message, or stands in line for a place: first come, first served. A gate that closes sends the whole line
    /// away; who finds it open again afterwards stands in line anew.
    pub(crate) fn poll_put<M>(
        &self,
        parcel: Parcel<M>,
        ticket: Option<Ticket>,
        cx: &Context<'_>,
    ) -> Result<(), Refused<M>>
    where
        A: Message<M>,
        M: Send + 'static,
    {
        let mut inner = self.lock();
        if let Some(reason) = inner.refusal() {
            return Err(Refused::Down((parcel.open(), reason)));
        }
        let waker = || cx.waker().clone();
        let put = inner
            .queue
            .push_or_wait(ticket, parcel, seal::<A, M>, waker);
        match put {
            Ok(()) => {
                inner.note_arrival();
                let listener = inner.listener.take();
                drop(inner);
                wake(listener);
                Ok(())
            }
            Err(InLine {
                parcel,
                ticket,
                stale,
            }) => {
                drop(inner);
                drop(stale);
                Err(Refused::Full(parcel, ticket))
            }
        }
    }

    /// Leaves the line; a place that was promised goes to the next.
    pub(crate) fn leave_line(&self, ticket: Ticket) {
        let (stale, next) = self.lock().queue.leave(ticket);
        drop(stale);
        wake(next);
    }
}
