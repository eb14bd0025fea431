//! Why: a library that quietly builds a second runtime doubles threads, splits timers and loses tasks at exit. This is
//! the only file that builds one, and it refuses where one exists.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::Semaphore;

use crate::census::{Census, Known, Role, current_name, current_tid};
use crate::confine::{Confinement, confine, keep_rayon_here, look};
use crate::helpers::Lender;

/// Blocking threads at most, beside those that help to compute: one for a model's step, one for a load, one for text work, one
/// for a line editor, the rest for files and name look-ups.
const BLOCKING_THREADS: usize = 7;

/// The most threads of a process with so many workers: the main thread, the workers, the blocking threads, and as many more
/// as are lent to help.
pub const fn threads_max(workers: usize) -> usize {
    1 + workers + blocking_max(workers)
}

const fn blocking_max(workers: usize) -> usize {
    BLOCKING_THREADS + lent_max(workers)
}

/// Helpers that all steps and loads have together: with the one that runs a step as many as there are workers, for that many
/// processors can compute it. So helpers never take the blocking threads of other work.
const fn lent_max(workers: usize) -> usize {
    workers.saturating_sub(1)
}

/// How long the runtime's blocking threads may take to end after the last task did.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// How long the workers may take to come up before `main` runs all the same.
const START_GRACE: Duration = Duration::from_secs(2);

thread_local! {
    /// Whether this thread has parked as a worker.
    static PARKED: Cell<bool> = const { Cell::new(false) };
}

/// "One per process" can only be known by the process: true while a runtime of ours lives.
static OWNED: AtomicBool = AtomicBool::new(false);

/// How to build the one runtime.
#[derive(Clone, Debug, Default)]
pub struct RuntimeOptions {
    /// Threads that run async tasks; the number of processors if absent. 1 to 1024.
    pub workers: Option<usize>,
}

/// The runtime this process answers on.
#[derive(Clone, Debug)]
pub struct Runtime {
    handle: Handle,
    known: Known,
    confinement: Confinement,
    lender: Arc<Lender>,
    owned: bool,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// `run` inside a runtime.
    #[error(
        "already inside a tokio runtime: await the work there instead of building a second runtime"
    )]
    Nested,
    /// `run` while another `run` is going on.
    #[error(
        "this process already has its one runtime: hand its handle on instead of building a second"
    )]
    Second,
    /// `Runtime::ambient` outside a runtime.
    #[error("not inside a tokio runtime: call this from async code, or use `run` in `main`")]
    Outside,
    /// A worker count out of its range.
    #[error("workers = {0} is not accepted: use 1 to 1024")]
    Workers(usize),
    /// The system refused a thread.
    #[error("the runtime could not be built: {0}")]
    Build(#[from] std::io::Error),
}

/// Frees the process for another runtime, however `run` ends.
struct Owning;

impl Owning {
    fn claim() -> Result<Self, RunError> {
        if OWNED.swap(true, Ordering::AcqRel) {
            Err(RunError::Second)
        } else {
            Ok(Self)
        }
    }
}

impl Drop for Owning {
    fn drop(&mut self) {
        OWNED.store(false, Ordering::Release);
    }
}

/// Builds the one runtime, runs `main` on it to its end, and ends every thread it had.
///
/// # Errors
/// `Nested` or `Second` where a runtime exists already, `Workers` for a bad count, `Build` if the system refuses.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that builds a runtime and blocks on it"
)]
pub fn run<F, Fut>(options: &RuntimeOptions, main: F) -> Result<Fut::Output, RunError>
where
    F: FnOnce(Runtime) -> Fut,
    Fut: Future,
{
    if Handle::try_current().is_ok() {
        return Err(RunError::Nested);
    }
    let _owning = Owning::claim()?;
    let confinement = confine();
    let workers = match options.workers {
        None => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        Some(n @ 1..=1024) => n,
        Some(n) => return Err(RunError::Workers(n)),
    };
    let known = Known::before_start();
    let up = Arc::new(Semaphore::new(0));
    let tokio = builder(workers, &known, &up).build()?;
    let runtime = Runtime {
        handle: tokio.handle().clone(),
        known,
        confinement,
        lender: Arc::new(Lender::new(lent_max(workers))),
        owned: true,
    };
    let output = tokio.block_on(async {
        all_up(&up, workers).await;
        main(runtime).await
    });
    tokio.shutdown_timeout(SHUTDOWN_GRACE);
    Ok(output)
}

