//! A child that is a kameo actor: `PreparedActor::run` in the supervisor's `JoinSet`, with the queue outside it.

use std::any::Any;
use std::sync::Arc;

use futures_util::FutureExt;
use kameo::actor::{Actor, Spawn};
use kameo::error::{ActorStopReason, PanicError};
use tokio::task::{AbortHandle, JoinSet};

use crate::cell::Cell;
use crate::child::{Begin, Busy, Child, Life, Look, StopHow};
use crate::exit::{ChildState, DownReason, Exit, StartFailure};
use crate::inbox::{Birth, Inbox};
use crate::names::ChildPath;
use crate::spec_error::SpecError;

/// Messages private to one life (pipes, self-tells, start and stop signals) that may wait in kameo's own mailbox: 64,
/// kameo's default. A full one makes the sender wait, never lose.
const PRIVATE_MAILBOX: usize = 64;

pub(crate) struct ActorChild<A: Actor, S> {
    pub(crate) cell: Arc<Cell<A>>,
    pub(crate) seed: S,
}

impl<A, S> ActorChild<A, S>
where
    A: Actor<Args = Birth<A, S>>,
    S: Clone + Send + Sync + 'static,
{
    fn life(&self, begin: Begin) -> impl Future<Output = Exit> + Send + use<A, S> {
        let prepared = A::prepare_with_mailbox(kameo::mailbox::bounded(PRIVATE_MAILBOX));
        let guard = self.cell.begin(prepared.actor_ref().clone(), begin.ring);
        let birth = Birth {
            seed: self.seed.clone(),
            inbox: Inbox::new(self.cell.clone()),
        };
        // Not an async block: it would hold the life twice, before and after its first poll.
        prepared.run(birth).map(move |ended| {
            let exit = read_end(ended.map(|(_, reason)| reason), guard.child());
            match exit {
                Exit::Normal | Exit::StartFailed(_) if guard.is_ignored() => Exit::Ignored,
                exit => exit,
            }
        })
    }
}

impl<A, S> Child for ActorChild<A, S>
where
    A: Actor<Args = Birth<A, S>>,
    S: Clone + Send + Sync + 'static,
{
    fn check(&self) -> Result<(), SpecError> {
        if self.cell.capacity() == 0 {
            return Err(SpecError::NoCapacity {
                child: self.cell.path().clone(),
            });
        }
        Ok(())
    }

    fn adopt(&self, path: &ChildPath) -> bool {
        self.cell.adopt(path)
    }

    fn begin(&self, begin: Begin) -> Life {
        Box::pin(self.life(begin))
    }

    /// Without a box around the largest of all futures.
    fn spawn(&self, begin: Begin, tasks: &mut JoinSet<Exit>) -> AbortHandle {
        tasks.spawn(self.life(begin))
    }

    fn ask_stop(&self, how: StopHow) {
        self.cell.ask_stop(how);
    }

    fn kill(&self) {
        self.cell.kill();
    }

    fn down(&self, reason: &DownReason) -> Vec<String> {
        self.cell.down(reason)
    }

    fn show(&self, state: ChildState) {
        self.cell.show(state);
    }

    fn look(&self) -> Look {
        self.cell.look()
    }

    fn busy(&self) -> Option<Busy> {
        self.cell.busy()
    }

    fn has_handlers(&self) -> bool {
        true
    }

    fn is_leaving(&self) -> bool {
        self.cell.is_leaving()
    }

    fn start_hint(&self) -> String {
        let started = self
            .cell
            .actor()
            .is_some_and(|actor| actor.with_startup_result(|_| ()).is_some());
        if started {
            format!(
                "its on_start returned but it never asked for a message: write `supervision::receive_from!(inbox);`, with the field that holds `birth.inbox`, inside `impl Actor for {}`",
                A::name()
            )
        } else {
            "its on_start has not returned: make it faster, or allow it more with `start_timeout`"
                .to_owned()
        }
    }

    fn shared(&self) -> Arc<dyn Any + Send + Sync> {
        self.cell.clone()
    }
}

/// A spec that goes away takes its place with it: nobody may wait for an actor that no supervisor will ever start.
impl<A: Actor, S> Drop for ActorChild<A, S> {
    fn drop(&mut self) {
        if self.cell.state() != ChildState::Down {
            self.cell.down(&DownReason::Orphaned);
        }
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
