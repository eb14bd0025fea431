//! One resident model: its engine travels to the blocking pool for each step and comes home in between.
//!
//! This is the shell: messages in, tasks and trips out. Who moves is `schedule`, what a sequence says is `live`, what
//! outlives a crash is `book`.
//!
//! Invariants: at most one step is under way; while the engine is away nothing touches it; no handler waits for a step,
//! a load, the governor or a reader; a crashed step ends this life, and the next one goes on from the book.

mod drive;
mod keep;
mod load;
mod prepare;
mod rest;
pub(crate) mod room;
mod tokens;
pub(crate) mod trip;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cache_janitor::{CacheJanitor, Held, SweepOrder};
use domain::{Bytes, GenerationError, ModelName, Sampling};
use engine::{Engine, ModelLoader, ModelSource, TextCodec, ToolSpeech};
use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::{ActorStopReason, Infallible};
use kameo::message::{Context, Message};
use memory_governor::MemoryGovernor;
use supervision::{AlarmDue, Birth, Handle, Inbox, WorkGuard};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::book::{Book, Phase};
use crate::breaker::What;
use crate::kv::KvLeases;
use crate::live::Sequence;
use crate::messages::{Unload, UnloadError};
use crate::meters::Meters;
use crate::rules::Rules;
use crate::schedule::Move;
use crate::tokenised::{Learned, Tokenised};
use keep::Care;
use load::{LoadGuard, NotLoaded, Resident};
use prepare::Ready;
use room::NoLease;
use trip::{Back, EngineCrash};

/// Messages waiting for a lane: pokes, of which one is as good as many, and unloads.
pub(crate) const MAILBOX: usize = 8;
/// How soon a finished stream whose reader was slow is looked at again, doubling up to the second.
const FAREWELL_FIRST: Duration = Duration::from_millis(10);
const FAREWELL_MOST: Duration = Duration::from_millis(500);

/// What every lane is given.
#[derive(Clone)]
pub(crate) struct LaneParts {
    pub(crate) rules: Rules,
    /// What it was first asked for as.
    pub(crate) model: ModelName,
    /// What its series are called.
    pub(crate) label: String,
    pub(crate) source: ModelSource,
    pub(crate) loader: Arc<dyn ModelLoader>,
    pub(crate) governor: Handle<MemoryGovernor>,
    pub(crate) janitor: Handle<CacheJanitor>,
    /// Rung whenever a model has nothing to do any more.
    pub(crate) idle: Arc<Notify>,
}

impl LaneParts {
    /// Who holds this lane's leases.
    fn name(&self) -> String {
        format!("model_host: {}", self.model)
    }
}

/// What outlives a lane's crashes.
#[derive(Clone)]
pub(crate) struct LaneSeed {
    pub(crate) parts: LaneParts,
    pub(crate) book: Arc<Book>,
}

/// Where the engine is.
enum Seat {
    Nobody,
    Loading(#[expect(dead_code, reason = "dropped to end the load")] LoadGuard),
    Home(Box<dyn Engine>),
    Away,
}

/// One life of one lane.
pub(crate) struct Lane {
    inbox: Inbox<Self>,
    parts: LaneParts,
    book: Arc<Book>,
    seat: Seat,
    text: Option<Arc<dyn TextCodec>>,
    /// What that has encoded lately.
    tokenised: Option<Tokenised>,
    /// Who moves in the step under way.
    moves: Vec<Move>,
    /// A graceful stop waits for these: one per live sequence. Those of finished streams are in the book.
    guards: BTreeMap<u64, WorkGuard>,
    /// The request being prepared, and how many sequences had left when that began.
    preparing: Option<(u64, u64)>,
    /// KV memory was refused; the next sequence that leaves brings some back.
    blocked_at: Option<u64>,
    farewell_wait: Duration,
    care: Care,
    /// What the janitor was told last.
    told: Option<Held>,
    /// Waits for the engine to come home.
    order: Option<SweepOrder>,
    /// From the moment its header was read.
    meters: Option<Meters>,
    tasks: JoinSet<()>,
}

impl Actor for Lane {
    type Args = Birth<Self, LaneSeed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let LaneSeed { parts, book } = birth.seed;
        let mut lane = Self {
            inbox: birth.inbox,
            parts,
            book,
            seat: Seat::Nobody,
            text: None,
            tokenised: None,
            moves: Vec::new(),
            guards: BTreeMap::new(),
            preparing: None,
            blocked_at: None,
            farewell_wait: FAREWELL_FIRST,
            care: Care::None,
            told: None,
            order: None,
            meters: None,
            tasks: JoinSet::new(),
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
        self.unload().await;
        Ok(())
    }