/// tokio's workers and blocking threads come from one pool, and each takes what waits first: until every worker works, a
/// blocking task could be taken by a thread that was named for a worker. So nobody may bring one before.
async fn all_up(up: &Semaphore, workers: usize) {
    let all = up.acquire_many(u32::try_from(workers).unwrap_or(u32::MAX));
    if tokio::time::timeout(START_GRACE, all).await.is_err() {
        tracing::warn!(
            workers,
            "some workers are slow to start; threads may be misnamed"
        );
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one place that builds a runtime"
)]
fn builder(workers: usize, known: &Known, up: &Arc<Semaphore>) -> Builder {
    let started = Arc::new(AtomicUsize::new(0));
    let (on_start, on_park, on_stop) = (known.clone(), known.clone(), known.clone());
    let up = Arc::clone(up);
    let mut builder = Builder::new_multi_thread();
    builder
        .enable_all()
        .worker_threads(workers)
        .max_blocking_threads(blocking_max(workers))
        // Kept warm for a minute: each blocking thread is claimed from rayon once, and a chat pauses for seconds.
        .thread_keep_alive(Duration::from_mins(1))
        .thread_name_fn(move || {
            // tokio starts its workers first, all of them, while the runtime is built.
            match started.fetch_add(1, Ordering::Relaxed) {
                n if n < workers => format!("paraphym-worker-{n}"),
                n => format!("paraphym-blocking-{}", n - workers),
            }
        })
        .on_thread_start(move || {
            if let Some(tid) = current_tid() {
                on_start.insert(tid, Role::Blocking);
            }
            keep_rayon_here();
        })
        .on_thread_park(move || {
            // Only a worker parks here, and each does at once when it finds nothing to do.
            if !PARKED.replace(true) {
                if let Some(tid) = current_tid() {
                    on_park.insert(tid, Role::Worker);
                }
                up.add_permits(1);
            }
        })
        .on_thread_stop(move || {
            if let Some(tid) = current_tid() {
                on_stop.remove(tid);
            }
        });
    builder
}

impl Runtime {
    /// The runtime we are inside: an embedding app's, or a test's. Its threads are the host's. The environment is only
    /// looked at: other threads may be reading it.
    ///
    /// # Errors
    /// `Outside` where there is none.
    pub async fn ambient() -> Result<Self, RunError> {
        let handle = Handle::try_current().map_err(|_| RunError::Outside)?;
        // A thread of that runtime's blocking pool knows what they are called; the caller's may be the app's main.
        let name = handle.spawn_blocking(current_name).await.ok().flatten();
        let known = Known::ambient(name);
        let workers = handle.metrics().num_workers();
        Ok(Self {
            lender: Arc::new(Lender::new(lent_max(workers))),
            handle,
            known,
            confinement: look(),
            owned: false,
        })
    }

    /// Whether we built it (and will end it), or an app lent it.
    pub fn is_owned(&self) -> bool {
        self.owned
    }

    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Who lends helpers to all that compute on it.
    pub(crate) const fn lender(&self) -> &Arc<Lender> {
        &self.lender
    }

    /// Threads that run async tasks.
    pub fn workers(&self) -> usize {
        self.handle.metrics().num_workers()
    }

    /// The process's threads now. Reads `/proc`; a few microseconds per thread.
    pub fn census(&self) -> Census {
        self.known.census()
    }

    /// What the libraries were told, and what the environment overrode.
    pub fn confinement(&self) -> &Confinement {
        &self.confinement
    }
}
