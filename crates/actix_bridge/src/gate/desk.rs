//! What makes one of our tasks an actix actor: an actor whose context keeps the message instead of handling it.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix::dev::channel::{AddressReceiver, channel};
use actix::dev::{Envelope, EnvelopeProxy, MessageResponse, OneshotSender, ToEnvelope};
use actix::{Actor, ActorContext, ActorState, Addr, Handler, Message};
use futures_util::Stream;

/// Who the messages are for, to actix.
pub(super) struct Desk<M>(PhantomData<fn(M)>);

impl<M> Desk<M> {
    const fn new() -> Self {
        Self(PhantomData)
    }
}

/// What was said, and who waits for an answer.
pub(super) struct Asked<M: Message> {
    pub(super) message: M,
    pub(super) answer: Option<OneshotSender<M::Result>>,
}

/// The context of a desk: a message lies on it until it is taken.
pub(super) struct Tray<M: Message>(Option<Asked<M>>);

impl<M: Message + 'static> Actor for Desk<M> {
    type Context = Tray<M>;
}

/// What lives and ends is the child that takes the messages.
impl<M: Message> ActorContext for Tray<M> {
    fn stop(&mut self) {}

    fn terminate(&mut self) {}

    fn state(&self) -> ActorState {
        ActorState::Running
    }
}

impl<M: Message + 'static> Handler<M> for Desk<M> {
    type Result = Later<M>;

    fn handle(&mut self, message: M, _: &mut Tray<M>) -> Later<M> {
        Later(message)
    }
}

/// An answer that is not there yet.
pub(super) struct Later<M>(M);

impl<M: Message + 'static> MessageResponse<Desk<M>, M> for Later<M> {
    fn handle(self, tray: &mut Tray<M>, answer: Option<OneshotSender<M::Result>>) {
        tray.0 = Some(Asked {
            message: self.0,
            answer,
        });
    }
}

struct Packed<M: Message>(Option<Asked<M>>);

impl<M: Message + 'static> EnvelopeProxy<Desk<M>> for Packed<M> {
    fn handle(&mut self, desk: &mut Desk<M>, tray: &mut Tray<M>) {
        if let Some(Asked { message, answer }) = self.0.take() {
            desk.handle(message, tray).handle(tray, answer);
        }
    }
}

impl<M> ToEnvelope<Desk<M>, M> for Tray<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn pack(message: M, answer: Option<OneshotSender<M::Result>>) -> Envelope<Desk<M>> {
        Envelope::with_proxy(Box::new(Packed(Some(Asked { message, answer }))))
    }
}

/// An actix mailbox of our own.
pub(super) fn mailbox<M: Message + 'static>(
    capacity: usize,
) -> (Addr<Desk<M>>, AddressReceiver<Desk<M>>) {
    let (sender, receiver) = channel(capacity);
    (Addr::new(sender), receiver)
}

/// The receiving end.
pub(super) struct Queue<M: Message + 'static>(AddressReceiver<Desk<M>>);

impl<M: Message + 'static> Queue<M> {
    pub(super) fn new(receiver: AddressReceiver<Desk<M>>) -> Self {
        Self(receiver)
    }

    pub(super) fn into_inner(self) -> AddressReceiver<Desk<M>> {
        self.0
    }

    /// The next message. It never ends: whoever made this keeps an address.
    pub(super) async fn next(&mut self) -> Asked<M> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Asked<M>> {
        let mut tray = Tray(None);
        while let Poll::Ready(Some(mut envelope)) = Pin::new(&mut self.0).poll_next(cx) {
            envelope.handle(&mut Desk::new(), &mut tray);
            if let Some(asked) = tray.0.take() {
                return Poll::Ready(asked);
            }
        }
        Poll::Pending
    }
}
