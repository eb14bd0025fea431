//! The model host's shell: it finds or begins the lane of a model and puts requests into that lane's book. It never
//! computes, and it waits only for its lane supervisor: files are looked for beside it (`lookup`).
//!
//! Invariants: a request is accepted or refused within one message, or after one look for its file; one file has one
//! lane, whatever it is called; no request is in two books; what a crash of the host could lose lives in its seed (the
//! roster) and with the lanes (the books).

mod eviction;
mod footprint;
mod pinning;
mod places;

use std::sync::Arc;
use std::time::Duration;

use cache_janitor::CacheJanitor;
use domain::{FieldError, GenerationError, KeepAlive, ModelName, Prompt, RequestId};
use engine::{ModelLoader, ModelSource};
use kameo::Reply;
use kameo::actor::{Actor, ActorRef};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use kameo::reply::{DelegatedReply, ReplySender};
use memory_governor::MemoryGovernor;
use supervision::{
    AskError, Birth, ChildSpec, Handle, Inbox, Instances, Policy, Restart, Shutdown, SupervisorSpec,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use crate::book::{Ask, Book, Job, NotIn, Wish};
use crate::config::HostConfig;
use crate::embedding::{self, EmbeddingLane};
use crate::lane::room::DEADLINE;
use crate::lane::{self, Lane, LaneParts, LaneSeed, Poke};
use crate::lookup::{Asker, Crowds, Found, Looks, answer, look_up, unavailable};
use crate::messages::{Cancel, Generate, HostStatus, SetLimits, Status, Unload, UnloadError, Warm};
use crate::outlet::Outlet;
use crate::pins::Pins;
use crate::roster::{Roster, Seat};
use crate::rules::Rules;

/// The name in the tree.
pub const CHILD_ID: &str = "model_host";
/// The name of the supervisor whose children are the lanes.
pub const LANE_SUPERVISOR_ID: &str = "lane_supervisor";
/// Requests on their way in: each takes microseconds.
const MAILBOX: usize = 64;
/// Crashes of all lanes together before the lane supervisor gives up. One lane, held back by its backoff, comes to about
/// twenty in a minute, so that bad requests to one model never take the others down; several lanes that crash without
/// end do, and the root hears of it.
const LANE_CRASHES: (u32, Duration) = (64, Duration::from_mins(1));

/// Where models lie. Called on the blocking pool.
pub trait ResolveModel: Send + Sync + 'static {
    /// The source of that model.
    ///
    /// # Errors
    /// What to do about a model that is not here, as a sentence for a person.
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String>;
}

/// What a model host needs from others.
#[derive(Clone)]
pub struct ModelHostDeps {
    /// Reads models.
    pub loader: Arc<dyn ModelLoader>,
    /// Finds them.
    pub resolve: Arc<dyn ResolveModel>,
    /// Leases memory for them.
    pub governor: Handle<MemoryGovernor>,
    /// Sweeps what they keep of conversations.
    pub janitor: Handle<CacheJanitor>,
}

/// What outlives the host's crashes.
#[derive(Clone)]
pub struct HostSeed {
    rules: Rules,
    deps: ModelHostDeps,
    lanes: Instances<Lane, LaneSeed>,
    roster: Roster,
    pins: Pins,
    looks: Looks,
    idle: Arc<Notify>,
    embedding: Handle<EmbeddingLane>,
    /// Rung by the embedding lane.
    embedding_idle: Arc<Notify>,
}

/// The three children of the root that answer, in start order, and the host's handle. The governor and the janitor start
/// before them.
pub fn children(config: HostConfig, deps: ModelHostDeps) -> ([ChildSpec; 3], Handle<ModelHost>) {
    let (crashes, period) = LANE_CRASHES;
    let policy = Policy {
        restart: Restart::Transient,
        shutdown: Shutdown::Timeout(config.drain),
        ..Policy::worker()
    };
    let (spec, lanes) =
        SupervisorSpec::simple_one_for_one(LANE_SUPERVISOR_ID, lane::MAILBOX, policy);
    let pins = Pins::new(config.pinned.iter().cloned());
    let (rules, looks) = (Rules::new(config), Looks::default());
    let embedding_idle: Arc<Notify> = Arc::default();
    let (embedding, embedding_lane) = embedding::child(embedding::LaneParts {
        rules: rules.clone(),
        loader: Arc::clone(&deps.loader),
        resolve: Arc::clone(&deps.resolve),
        looks: looks.clone(),
        governor: deps.governor.clone(),
        janitor: deps.janitor.clone(),
        idle: Arc::clone(&embedding_idle),
    });
    let seed = HostSeed {
        rules,
        deps,
        lanes,
        roster: Roster::default(),
        pins,
        looks,
        idle: Arc::default(),
        embedding: embedding_lane,
        embedding_idle,
    };
    let (host, handle) = ChildSpec::actor(CHILD_ID, MAILBOX, seed);
    let lanes = ChildSpec::supervisor(spec.intensity(crashes, period));
    ([lanes, embedding, host], handle)
}

