//! What every contender has to do, so that each measure is written once and all run the same loop.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The way to one counting actor.
pub(crate) trait Address: Clone + Send + Sync + 'static {
    /// Counts one more, without an answer. Waits for room where the queue is bounded.
    fn add(&self) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Asks for the count of this life.
    fn count(&self) -> impl Future<Output = Result<u64, Failure>> + Send;
    /// Makes it panic, without an answer.
    fn crash(&self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// One counting actor and whoever looks after it.
pub(crate) trait Peer: Sized + 'static {
    type Address: Address;
    /// Starts it with a queue of `capacity` places, where it has a bounded queue.
    async fn start(capacity: usize, ledger: Arc<Ledger>) -> Result<Self, Failure>;
    fn address(&self) -> Self::Address;
    async fn end(self) -> Result<(), Failure>;
}

/// Many idle actors.
pub(crate) trait Crowd: Sized + 'static {
    /// Starts `actors` of them with queues of [`CROWD_CAPACITY`] places; each has answered once.
    async fn gather(actors: usize) -> Result<Self, Failure>;
    /// Ends them all, and waits for the last.
    async fn disperse(self) -> Result<(), Failure>;
}

/// Places in the queue of one of a crowd: kameo's default.
pub(crate) const CROWD_CAPACITY: usize = 64;

/// A parent whose children come and go.
pub(crate) trait Parent: Sized + Send + 'static {
    async fn open() -> Result<Self, Failure>;
    /// Starts `children`, hears each answer once, ends them, and waits until the parent knows of every end.
    fn generation(&mut self, children: usize) -> impl Future<Output = Result<(), Failure>> + Send;
    async fn close(self) -> Result<(), Failure>;
}

/// What outlives the lives of one actor.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lives: AtomicU64,
    counted: AtomicU64,
}

impl Ledger {
    /// A life begins.
    pub(crate) fn born(&self) {
        self.lives.fetch_add(1, Ordering::Relaxed);
    }

    /// A life that counted this much is about to panic.
    pub(crate) fn dies(&self, count: u64) {
        self.counted.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn lives(&self) -> u64 {
        self.lives.load(Ordering::Relaxed)
    }

    /// What the lives that ended in a panic had counted.
    pub(crate) fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }
}

const BUG: &str = "the bug the bench asked for";

/// The bug all contenders share.
#[allow(clippy::panic, reason = "the panic is what is measured")]
pub(crate) fn bug() -> ! {
    std::panic::panic_any(BUG)
}

/// From now on that bug is not printed: thousands of panics are part of what is measured, their lines are not.
pub(crate) fn hush() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(BUG) {
            print(panic);
        }
    }));
}

/// Runs `work` on a worker of the runtime: an ask from the main thread would measure how long that takes to wake up.
pub(crate) async fn on_worker<T, F>(work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let mut one = JoinSet::new();
    one.spawn(work);
    one.join_next().await.ok_or("the work vanished")??
}

/// Runs `work` as a task of the main thread, beside the actors that live there.
pub(crate) async fn on_main<T, F>(work: F) -> Result<T, Failure>
where
    T: 'static,
    F: Future<Output = Result<T, Failure>> + 'static,
{
    let mut one = JoinSet::new();
    one.spawn_local(work);
    one.join_next().await.ok_or("the work vanished")??
}

/// Hears every actor answer once: none is counted that has not started.
pub(crate) async fn hear_all<A: Address>(addresses: &[A]) -> Result<(), Failure> {
    for address in addresses {
        let count = address.count().await?;
        if count != 0 {
            return Err(format!("a new actor has counted {count} already").into());
        }
    }
    Ok(())
}

/// An error of any kind as text: what contenders return often holds the message and cannot be sent on.
pub(crate) fn told<E: std::fmt::Debug>(error: E) -> Failure {
    format!("{error:?}").into()
}
