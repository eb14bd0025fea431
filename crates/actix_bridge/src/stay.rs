//! One life on the local set, as it is seen by whoever began it from another thread.
//!
//! Each life has a local set of its own inside the shared one, so that what an actix actor spawns (every `ResponseFuture`
//! is spawned) ends with that life and says nothing to the next.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{Semaphore, oneshot};
#[allow(
    clippy::disallowed_types,
    reason = "what is not `Send` has to stay on one thread"
)]
use tokio::task::LocalSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bridge::{Bridge, Gone};

/// What a panic said.
pub(crate) type Panic = Box<dyn Any + Send>;

/// One place on the local set: the next life there begins when the one before is gone, whoever was cut off meanwhile.
#[derive(Clone)]
pub(crate) struct Seat(Arc<Semaphore>);

impl Default for Seat {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// How a life on the local set ended. Nothing of it is left by then.
pub(crate) enum End<T> {
    Returned(T),
    Panicked(Panic),
    /// It was cut off, or its end was told before.
    Gone,
}

impl<T> End<T> {
    /// What it returned; its panic goes on here.
    pub(crate) fn or_unwind(self) -> Result<T, Gone> {
        match self {
            Self::Returned(value) => Ok(value),
            Self::Panicked(panic) => resume_unwind(panic),
            Self::Gone => Err(Gone),
        }
    }
}

/// A life on the local set. Dropped, it cuts that life off.
pub(crate) struct Stay<T> {
    cut: Option<DropGuard>,
    ended: Option<oneshot::Receiver<Result<T, Panic>>>,
}

impl<T: Send + 'static> Stay<T> {
    /// Begins `life` on the local set, once the life before it in this seat is gone.
    pub(crate) async fn begin<F, Fut>(bridge: &Bridge, seat: &Seat, life: F) -> Result<Self, Gone>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let seated = seat.0.clone().acquire_owned().await.map_err(|_| Gone)?;
        let cut = CancellationToken::new();
        let until = cut.clone();
        let (tell, ended) = oneshot::channel();
        let job = move || async move {
            let outcome = live(life, until).await;
            drop(seated);
            if let Some(outcome) = outcome {
                // Whoever began it may have gone.
                drop(tell.send(outcome));
            }
        };
        bridge.send(Box::new(move || Box::pin(job()))).await?;
        Ok(Self {
            cut: Some(cut.drop_guard()),
            ended: Some(ended),
        })
    }

    /// Waits for the end; dropped meanwhile, it can be called again.
    pub(crate) async fn ended(&mut self) -> End<T> {
        let Some(ended) = &mut self.ended else {
            return End::Gone;
        };
        let end = match ended.await {
            Ok(Ok(value)) => End::Returned(value),
            Ok(Err(panic)) => End::Panicked(panic),
            Err(_) => End::Gone,
        };
        self.ended = None;
        end
    }

    /// Drops that life where it stands; its end follows.
    pub(crate) fn cut_off(&mut self) {
        self.cut = None;
    }
}

/// The life to its end, `None` if it was cut off. What it spawned is gone when this returns.
#[allow(
    clippy::disallowed_types,
    reason = "what is not `Send` has to stay on one thread"
)]
async fn live<F, Fut, T>(life: F, until: CancellationToken) -> Option<Result<T, Panic>>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T> + 'static,
{
    let set = LocalSet::new();
    let whole = set.run_until(async move { life().await });
    tokio::select! {
        biased;
        () = until.cancelled() => None,
        outcome = AssertUnwindSafe(whole).catch_unwind() => Some(outcome),
    }
}
