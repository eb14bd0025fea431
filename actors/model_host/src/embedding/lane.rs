//! The lane's shell: messages in, tasks and trips out. Who goes with whom is `desk`, what is kept is `shelf`.
//!
//! Invariants: at most one batch is under way, and while the embedder is away nothing touches it; no handler waits for a
//! batch, a load, the governor or an asker; a batch that crashed costs the embedder, not the lane.

mod eviction;

use std::path::PathBuf;
use std::sync::Arc;

use domain::{Bytes, GenerationError, KeepAlive, ModelName};
use engine::{Embedded, Embedder, EmbedderCard};
use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::{ActorStopReason, Infallible};
use kameo::message::{Context, Message};
use memory_governor::Lease;
use supervision::{AlarmDue, Birth, Inbox, WorkGuard};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use super::desk::{Asker, Batch, Desk, Job, Pages, Text};
use super::load::{Load, LoadGuard, Resident};
use super::shelf::{self, CACHE, Shelf};
use super::trip::{Back, Trip, travel};
use super::{CHILD_ID, LaneParts, LaneSeed};
use crate::lookup::{Found, look_up};
use crate::meters::EmbedderMeters;
use crate::roster::NAMES;
use crate::shelf::{room_to_keep, tend};
use crate::underway::{Budgets, News, Underway};

pub use eviction::LetGo;

/// Where the embedder is.
enum Seat {
    Nobody,
    Loading(#[expect(dead_code, reason = "dropped to end the load")] LoadGuard),
    Home(Box<dyn Embedder>),
    Away,
}

/// Which model the lane has, or is loading.
struct Model {
    /// Its canonical path.
    key: PathBuf,
    /// What it was asked for as.
    names: Vec<ModelName>,
    /// Once it is loaded.
    loaded: Option<(EmbedderCard, Arc<Lease>)>,
    meters: Option<EmbedderMeters>,
}

/// The one embedding lane of a tree.
pub struct EmbeddingLane {
    inbox: Inbox<Self>,
    parts: LaneParts,
    desk: Desk,
    shelf: Shelf,
    seat: Seat,
    model: Option<Model>,
    /// The name whose file is being looked for.
    looking: Option<ModelName>,
    idle_since: Option<Instant>,
    /// A graceful stop waits for those at the desk.
    guard: Option<WorkGuard>,
    tasks: JoinSet<()>,
}

impl Actor for EmbeddingLane {
    type Args = Birth<Self, LaneSeed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let LaneSeed { parts, desk, shelf } = birth.seed;
        let mut tasks = JoinSet::new();
        let (janitor, name) = (parts.janitor.clone(), CACHE.to_owned());
        tasks.spawn(tend(shelf.clone(), janitor, name));
        let mut lane = Self {
            inbox: birth.inbox,
            parts,
            desk,
            shelf,
            seat: Seat::Nobody,
            model: None,
            looking: None,
            idle_since: None,
            guard: None,
            tasks,
        };
        lane.recover();
        lane.drive(&me);
        Ok(lane)
    }

    async fn on_stop(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorStopReason,
    ) -> Result<(), Infallible> {
        if self.inbox.is_stopping() {
            self.desk.pages().fail_all(&shutting_down());
        }
        self.unload().await;
        Ok(())
    }

    supervision::receive_from!(inbox, alarm);
}

/// Asks for vectors; [`crate::client::embed`] makes it. Accepted or refused at once (`Result<(), GenerationError>`); the
/// answer comes by the channel. Dropping its receiver cancels what has not begun.
#[derive(Debug)]
pub struct Embed {
    pub(crate) model: ModelName,
    /// Each text once.
    pub(crate) texts: Vec<Text>,
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) asker: Asker,
}

impl Message<Embed> for EmbeddingLane {
    type Reply = Result<(), GenerationError>;