    supervision::receive_from!(inbox, alarm);
}

/// Something was put into the book, or marked there.
pub(crate) struct Poke;

impl Message<Poke> for Lane {
    type Reply = ();

    async fn handle(&mut self, _: Poke, ctx: &mut Context<Self, ()>) {
        self.drive(ctx.actor_ref());
    }
}

impl Message<AlarmDue> for Lane {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, ctx: &mut Context<Self, ()>) {
        if self.is_idle_for_long(Instant::now()) {
            tracing::info!(model = %self.parts.model, "unloaded after keep_alive");
            self.unload().await;
        }
        self.look_underway(Instant::now());
        self.drive(ctx.actor_ref());
    }
}

/// The engine is home, or lost.
struct Home(Result<Back, EngineCrash>);

impl Message<Home> for Lane {
    /// An error ends this life; the supervisor begins the next after its backoff.
    type Reply = Result<(), EngineCrash>;

    async fn handle(&mut self, home: Home, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let arrived = home.0.and_then(|back| self.arrive(back));
        arrived.inspect_err(|crash| self.lose_engine(crash))?;
        self.drive(ctx.actor_ref());
        Ok(())
    }
}

/// The load is over.
struct Loaded(Result<Resident, NotLoaded>);

impl Message<Loaded> for Lane {
    type Reply = ();

    async fn handle(&mut self, loaded: Loaded, ctx: &mut Context<Self, ()>) {
        match loaded.0 {
            Ok(resident) => self.move_in(resident),
            Err(failure) => self.stay_out(failure),
        }
        self.drive(ctx.actor_ref());
    }
}

/// A question can be admitted, or not.
struct Prepared {
    key: u64,
    result: Result<(Ready, Learned), NoLease>,
}

impl Message<Prepared> for Lane {
    type Reply = ();

    async fn handle(&mut self, prepared: Prepared, ctx: &mut Context<Self, ()>) {
        let Prepared { key, result } = prepared;
        let since = self.preparing.take().map(|(_, ends)| ends);
        match result {
            Ok((ready, learned)) => {
                self.admit(key, ready);
                self.remember(learned);
            }
            Err(refusal) => self.turn_away(key, refusal, since.unwrap_or_default()),
        }
        self.drive(ctx.actor_ref());
    }
}

impl Message<Unload> for Lane {
    /// The bytes that came back.
    type Reply = Result<Bytes, UnloadError>;

    async fn handle(&mut self, wish: Unload, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (active, waiting, pinned, stuck) = {
            let pages = self.book.pages();
            let stuck = pages.stuck_for(Instant::now());
            (
                pages.live.len(),
                pages.queue.len(),
                pages.is_pinned(),
                stuck,
            )
        };
        let model = wish.model;
        let answer = match &self.seat {
            _ if pinned => Err(UnloadError::Pinned { model }),
            Seat::Nobody if active + waiting == 0 => Err(UnloadError::NotLoaded { model }),
            Seat::Home(_) if active + waiting == 0 => Ok(self.unload().await),
            _ if stuck.is_some() => Err(UnloadError::Unavailable {
                model,
                reason: "its engine is in a step that does not end".to_owned(),
            }),
            _ => Err(UnloadError::Busy {
                model,
                active,
                waiting,
            }),
        };
        self.drive(ctx.actor_ref());
        answer
    }
}

