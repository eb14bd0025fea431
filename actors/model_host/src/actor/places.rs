//! Places for models: there are so many, and a model that is wanted takes the one that was idle for longest.
//!
//! Invariants: only a model with nothing to do gives its place up: its lane is asked, and refuses if it loads, answers, has
//! someone waiting or is pinned; each idle model is asked once for one that is wanted, so this ends; the host does not
//! wait for it.

use domain::{GenerationError, ModelName};
use kameo::actor::ActorRef;
use supervision::Handle;
use tracing::Instrument;

use super::{CHILD_ID, LookedUp, ModelHost, poke};
use crate::lane::Lane;
use crate::lane::room::DEADLINE;
use crate::lookup::{Found, unavailable};
use crate::messages::Unload;

impl ModelHost {
    /// A lane that only remembers why its file did not load gives way to one that may.
    pub(super) fn make_room(&self) -> Result<(), GenerationError> {
        let roster = &self.seed.roster;
        let most = self.seed.rules.now().max_models.max(1);
        while roster.len() >= most {
            let Some(seat) = roster.take_spare() else {
                let reason = format!(
                    "{most} models are resident or loading, none of them is idle, and there is no place for another; \
                     unload or unpin one, or try again later"
                );
                return Err(unavailable(CHILD_ID, &reason));
            };
            poke(&seat.lane);
        }
        Ok(())
    }

    /// The idle model in whose place this one can come, if it needs one.
    pub(super) fn in_the_way(
        &self,
        name: &ModelName,
        found: &Found,
    ) -> Option<(ModelName, Handle<Lane>)> {
        let roster = &self.seed.roster;
        let seat = roster.find_file(&found.key, name);
        if seat.is_some_and(|seat| !seat.book.is_closed()) || self.make_room().is_ok() {
            return None;
        }
        roster.idle().into_iter().next()
    }

    /// Lets the idle model go, and then looks again. Those who wait for the other wait on together.
    pub(super) fn make_place(
        &mut self,
        (model, lane): (ModelName, Handle<Lane>),
        looked_up: LookedUp,
        me: &ActorRef<Self>,
    ) {
        while self.tasks.try_join_next().is_some() {}
        let me = me.clone();
        let making = async move {
            let wish = Unload {
                model: model.clone(),
            };
            let gone = lane.ask(wish, DEADLINE).await.is_ok();
            tracing::info!(%model, gone, wanted = %looked_up.name, "an idle model was asked for its place");
            // An error means that this life is over.
            drop(me.tell(looked_up).send().await);
        };
        self.tasks.spawn(making.in_current_span());
    }
}