    async fn handle(&mut self, wish: Embed, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        if self.inbox.is_stopping() {
            return Err(shutting_down());
        }
        let now = Instant::now();
        let found = self
            .shelf
            .look_all(wish.texts.iter().map(|text| &text.key), now);
        let turn = self.inbox.turn();
        let job = job((wish.model, turn), wish.texts, found, wish.asker);
        let most = self.parts.rules.now().queue.max(1);
        {
            let mut pages = self.desk.pages();
            if let Some(stuck) = stuck(&pages, &job.model, now) {
                return Err(stuck);
            }
            pages.accept(job, most)?;
            pages.keep_alive = wish.keep_alive;
        }
        self.idle_since = self.idle_since.map(|_| now);
        self.drive(ctx.actor_ref());
        Ok(())
    }
}

impl Message<AlarmDue> for EmbeddingLane {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, ctx: &mut Context<Self, ()>) {
        let now = Instant::now();
        if self.expires_at().is_some_and(|at| at <= now) {
            tracing::info!(model = self.name(), "unloaded after keep_alive");
            self.unload().await;
        }
        self.look_underway(now);
        self.drive(ctx.actor_ref());
    }
}

/// A name was looked up.
struct LookedUp(ModelName, Result<Found, GenerationError>);

impl Message<LookedUp> for EmbeddingLane {
    type Reply = ();

    async fn handle(&mut self, LookedUp(name, found): LookedUp, ctx: &mut Context<Self, ()>) {
        self.looking = None;
        match (found, &mut self.model) {
            (Err(error), _) => self.desk.pages().fail_model(&[name], &error),
            // Whoever wanted it has gone, and others are served. If it is wanted, it is looked up again.
            _ if matches!(self.seat, Seat::Away | Seat::Loading(_)) => {}
            (Ok(found), Some(model)) if model.key == found.key => {
                if model.names.len() >= NAMES {
                    model.names.remove(0);
                }
                model.names.push(name);
            }
            (Ok(found), _) => {
                self.unload().await;
                self.begin_load(name, found, ctx.actor_ref());
            }
        }
        self.drive(ctx.actor_ref());
    }
}

/// A load is over.
struct Loaded(Result<Resident, GenerationError>);

impl Message<Loaded> for EmbeddingLane {
    type Reply = ();

    async fn handle(&mut self, loaded: Loaded, ctx: &mut Context<Self, ()>) {
        self.seat = Seat::Nobody;
        let names = self.model.as_ref().map(|model| model.names.clone());
        match (loaded.0, &mut self.model) {
            (Ok(resident), Some(model)) => {
                tracing::info!(model = %resident.card.name, "embedding model loaded");
                let weights = resident.lease.bytes();
                model.meters = Some(EmbedderMeters::new(&resident.card.name, weights));
                model.loaded = Some((resident.card, resident.lease));
                self.seat = Seat::Home(resident.embedder);
            }
            // Nobody waited for it any more; whoever came meanwhile begins anew.
            (Err(GenerationError::Cancelled), _) => self.model = None,
            (Err(error), _) => {
                tracing::warn!(%error, "no embedding model");
                let names = names.unwrap_or_default();
                self.desk.pages().fail_model(&names, &error);
                self.model = None;
            }
            (Ok(_), None) => {}
        }
        self.drive(ctx.actor_ref());
    }
}

/// The embedder is home, or lost.
struct Home {
    batch: Batch,
    back: Result<Back, String>,
    /// For what is to be kept.
    lease: Option<Lease>,
}

impl Message<Home> for EmbeddingLane {
    type Reply = ();

    async fn handle(&mut self, home: Home, ctx: &mut Context<Self, ()>) {
        let Home { batch, back, lease } = home;
        let meters = self.model.as_ref().and_then(|model| model.meters.as_ref());
        let mut pages = self.desk.pages();
        pages.underway = None;
        match back {
            Ok(Back {
                embedder, vectors, ..
            }) => {
                self.seat = Seat::Home(embedder);
                if let Some(meters) = meters {
                    meters.embedded(vectors.len());
                }
                pages.arrive(&vectors);
                drop(pages);
                let made = batch.keys.into_iter().zip(vectors).map(shelf::made);
                self.shelf.keep(made, lease, Instant::now());
            }
            Err(reason) => {
                tracing::error!(model = self.name(), %reason, "the embedder crashed");
                if let Some(meters) = meters {
                    meters.crash();
                }
                pages.crashed(&reason);
                drop(pages);
                self.seat = Seat::Nobody;
                self.model = None;
            }
        }
        self.drive(ctx.actor_ref());
    }
}

