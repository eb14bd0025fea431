//! One life of an actix actor, polled here and not by actix, so that its panic is caught before anything of it is dropped.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll};

use actix::{Actor, ActorContext, ActorFuture, AsyncContext, Context};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Make;
use super::errand::Errand;

/// What the actor receives from, as one of its own futures: actix polls those when the actor has started and waits for
/// nothing, which is when it would look into its mailbox.
pub(super) struct Feed<A: Actor> {
    errands: mpsc::Receiver<Box<dyn Errand<A>>>,
    up: Option<oneshot::Sender<()>>,
}

impl<A: Actor> Feed<A> {
    pub(super) fn new(
        errands: mpsc::Receiver<Box<dyn Errand<A>>>,
        up: oneshot::Sender<()>,
    ) -> Self {
        Self {
            errands,
            up: Some(up),
        }
    }
}

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Feed<A> {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        if let Some(up) = self.up.take() {
            let _ = up.send(());
        }
        // An actor that waits is polled when it is done, and this with it.
        while !ctx.waiting() {
            match self.errands.poll_recv(task) {
                Poll::Ready(Some(errand)) => errand.run(actor, ctx),
                // Its guest is gone, and cuts it off.
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Pending
    }
}

/// From `make` to the last hook. After a panic actix still calls `stopping` and `stopped`, as it does by itself.
pub(super) async fn live<A>(make: Arc<Make<A>>, feed: Feed<A>, stop: CancellationToken)
where
    A: Actor<Context = Context<A>>,
{
    let mut ctx = Context::new();
    let actor = make(&mut ctx);
    ctx.spawn(feed);
    let mut life = ctx.into_future(actor);
    let mut asked = pin!(stop.cancelled());
    let mut is_asked = false;
    let ended = poll_fn(|cx| {
        if !is_asked && asked.as_mut().poll(cx).is_ready() {
            is_asked = true;
            life.ctx().stop();
        }
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut life).poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await;
    // Its hooks run in here, and a second panic while one unwinds would end the process.
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(life)));
    if let Err(panic) = ended.and(dropped) {
        resume_unwind(panic);
    }
}
