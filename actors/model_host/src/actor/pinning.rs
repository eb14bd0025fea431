//! The host's part in pinning: it finds the file, and sees to it that a pinned model has a lane.
//!
//! Invariants: whether a model is pinned is written in the seed before its lane begins, so that the lane stays; a lane
//! that is gone for good is begun again, and what cannot be begun now is tried again by the alarm, which is set for
//! nothing else.

use std::sync::Arc;
use std::time::Duration;

use domain::{GenerationError, ModelName};
use kameo::actor::{ActorRef, WeakActorRef};
use kameo::message::{Context, Message};
use kameo::reply::{DelegatedReply, ReplySender};
use supervision::AlarmDue;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::{HostSeed, ModelHost, poke};
use crate::lookup::{Found, look_up};
use crate::messages::{Pin, PinError, Unpin};

/// How soon a pinned model that is not here, or has no place, is tried again: a look into a folder costs little.
const RETRY: Duration = Duration::from_secs(30);

type Asker = Option<ReplySender<Result<(), PinError>>>;

fn answer(asker: Asker, result: Result<(), PinError>) {
    if let Some(asker) = asker {
        asker.send(result);
    }
}

impl Message<Pin> for ModelHost {
    type Reply = DelegatedReply<Result<(), PinError>>;

    async fn handle(&mut self, wish: Pin, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        match self.seed.looks.begin() {
            Ok(permit) => self.find_pinned(wish.model, permit, asker, ctx.actor_ref()),
            Err(error) => answer(asker, Err(error.into())),
        }
        delegated
    }
}

impl Message<Unpin> for ModelHost {
    type Reply = DelegatedReply<Result<(), PinError>>;

    async fn handle(&mut self, wish: Unpin, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        while self.tasks.try_join_next().is_some() {}
        let seed = self.seed.clone();
        self.tasks
            .spawn(async move { answer(asker, unpin(seed, wish.model).await) });
        delegated
    }
}

/// The file of a model that is to be pinned, or why there is none.
struct PinFound {
    name: ModelName,
    found: Result<Found, GenerationError>,
    /// `None` for one that is pinned from the start.
    asker: Asker,
}

impl Message<PinFound> for ModelHost {
    type Reply = ();

    async fn handle(&mut self, pinned: PinFound, _: &mut Context<Self, ()>) {
        let PinFound { name, found, asker } = pinned;
        let asked = asker.is_some();
        if !asked && !self.seed.pins.has(&name) {
            // Unpinned while its file was being looked for.
            return;
        }
        let result = self.pin(&name, found, asked).await;
        if let Err(error) = &result
            && !asked
        {
            tracing::warn!(model = %name, %error, "a pinned model is not here yet");
            self.inbox.set_alarm(Some(Instant::now() + RETRY));
        }
        answer(asker, result);
    }
}

/// The lane of a pinned model is gone.
pub(super) struct PinLost;

impl Message<PinLost> for ModelHost {
    type Reply = ();

    async fn handle(&mut self, _: PinLost, ctx: &mut Context<Self, ()>) {
        self.restore(ctx.actor_ref()).await;
    }
}

impl Message<AlarmDue> for ModelHost {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, ctx: &mut Context<Self, ()>) {
        self.restore(ctx.actor_ref()).await;
    }
}

impl ModelHost {
    fn find_pinned(
        &mut self,
        name: ModelName,
        permit: OwnedSemaphorePermit,
        asker: Asker,
        me: &ActorRef<Self>,
    ) {
        while self.tasks.try_join_next().is_some() {}
        let looking = look_up(Arc::clone(&self.seed.deps.resolve), name.clone(), permit);
        let me = me.clone();
        self.tasks.spawn(async move {
            let found = looking.await;
            // An error means that this life is over.
            drop(me.tell(PinFound { name, found, asker }).send().await);
        });
    }

    /// Writes the pin down, then begins its lane. A pin that somebody asked for and that has no place is taken back.
    async fn pin(
        &self,
        name: &ModelName,
        found: Result<Found, GenerationError>,
        asked: bool,
    ) -> Result<(), PinError> {
        let found = found?;
        let pins = &self.seed.pins;
        let most = self.seed.rules.now().max_models.max(1);
        let is_new = pins.find(name).is_none();
        if !pins.add(name.clone(), found.clone(), most) {
            let model = name.clone();
            return Err(PinError::TooMany { model, most });
        }
        let kept = self.keep(name, &found).await;
        if kept.is_err() && asked && is_new {
            pins.remove(name, None);
        }
        Ok(kept?)
    }

    /// Sees to it that the file has a lane.
    async fn keep(&self, name: &ModelName, found: &Found) -> Result<(), GenerationError> {
        match self.seed.roster.find_file(&found.key, name) {
            Some(seat) if !seat.book.is_closed() => {
                poke(&seat.lane);
                Ok(())
            }
            _ => self.begin_lane(name, found, None).await,
        }
    }

    /// Sees to it that every pinned model has a lane.
    async fn restore(&mut self, me: &ActorRef<Self>) {
        if self.inbox.is_stopping() {
            return;
        }
        let mut again = false;
        for (name, found) in self.seed.pins.all() {
            match (found, self.seed.looks.begin()) {
                (Some(found), _) => {
                    if let Err(error) = self.keep(&name, &found).await {
                        tracing::warn!(model = %name, %error, "a pinned model has no lane yet");
                        again = true;
                    }
                }
                (None, Ok(permit)) => self.find_pinned(name, permit, None, me),
                (None, Err(_)) => again = true,
            }
        }
        self.inbox.set_alarm(again.then(|| Instant::now() + RETRY));
    }
}

/// Tells the host whenever the lane of a pinned model is gone.
pub(super) async fn watch(lost: Arc<Notify>, host: WeakActorRef<ModelHost>) {
    loop {
        lost.notified().await;
        let Some(host) = host.upgrade() else { return };
        if host.tell(PinLost).send().await.is_err() {
            return;
        }
    }
}

async fn unpin(seed: HostSeed, model: ModelName) -> Result<(), PinError> {
    let mut key = seed.pins.find(&model);
    if key.is_none() {
        let permit = seed.looks.begin()?;
        let found = look_up(Arc::clone(&seed.deps.resolve), model.clone(), permit).await;
        key = found.ok().map(|found| found.key);
    }
    if !seed.pins.remove(&model, key.as_deref()) {
        return Err(PinError::NotPinned { model });
    }
    if let Some(seat) = key.and_then(|key| seed.roster.find_file(&key, &model)) {
        poke(&seat.lane);
    }
    seed.idle.notify_one();
    Ok(())
}