impl EmbeddingLane {
    /// The desk as the last life left it: nothing of its embedder is believed.
    fn recover(&mut self) {
        let mut pages = self.desk.pages();
        pages.underway = None;
        pages.crashed("the embedding lane crashed during a batch");
    }

    /// Does whatever can be done now. Called after every message; doing it once more changes nothing.
    fn drive(&mut self, me: &ActorRef<Self>) {
        while self.tasks.try_join_next().is_some() {}
        let (wanted, empty) = {
            let mut pages = self.desk.pages();
            pages.sweep();
            (pages.wanted().cloned(), pages.is_empty())
        };
        let is_ours = |name: &ModelName| self.model.iter().any(|m| m.names.contains(name));
        match (&self.seat, wanted) {
            (Seat::Home(_) | Seat::Nobody, Some(name)) if !is_ours(&name) => self.look_up(name, me),
            (Seat::Home(_), Some(_)) => self.depart(me),
            _ => {}
        }
        let busy = |inbox: &Inbox<Self>| inbox.work("texts to be embedded");
        self.guard = match self.guard.take() {
            _ if empty => None,
            Some(guard) => Some(guard),
            None => Some(busy(&self.inbox)),
        };
        self.rest(empty);
    }

    fn look_up(&mut self, name: ModelName, me: &ActorRef<Self>) {
        if self.looking.is_some() {
            return;
        }
        let permit = match self.parts.looks.begin() {
            Ok(permit) => permit,
            Err(error) => return self.desk.pages().fail_model(&[name], &error),
        };
        self.looking = Some(name.clone());
        let looking = look_up(Arc::clone(&self.parts.resolve), name.clone(), permit);
        let me = me.clone();
        let looking = async move {
            let found = looking.await;
            // Here and below an error means that this life is over.
            drop(me.tell(LookedUp(name, found)).send().await);
        };
        self.tasks.spawn(looking.in_current_span());
    }

    fn begin_load(&mut self, name: ModelName, found: Found, me: &ActorRef<Self>) {
        let (load, guard) = Load::new(self.parts.clone(), self.desk.clone(), name.clone());
        self.seat = Seat::Loading(guard);
        self.model = Some(Model {
            key: found.key.clone(),
            names: vec![name],
            loaded: None,
            meters: None,
        });
        let me = me.clone();
        let loading = async move {
            let loaded = load.run(found).await;
            drop(me.tell(Loaded(loaded)).send().await);
        };
        self.tasks.spawn(loading.in_current_span());
    }

    /// Sends the embedder off with the next batch.
    fn depart(&mut self, me: &ActorRef<Self>) {
        let Some(model) = &self.model else { return };
        let Some((card, lease)) = &model.loaded else {
            return;
        };
        let embedder = match std::mem::replace(&mut self.seat, Seat::Away) {
            Seat::Home(embedder) => embedder,
            other => return self.seat = other,
        };
        let mut pages = self.desk.pages();
        let Some(batch) = pages.take(&model.names, card) else {
            drop(pages);
            return self.seat = Seat::Home(embedder);
        };
        pages.underway = Some(Underway::begin(Instant::now()));
        drop(pages);
        let trip = Trip {
            embedder,
            texts: batch.texts.clone(),
            dimensions: card.dimensions as usize,
            held: Arc::clone(lease),
            turns: batch.turns.clone(),
        };
        let more = shelf::bytes_of_all(batch.texts.len(), card.dimensions);
        let missing = self.shelf.missing(more);
        let governor = self.parts.governor.clone();
        let me = me.clone();
        self.tasks.spawn(async move {
            let back = tokio::task::spawn_blocking(|| travel(trip)).await;
            let back = back.unwrap_or_else(|error| Err(error.to_string()));
            let lease = match missing {
                Some(bytes) => room_to_keep(&governor, (CHILD_ID.to_owned(), CACHE), bytes).await,
                None => None,
            };
            drop(me.tell(Home { batch, back, lease }).send().await);
        });
    }

