//! Why: actix actors are not `Send`, so they need one thread that is always the same. Here the thread that awaits [`run`]
//! is that thread, and the supervisors, which live on all of the runtime's, send it what is to be begun there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
#[allow(
    clippy::disallowed_types,
    reason = "what is not `Send` has to stay on one thread"
)]
use tokio::task::LocalSet;

/// Lives that wait until the thread begins them, at most; more wait in their start. 64: starts are taken up as
/// fast as the thread gets to them.
const STARTS: usize = 64;

/// Something that is begun on the local set: made there, because what it makes may not leave it.
pub(crate) type Job = Box<dyn FnOnce() -> LocalFuture + Send>;

/// What runs on the local set.
pub(crate) type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

/// The way to the local set, from every thread. Cheap to clone.
#[derive(Clone)]
pub struct Bridge {
    jobs: mpsc::Sender<Job>,
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").finish_non_exhaustive()
    }
}

/// The local set has ended: [`run`] is over, or was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the local set has ended: stop the tree before `actix_bridge::run` is over")]
pub struct Gone;

impl Bridge {
    pub(crate) async fn send(&self, job: Job) -> Result<(), Gone> {
        self.jobs.send(job).await.map_err(|_| Gone)
    }
}

/// Runs `main` on a local set of this thread, and beside it whatever is begun through the [`Bridge`]. `main` may start
/// actix actors (`start()`), spawn locally, and await as usual. Makes no thread and no runtime: await it where your main
/// future is awaited, in `#[tokio::main]`, in `#[actix::main]`, in `paraphym_candle::run`. In a task that may move to
/// another thread it does not compile.
///
/// When `main` is over, what still lives on the local set is dropped: stop the tree first.
///
/// One thread runs all of it: a handler that blocks keeps all others waiting.
#[allow(
    clippy::disallowed_types,
    reason = "what is not `Send` has to stay on one thread"
)]
pub async fn run<F, Fut>(main: F) -> Fut::Output
where
    F: FnOnce(Bridge) -> Fut,
    Fut: Future,
{
    let (jobs, queue) = mpsc::channel(STARTS);
    let local = LocalSet::new();
    // Boxed once, so that whoever awaits this does not hold all of it in theirs.
    let all = async { drive(Box::pin(main(Bridge { jobs })), queue).await };
    local.run_until(all).await
}

async fn drive<Fut: Future>(
    mut main: Pin<Box<Fut>>,
    mut queue: mpsc::Receiver<Job>,
) -> Fut::Output {
    let mut lives = JoinSet::new();
    let output = loop {
        tokio::select! {
            output = &mut main => break output,
            Some(begin) = queue.recv() => drop(lives.spawn_local(begin())),
            // Each tells its own end to whoever waits for it.
            Some(_) = lives.join_next() => {}
        }
    };
    lives.shutdown().await;
    output
}
