//! One life in a place, for as long as its task exists: however it ends, its traces end with it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use kameo::actor::{Actor, ActorId};
use kameo::error::{ActorStopReason, PanicError};
use pin_project_lite::pin_project;

use crate::cell::Cell;
use crate::exit::{Exit, StartFailure};
use crate::names::ChildPath;
use crate::tap::Outcome;

pin_project! {
    /// An actor's run. Not an async block: that would hold the run twice, before and after its first poll.
    pub(crate) struct Living<A: Actor, F> {
        // Dropped before the guard.
        #[pin]
        run: F,
        guard: LifeGuard<A>,
    }
}

impl<A: Actor, F> Living<A, F> {
    pub(crate) fn new(run: F, guard: LifeGuard<A>) -> Self {
        Self { run, guard }
    }
}

impl<A, F> Future for Living<A, F>
where
    A: Actor,
    F: Future<Output = Result<(A, ActorStopReason), PanicError>>,
{
    type Output = Exit;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Exit> {
        let this = self.project();
        let polled = this.run.poll(cx);
        if polled.is_pending() {
            this.guard.cell.note_time();
        }
        let ended = ready!(polled).map(|(_, reason)| reason);
        let exit = read_end(ended, this.guard.cell.path());
        this.guard.cell.ended(match &exit {
            Exit::Normal => Outcome::Handled,
            Exit::Killed => Outcome::Killed,
            _ => Outcome::Crashed,
        });
        Poll::Ready(match exit {
            Exit::Normal | Exit::StartFailed(_) if this.guard.cell.is_ignored() => Exit::Ignored,
            exit => exit,
        })
    }
}

/// Ends the traces of a life however it ends, by return, panic or abort.
pub(crate) struct LifeGuard<A: Actor> {
    cell: Arc<Cell<A>>,
    id: ActorId,
}

impl<A: Actor> LifeGuard<A> {
    pub(crate) fn new(cell: Arc<Cell<A>>, id: ActorId) -> Self {
        Self { cell, id }
    }
}

impl<A: Actor> Drop for LifeGuard<A> {
    fn drop(&mut self) {
        self.cell.end_life(self.id);
    }
}

fn read_end(ended: Result<ActorStopReason, PanicError>, path: &ChildPath) -> Exit {
    match ended {
        Ok(ActorStopReason::Normal | ActorStopReason::SupervisorRestart) => Exit::Normal,
        Ok(ActorStopReason::Killed) => Exit::Killed,
        Ok(ActorStopReason::Panicked(error)) => Exit::Crashed(panic_text(&error)),
        Ok(other) => Exit::Crashed(format!("{other:?}")),
        Err(error) => Exit::StartFailed(StartFailure {
            child: path.clone(),
            reason: panic_text(&error),
        }),
    }
}

/// The panic message, or the error as `Debug` shows it (kameo asks no more of an error).
fn panic_text(error: &PanicError) -> String {
    error
        .with_str(str::to_owned)
        .unwrap_or_else(|| error.with(|any| format!("{any:?}")))
}