    /// Lets the embedder go, off the worker threads, and then its lease. Returns the bytes that came back.
    async fn unload(&mut self) -> Bytes {
        let embedder = match std::mem::replace(&mut self.seat, Seat::Nobody) {
            Seat::Home(embedder) => embedder,
            other => {
                // Whoever is away or loading ends by itself.
                self.seat = other;
                return Bytes::ZERO;
            }
        };
        self.idle_since = None;
        let lease = self.model.take().and_then(|model| model.loaded);
        let freed = lease.as_ref().map_or(Bytes::ZERO, |(_, l)| l.bytes());
        let dropped = tokio::task::spawn_blocking(move || {
            drop(embedder);
            drop(lease);
        });
        if let Err(error) = dropped.await {
            tracing::error!(%error, "the embedder crashed while it was dropped");
        }
        freed
    }

    /// Sets the alarm for what comes by time.
    fn rest(&mut self, empty: bool) {
        let now = Instant::now();
        let is_idle = matches!(self.seat, Seat::Home(_)) && empty;
        if is_idle && self.idle_since.is_none() {
            self.parts.idle.notify_one();
        }
        self.idle_since = is_idle.then(|| self.idle_since.unwrap_or(now));
        let look_at = self
            .desk
            .pages()
            .underway
            .and_then(|underway| underway.look_at(self.budgets()));
        let next = [self.expires_at(), look_at].into_iter().flatten().min();
        self.inbox.set_alarm(next);
    }

    /// When the model is let go; `None` while it has something to do, is not in memory, or is to stay.
    fn expires_at(&self) -> Option<Instant> {
        let wished = self.desk.pages().keep_alive;
        match wished.unwrap_or_else(|| self.parts.rules.now().keep_alive) {
            KeepAlive::For(time) => self.idle_since?.checked_add(time),
            KeepAlive::Forever => None,
        }
    }

    fn budgets(&self) -> Budgets {
        let rules = self.parts.rules.now();
        Budgets {
            budget: rules.step_budget,
            limit: rules.step_limit,
        }
    }

    /// Tells of a batch or a load that has come to a stand; given up, nobody waits for it.
    fn look_underway(&mut self, now: Instant) {
        let budgets = self.budgets();
        let mut pages = self.desk.pages();
        let news = pages.underway.as_mut().and_then(|u| u.look(budgets, now));
        match news {
            None => {}
            Some(News::Stuck(elapsed)) => {
                tracing::warn!(?elapsed, "an embedding batch or load makes no progress");
            }
            Some(News::GivenUp(elapsed)) => {
                tracing::error!(
                    ?elapsed,
                    "embedding is given up until its thread comes home"
                );
                let model = pages.wanted().cloned();
                let model = model.unwrap_or_else(|| ModelName::new(self.name()));
                let seconds = elapsed.as_secs();
                pages.fail_all(&GenerationError::EngineStuck { model, seconds });
            }
        }
    }

    fn name(&self) -> &str {
        let model = self.model.as_ref().and_then(|model| model.names.first());
        model.map_or(CHILD_ID, ModelName::as_str)
    }
}

fn job(
    (model, turn): (ModelName, tracing::Span),
    texts: Vec<Text>,
    found: Vec<Option<Embedded>>,
    asker: Asker,
) -> Job {
    let places = texts.iter().map(|text| text.places.len()).sum();
    let mut known = vec![None; places];
    let mut unknown = Vec::new();
    for (text, embedded) in texts.into_iter().zip(found) {
        if embedded.is_none() {
            unknown.push(text);
            continue;
        }
        for place in text.places {
            if let Some(known) = known.get_mut(place) {
                known.clone_from(&embedded);
            }
        }
    }
    Job {
        model,
        known,
        unknown,
        asker,
        turn,
    }
}

/// Nobody is let in to wait for what was given up.
fn stuck(pages: &Pages, model: &ModelName, now: Instant) -> Option<GenerationError> {
    let underway = pages.underway.filter(Underway::is_given_up)?;
    Some(GenerationError::EngineStuck {
        model: model.clone(),
        seconds: underway.stuck_for(now).unwrap_or_default().as_secs(),
    })
}

fn shutting_down() -> GenerationError {
    GenerationError::Unavailable {
        part: CHILD_ID.to_owned(),
        reason: "it is shutting down".to_owned(),
    }
}