/// The one model host of a tree.
pub struct ModelHost {
    inbox: Inbox<Self>,
    seed: HostSeed,
    /// Those whose file is being looked for.
    crowds: Crowds,
    /// Look-ups and unloads under way, and the three that listen: they end with the host.
    tasks: JoinSet<()>,
}

impl Actor for ModelHost {
    type Args = Birth<Self, HostSeed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let Birth { seed, mut inbox } = birth;
        let mut tasks = JoinSet::new();
        tasks.spawn(pinning::watch(seed.pins.lost(), me.downgrade()));
        let governor = seed.deps.governor.clone();
        let idle = Arc::clone(&seed.idle);
        tasks.spawn(eviction::serve(governor.clone(), seed.roster.clone(), idle));
        let idle = Arc::clone(&seed.embedding_idle);
        tasks.spawn(eviction::serve(governor, seed.embedding.clone(), idle));
        if !seed.pins.all().is_empty() {
            inbox.set_alarm(Some(Instant::now()));
        }
        Ok(Self {
            inbox,
            seed,
            crowds: Crowds::default(),
            tasks,
        })
    }

    supervision::receive_from!(inbox, alarm);
}

impl Message<Generate> for ModelHost {
    type Reply = DelegatedReply<Result<(), GenerationError>>;

    async fn handle(
        &mut self,
        wish: Generate,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        if let Err(error) = check(&wish) {
            answer(asker, Err(error.into()));
            return delegated;
        }
        let ask = Wish::Answer(Arc::new(Ask {
            prompt: wish.prompt,
            sampling: wish.sampling,
            context: wish.context,
            tools: wish.tools,
        }));
        // A token's life, stop 4: accepted into the book of its model, or refused.
        let outlet = Outlet::new(wish.events, self.inbox.turn());
        let job = job(wish.id, ask, outlet, wish.keep_alive);
        self.accept(wish.model, job, asker, ctx.actor_ref());
        delegated
    }
}

/// What can be refused without the model.
fn check(wish: &Generate) -> Result<(), FieldError> {
    wish.sampling.validate()?;
    let chat = matches!(wish.prompt, Prompt::Chat(_));
    engine::tools::check(&wish.tools, wish.sampling.constraint.as_ref(), chat)
}

impl Message<Warm> for ModelHost {
    type Reply = DelegatedReply<Result<(), GenerationError>>;

    async fn handle(&mut self, wish: Warm, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        let outlet = Outlet::new(wish.events, self.inbox.turn());
        let job = job(wish.id, Wish::Warm, outlet, wish.keep_alive);
        self.accept(wish.model, job, asker, ctx.actor_ref());
        delegated
    }
}

/// A name was looked up.
struct LookedUp {
    name: ModelName,
    found: Result<Found, GenerationError>,
    /// How many idle models may still be asked for their place.
    tries: usize,
}

impl Message<LookedUp> for ModelHost {
    type Reply = ();

    async fn handle(&mut self, mut looked_up: LookedUp, ctx: &mut Context<Self, ()>) {
        if let (Ok(found), Some(left)) = (&looked_up.found, looked_up.tries.checked_sub(1))
            && self.crowds.is_awaited(&looked_up.name)
            && let Some(idle) = self.in_the_way(&looked_up.name, found)
        {
            looked_up.tries = left;
            return self.make_place(idle, looked_up, ctx.actor_ref());
        }
        let LookedUp { name, found, .. } = looked_up;
        for (job, asker) in self.crowds.take(&name) {
            let accepted = match &found {
                Ok(found) => self.put(&name, found, job).await,
                Err(error) => Err(error.clone()),
            };
            answer(asker, accepted);
        }
    }
}