impl Lane {
    /// Lets the engine go, off the worker threads: freeing gigabytes takes a while. All leases go with it.
    /// Returns the bytes that came back.
    async fn unload(&mut self) -> Bytes {
        let tokens = self.forget_tokens();
        let engine = match std::mem::replace(&mut self.seat, Seat::Nobody) {
            Seat::Home(engine) => engine,
            other => {
                drop(other);
                return Bytes::ZERO;
            }
        };
        self.text = None;
        let leases = {
            let mut pages = self.book.pages();
            pages.phase = Phase::Unloaded;
            pages.idle_since = None;
            (pages.weights.take(), pages.prefixes.clear())
        };
        let (weights, kept) = &leases;
        let kept: Bytes = kept.iter().map(KvLeases::bytes).sum();
        let weights = weights.as_ref().map_or(Bytes::ZERO, |w| w.bytes());
        let freed = weights.saturating_add(kept).saturating_add(tokens);
        let dropped = tokio::task::spawn_blocking(move || {
            drop(engine);
            drop(leases);
        });
        if let Err(error) = dropped.await {
            tracing::error!(model = %self.parts.model, %error, "the engine crashed while it was dropped");
        }
        freed
    }

    fn move_in(&mut self, resident: Resident) {
        let Resident { model, weights } = resident;
        self.seat = Seat::Home(model.engine);
        self.text = Some(model.text);
        let book = Arc::clone(&self.book);
        let mut pages = book.pages();
        pages.card = Some(model.card);
        pages.weights = Some(weights);
        pages.underway = None;
        pages.phase = Phase::Ready;
        pages.breaker.worked(What::Load);
        pages.retry_at = None;
        self.begin_keeping(&mut pages);
        self.begin_remembering();
        tracing::info!(model = %self.parts.model, "loaded");
    }

    fn stay_out(&mut self, failure: NotLoaded) {
        self.seat = Seat::Nobody;
        let mut pages = self.book.pages();
        pages.underway = None;
        match failure {
            NotLoaded::Cancelled => {
                pages.phase = Phase::Unloaded;
                pages.weights = None;
            }
            NotLoaded::Failed(error) => {
                tracing::warn!(model = %self.parts.model, %error, "not loaded");
                pages.load_failed(&error, Instant::now());
            }
        }
        let live: Vec<u64> = pages.live.iter().map(|live| live.key).collect();
        self.guards.retain(|key, _| live.contains(key));
    }

    fn admit(&mut self, key: u64, ready: Ready) {
        let now = Instant::now();
        let mut pages = self.book.pages();
        pages.unclaim(now);
        let ask = pages.next_ask().filter(|(first, ..)| *first == key);
        // It was cancelled meanwhile: its lease goes back by being dropped here.
        let (Some((_, ask, id)), Some(card)) = (ask, pages.card.as_ref()) else {
            return;
        };
        let sampling = Sampling {
            constraint: ready.form.constraint,
            ..ask.sampling.clone()
        };
        let speech = ready
            .form
            .calls
            .map(|syntax| ToolSpeech::new(syntax, id.clone()));
        let mut sequence = Sequence::new(ready.tokens, sampling, card.context_tokens, speech);
        // Without what it was to take over it is prepared once more.
        let Some((kv, begins)) = pages.begin(ready.found, ready.kv, now) else {
            return;
        };
        if let Some(found) = begins {
            sequence.begin_behind(found.from.tokens);
        }
        if pages.admit(key, sequence, (kv, begins)) {
            let since = pages.live.last().map_or(now, |live| live.since);
            let waited = now.saturating_duration_since(since);
            self.meters.iter().for_each(|meters| meters.seated(waited));
            self.guards.insert(key, self.inbox.work(id.as_str()));
        }
    }

    fn turn_away(&mut self, key: u64, refusal: NoLease, ends_before: u64) {
        let now = Instant::now();
        let mut pages = self.book.pages();
        pages.unclaim(now);
        let error = match refusal {
            NoLease::NoRoom(GenerationError::MemoryExhausted {
                needed, available, ..
            }) if pages.make_room(needed.saturating_sub(available), now) => return,
            NoLease::NoRoom(_) if pages.ends != ends_before => return,
            NoLease::NoRoom(_) if !pages.live.is_empty() => {
                self.blocked_at = Some(pages.ends);
                return;
            }
            NoLease::NoRoom(error) | NoLease::Failed(error) => error,
        };
        crate::meters::refused(&error);
        pages.fail_waiting(now, |waiting| waiting.key == key, &error);
    }
}
