//! actix asks us: a [`Gate`] is a child of our tree that is reached by an actix `Recipient`.
//!
//! ```text
//!   Recipient<M> ──> actix's mailbox ──> gate ── serve(M) ──> Handle::ask(…, deadline)
//!      full: try_send says so            at most so many at once
//! ```
//!
//! It needs no local set: the mailbox is actix's, but what takes from it is one of our tasks. The mailbox is not the
//! gate's life: it stays over restarts, and what is queued waits in it.

mod desk;

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::dev::channel::AddressReceiver;
use actix::{Addr, Message, Recipient};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use supervision::kameo::message::Message as Handled;
use supervision::{Answer, AskError, ChildId, ChildSpec, Handle, Refusal, TaskContext, TaskError};

use desk::{Asked, Desk, Queue};

/// How much a [`Gate`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// Messages that may wait in actix's mailbox before `try_send` says `Full`; at least 1. actix lets every clone of a
    /// recipient, and every `send` that is awaited, have one message more, and `do_send` as many as it likes.
    pub queue: usize,
    /// Messages that are served at once; at least 1.
    pub at_once: usize,
}

impl Default for GateLimits {
    /// 16, as an actix mailbox has, and as many at once: our actors have queues of their own.
    fn default() -> Self {
        Self {
            queue: 16,
            at_once: 16,
        }
    }
}

/// Where recipients are made. Cheap to clone.
pub struct Gate<M: Message + Send + 'static>
where
    M::Result: Send,
{
    address: Arc<Mutex<Addr<Desk<M>>>>,
}

impl<M: Message + Send + 'static> Clone for Gate<M>
where
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self {
            address: self.address.clone(),
        }
    }
}

impl<M: Message + Send + 'static> fmt::Debug for Gate<M>
where
    M::Result: Send,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl<M: Message + Send + 'static> Gate<M>
where
    M::Result: Send,
{
    /// The way in. It works before the gate has started and over its restarts. Once the gate was stopped for good it is
    /// closed for ever, as an actix address is; a gate that is started again after that has another.
    pub fn recipient(&self) -> Recipient<M> {
        lock(&self.address).clone().recipient()
    }
}

/// A permanent child that serves what comes through its recipients. The answer of `serve` goes to the asker; its future
/// is dropped when the asker has gone. It should end by a deadline: [`Handle::ask`] has one.
///
/// A panic of `serve` is the gate's crash: those it served at that moment hear `Closed`, those that are queued are served
/// by its next life.
pub fn gate<M, F, Fut>(id: impl Into<ChildId>, limits: GateLimits, serve: F) -> (ChildSpec, Gate<M>)
where
    M: Message + Send + 'static,
    M::Result: Send,
    F: Fn(M) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = M::Result> + Send + 'static,
{
    let capacity = limits.queue.max(1);
    let (address, queue) = desk::mailbox(capacity);
    let back = Arc::new(Back {
        capacity,
        address: Arc::new(Mutex::new(address)),
        queue: Mutex::new(Some(queue)),
    });
    let gate = Gate {
        address: back.address.clone(),
    };
    let serve = Arc::new(serve);
    let spec = ChildSpec::task(id, move |context| {
        let (back, serve) = (back.clone(), serve.clone());
        serve_all(context, back, serve, limits.at_once.max(1))
    });
    (spec, gate)
}

/// A [`gate`] that asks one of our actors, for a message that is both actix's and ours.
pub fn gate_to<A, M>(
    id: impl Into<ChildId>,
    limits: GateLimits,
    handle: Handle<A>,
    deadline: Duration,
) -> (ChildSpec, Gate<M>)
where
    A: Handled<M>,
    M: Message<Result = Result<Answer<A, M>, AskError<Refusal<A, M>>>> + Send + 'static,
{
    gate(id, limits, move |message| {
        let handle = handle.clone();
        async move { handle.ask(message, deadline).await }
    })
}

/// What outlives the lives of one gate.
struct Back<M: Message + Send + 'static>
where
    M::Result: Send,
{
    capacity: usize,
    address: Arc<Mutex<Addr<Desk<M>>>>,
    /// With the life that takes from it, or closed for good, if absent.
    queue: Mutex<Option<AddressReceiver<Desk<M>>>>,
}

impl<M: Message + Send + 'static> Back<M>
where
    M::Result: Send,
{
    /// The mailbox that is open, or another.
    fn take(&self) -> AddressReceiver<Desk<M>> {
        if let Some(queue) = lock(&self.queue).take() {
            return queue;
        }
        let (address, queue) = desk::mailbox(self.capacity);
        *lock(&self.address) = address;
        queue
    }
}

/// Gives the mailbox back to the next life, however this one ends, unless there will be none.
struct Held<'a, M: Message + Send + 'static>
where
    M::Result: Send,
{
    back: &'a Back<M>,
    context: &'a TaskContext,
    queue: Option<Queue<M>>,
}

impl<M: Message + Send + 'static> Drop for Held<'_, M>
where
    M::Result: Send,
{
    fn drop(&mut self) {
        if !self.context.stops_for_good() {
            *lock(&self.back.queue) = self.queue.take().map(Queue::into_inner);
        }
    }
}

async fn serve_all<M, F, Fut>(
    context: TaskContext,
    back: Arc<Back<M>>,
    serve: Arc<F>,
    at_once: usize,
) -> Result<(), TaskError>
where
    M: Message + Send + 'static,
    M::Result: Send,
    F: Fn(M) -> Fut,
    Fut: Future<Output = M::Result>,
{
    let mut held = Held {
        back: &back,
        context: &context,
        queue: Some(Queue::new(back.take())),
    };
    let Some(queue) = &mut held.queue else {
        return Ok(());
    };
    context.ready();
    let mut served = FuturesUnordered::new();
    let mut stopping = pin!(context.stopping());
    loop {
        tokio::select! {
            biased;
            () = &mut stopping => break,
            Some(()) = served.next() => {}
            asked = queue.next(), if served.len() < at_once => served.push(one(asked, &*serve)),
        }
    }
    loop {
        // What comes back finds its queue as it was.
        while context.stops_for_good() && served.len() < at_once {
            let Some(asked) = queue.next().now_or_never() else {
                break;
            };
            served.push(one(asked, &*serve));
        }
        if served.next().await.is_none() {
            return Ok(());
        }
    }
}

/// Serves one message, for as long as somebody waits for it.
async fn one<M, F, Fut>(asked: Asked<M>, serve: &F)
where
    M: Message,
    F: Fn(M) -> Fut,
    Fut: Future<Output = M::Result>,
{
    let Asked { message, answer } = asked;
    let Some(mut answer) = answer else {
        serve(message).await;
        return;
    };
    tokio::select! {
        biased;
        () = answer.closed() => {}
        served = serve(message) => drop(answer.send(served)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