impl Message<Cancel> for ModelHost {
    type Reply = bool;

    async fn handle(&mut self, wish: Cancel, _: &mut Context<Self, bool>) -> bool {
        let mut found = self.crowds.cancel(&wish.id);
        for (_, lane, book) in self.seed.roster.all() {
            if book.cancel(&wish.id, Instant::now()) {
                found = true;
                poke(&lane);
            }
        }
        found
    }
}

impl Message<Unload> for ModelHost {
    type Reply = DelegatedReply<Result<(), UnloadError>>;

    async fn handle(&mut self, wish: Unload, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        while self.tasks.try_join_next().is_some() {}
        let unloading = unload(self.seed.clone(), wish, asker);
        self.tasks.spawn(unloading.in_current_span());
        delegated
    }
}

impl Message<SetLimits> for ModelHost {
    type Reply = Result<(), FieldError>;

    async fn handle(&mut self, wish: SetLimits, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.seed.rules.set(wish)?;
        for (_, lane, _) in self.seed.roster.all() {
            poke(&lane);
        }
        Ok(())
    }
}

/// Who embeds.
pub(crate) struct Embedding;

/// The one who embeds; whoever asks speaks with it.
#[derive(Reply)]
pub(crate) struct Embedder(pub(crate) Handle<EmbeddingLane>);

impl Message<Embedding> for ModelHost {
    type Reply = Embedder;

    async fn handle(&mut self, _: Embedding, _: &mut Context<Self, Embedder>) -> Embedder {
        Embedder(self.seed.embedding.clone())
    }
}

impl Message<Status> for ModelHost {
    type Reply = HostStatus;

    async fn handle(&mut self, _: Status, _: &mut Context<Self, HostStatus>) -> HostStatus {
        HostStatus {
            models: self.seed.roster.status(Instant::now()),
        }
    }
}

impl ModelHost {
    /// Puts the job into the book of its model's lane, or among those who wait for its file to be found.
    fn accept(&mut self, name: ModelName, job: Job, asker: Asker, me: &ActorRef<Self>) {
        let most = self.seed.rules.now().queue;
        let Some((job, asker)) = self.crowds.join(&name, most, job, asker) else {
            return;
        };
        let Some(seat) = self.seed.roster.find(&name) else {
            return self.look_up(name, job, asker, me);
        };
        match self.enqueue(&seat, job) {
            Ok(()) => answer(asker, Ok(())),
            Err(NotIn::Refused(error)) => answer(asker, Err(error)),
            Err(NotIn::Closed(job)) => self.look_up(name, *job, asker, me),
        }
    }

    fn enqueue(&self, seat: &Seat, job: Job) -> Result<(), NotIn> {
        let put = seat.book.enqueue(job, Instant::now());
        match &put {
            // A lane that is down drops its book, and the job hears of it; a full queue holds a poke already.
            Ok(()) => poke(&seat.lane),
            Err(NotIn::Closed(_)) => self.seed.roster.forget(seat),
            Err(NotIn::Refused(_)) => {}
        }
        put
    }

    fn look_up(&mut self, name: ModelName, job: Job, asker: Asker, me: &ActorRef<Self>) {
        while self.tasks.try_join_next().is_some() {}
        let permit = match self.seed.looks.begin() {
            Ok(permit) => permit,
            Err(error) => return answer(asker, Err(error)),
        };
        let guard = self.inbox.work(format!("looking for model {name}"));
        self.crowds.begin(name.clone(), guard, job, asker);
        let looking = look_up(Arc::clone(&self.seed.deps.resolve), name.clone(), permit);
        let me = me.clone();
        let places = self.seed.rules.now().max_models;
        let tries = places.max(self.seed.roster.len());
        let looking = async move {
            let found = looking.await;
            let looked_up = LookedUp { name, found, tries };
            // An error means that this life is over.
            drop(me.tell(looked_up).send().await);
        };
        self.tasks.spawn(looking.in_current_span());
    }

