//! A child that is a kameo actor: `PreparedActor::run` in the supervisor's `JoinSet`, with the queue outside it.

use std::any::Any;
use std::sync::Arc;

use kameo::actor::{Actor, Spawn};
use tokio::task::{AbortHandle, JoinSet};

use crate::cell::Cell;
use crate::chaos::Chaos;
use crate::child::{Begin, Busy, Child, Life, Look, StopHow, Touched};
use crate::exit::{ChildState, DownReason, Exit};
use crate::handling::Totals;
use crate::inbox::{Birth, Inbox};
use crate::life::Living;
use crate::names::ChildPath;
use crate::spec_error::SpecError;
use crate::tap::TapEnd;

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
        let me = prepared.actor_ref().clone();
        let guard = self.cell.begin(me, begin.ring, &begin.tree.shelf);
        let birth = Birth {
            seed: self.seed.clone(),
            inbox: Inbox::new(self.cell.clone()),
        };
        Living::new(prepared.run(birth), guard)
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

    fn pause(&self, paused: bool) -> Touched {
        self.cell.pause(paused);
        Touched::Done
    }

    fn tap(&self, end: TapEnd) -> Touched {
        self.cell.tap(end)
    }

    fn chaos(&self, chaos: &Chaos) -> Touched {
        self.cell.chaos(chaos);
        Touched::Done
    }

    fn take_left(&self) -> Vec<String> {
        self.cell.take_left()
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

    fn totals(&self) -> Totals {
        self.cell.totals()
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