    /// Into the lane of that file, beginning one if there is none or the old one is ending.
    async fn put(&self, name: &ModelName, found: &Found, job: Job) -> Result<(), GenerationError> {
        let Some(seat) = self.seed.roster.find_file(&found.key, name) else {
            return self.begin_lane(name, found, Some(job)).await;
        };
        match self.enqueue(&seat, job) {
            Ok(()) => Ok(()),
            Err(NotIn::Refused(error)) => Err(error),
            Err(NotIn::Closed(job)) => {
                drop(seat);
                self.begin_lane(name, found, Some(*job)).await
            }
        }
    }

    /// The job is in the book before the lane begins: a lane that begins with nothing to do ends at once, unless its model
    /// is pinned.
    async fn begin_lane(
        &self,
        name: &ModelName,
        found: &Found,
        job: Option<Job>,
    ) -> Result<(), GenerationError> {
        self.make_room()?;
        let HostSeed {
            rules,
            deps,
            lanes,
            roster,
            pins,
            idle,
            ..
        } = &self.seed;
        let book = Book::new(name.clone(), rules.clone(), pins.of(&found.key));
        let book = Arc::new(book);
        let put = job.map(|job| book.enqueue(job, Instant::now()));
        if let Some(Err(NotIn::Refused(error))) = put {
            return Err(error);
        }
        let label = roster.label(&found.key);
        let seed = LaneSeed {
            parts: LaneParts {
                rules: rules.clone(),
                model: name.clone(),
                label: label.clone(),
                source: found.source.clone(),
                loader: Arc::clone(&deps.loader),
                governor: deps.governor.clone(),
                janitor: deps.janitor.clone(),
                idle: Arc::clone(idle),
            },
            book: Arc::clone(&book),
        };
        let id = lane_id(roster.next_number(), name);
        let lane = lanes
            .ensure(id, seed)
            .await
            .map_err(|e| unavailable(LANE_SUPERVISOR_ID, &e))?;
        roster.insert(found.key.clone(), name.clone(), label, lane, &book);
        Ok(())
    }
}

#[cfg(test)]
impl ModelHost {
    pub(crate) fn roster(&self) -> &Roster {
        &self.seed.roster
    }
}

fn job(id: RequestId, wish: Wish, outlet: Outlet, keep_alive: Option<KeepAlive>) -> Job {
    Job {
        id,
        wish,
        outlet,
        keep_alive,
    }
}

fn poke(lane: &Handle<Lane>) {
    // See `accept` for why neither error matters.
    drop(lane.try_tell(Poke));
}

async fn unload(seed: HostSeed, wish: Unload, asker: Option<ReplySender<Result<(), UnloadError>>>) {
    let model = wish.model.clone();
    let answer = match find(&seed, &model).await {
        None => Err(UnloadError::NotLoaded { model }),
        Some(lane) => match lane.ask(wish, DEADLINE).await {
            Ok(_freed) => Ok(()),
            Err(AskError::Handler(error)) => Err(error),
            Err(AskError::Down { .. }) => Err(UnloadError::NotLoaded { model }),
            Err(error) => Err(UnloadError::Unavailable {
                model,
                reason: error.to_string(),
            }),
        },
    };
    if let Some(asker) = asker {
        asker.send(answer);
    }
}

/// The lane of that name, or of the file it leads to. What is not found is not loaded.
async fn find(seed: &HostSeed, model: &ModelName) -> Option<Handle<Lane>> {
    if let Some(seat) = seed.roster.find(model) {
        return Some(seat.lane);
    }
    let permit = seed.looks.begin().ok()?;
    let found = look_up(Arc::clone(&seed.deps.resolve), model.clone(), permit).await;
    let seat = seed.roster.find_file(&found.ok()?.key, model)?;
    Some(seat.lane)
}

/// `lane-3-smollm2-135m`: unique by its number, and readable. Forty characters of a name tell models apart.
fn lane_id(number: u64, model: &ModelName) -> String {
    let name = model.as_str().rsplit('/').next().unwrap_or_default();
    let plain: String = name
        .trim_end_matches(".gguf")
        .chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
            '.' => '.',
            _ => '-',
        })
        .take(40)
        .collect();
    format!("lane-{number}-{plain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_named_after_their_models() {
        for (model, id) in [
            ("smollm2-135m", "lane-1-smollm2-135m"),
            ("/data/Some Model.Q4_1.gguf", "lane-1-some-model.q4-1"),
            ("hf:o/r/ü.gguf", "lane-1--"),
        ] {
            assert_eq!(lane_id(1, &ModelName::new(model)), id);
        }
    }
}
