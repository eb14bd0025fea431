//! The model host's shell: it finds or begins the lane of a model and puts requests into that lane's book. It never
//! computes, and it waits only for its lane supervisor.
//!
//! Invariants: a request is accepted or refused within one message; no request is in two books; what a crash of the
//! host could lose lives in its seed (the roster) and with the lanes (the books).

use std::sync::Arc;
use std::time::Duration;

use domain::{GenerationError, GenerationEvent, ModelName, RequestId};
use engine::{ModelLoader, ModelSource};
use kameo::actor::{Actor, ActorRef};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use kameo::reply::{DelegatedReply, ReplySender};
use memory_governor::MemoryGovernor;
use supervision::{
    AskError, Birth, ChildSpec, Handle, Inbox, Shutdown, SupervisorHandle, SupervisorSpec,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::book::{Ask, Book, Job, NotIn, Wish};
use crate::config::HostConfig;
use crate::lane::room::DEADLINE;
use crate::lane::{self, Lane, LaneParts, LaneSeed, Poke};
use crate::messages::{Cancel, Generate, HostStatus, Status, Unload, UnloadError, Warm};
use crate::meters;
use crate::outlet::Outlet;
use crate::roster::Roster;

/// The name in the tree.
pub const CHILD_ID: &str = "model_host";
/// The name of the supervisor whose children are the lanes.
pub const LANE_SUPERVISOR_ID: &str = "lane_supervisor";
/// Requests on their way in: each takes microseconds, except the first for a model.
const MAILBOX: usize = 64;
/// Crashes of all lanes together before the lane supervisor gives up. One lane, held back by its backoff, comes to about
/// twenty in a minute, so that bad requests to one model never take the others down; several lanes that crash without
/// end do, and the root hears of it.
const LANE_CRASHES: (u32, Duration) = (64, Duration::from_mins(1));
/// Finding a model's file: a look into a folder, unless the file system hangs.
const RESOLVE: Duration = Duration::from_secs(5);

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
}

/// What outlives the host's crashes.
#[derive(Clone)]
pub struct HostSeed {
    config: Arc<HostConfig>,
    deps: ModelHostDeps,
    lanes: SupervisorHandle,
    roster: Roster,
}

/// The two children of the root that answer, in start order, and the host's handle. The governor starts before them.
pub fn children(config: HostConfig, deps: ModelHostDeps) -> ([ChildSpec; 2], Handle<ModelHost>) {
    let (crashes, period) = LANE_CRASHES;
    let lanes = SupervisorSpec::new(LANE_SUPERVISOR_ID).intensity(crashes, period);
    let seed = HostSeed {
        config: Arc::new(config),
        deps,
        lanes: lanes.handle(),
        roster: Roster::default(),
    };
    let (host, handle) = ChildSpec::actor(CHILD_ID, MAILBOX, seed);
    ([ChildSpec::supervisor(lanes), host], handle)
}

/// The one model host of a tree.
pub struct ModelHost {
    inbox: Inbox<Self>,
    seed: HostSeed,
    /// Unloads under way; they end with the host.
    unloads: JoinSet<()>,
}

impl Actor for ModelHost {
    type Args = Birth<Self, HostSeed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            inbox: birth.inbox,
            seed: birth.seed,
            unloads: JoinSet::new(),
        })
    }

    supervision::receive_from!(inbox);
}

impl Message<Generate> for ModelHost {
    type Reply = Result<(), GenerationError>;

    async fn handle(&mut self, wish: Generate, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let valid = wish.sampling.validate().map_err(GenerationError::from);
        valid.inspect_err(meters::refused)?;
        let ask = Wish::Answer(Arc::new(Ask {
            prompt: wish.prompt,
            sampling: wish.sampling,
            context: wish.context,
        }));
        // A token's life, stop 4: accepted into the book of its model, or refused at once.
        self.accept(&wish.model, job(wish.id, ask, wish.events))
            .await
            .inspect_err(meters::refused)
    }
}

impl Message<Warm> for ModelHost {
    type Reply = Result<(), GenerationError>;

    async fn handle(&mut self, wish: Warm, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.accept(&wish.model, job(wish.id, Wish::Warm, wish.events))
            .await
            .inspect_err(meters::refused)
    }
}

impl Message<Cancel> for ModelHost {
    type Reply = bool;

    async fn handle(&mut self, wish: Cancel, _: &mut Context<Self, bool>) -> bool {
        let mut found = false;
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
        while self.unloads.try_join_next().is_some() {}
        let lane = self.seed.roster.find(&wish.model).map(|(lane, _)| lane);
        self.unloads.spawn(unload(lane, wish, asker));
        delegated
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
    /// Puts the job into its model's book, beginning a lane if there is none or the old one is ending.
    async fn accept(&mut self, model: &ModelName, job: Job) -> Result<(), GenerationError> {
        let Some((lane, book)) = self.seed.roster.find(model) else {
            return self.begin_lane(model, job).await;
        };
        match book.enqueue(job, Instant::now()) {
            Ok(()) => {
                // A lane that is down drops its book, and the job hears of it; a full queue holds a poke already.
                poke(&lane);
                Ok(())
            }
            Err(NotIn::Refused(error)) => Err(error),
            Err(NotIn::Closed(job)) => {
                self.seed.roster.forget(model, &book);
                drop(book);
                self.begin_lane(model, *job).await
            }
        }
    }

    /// The job is in the book before the lane begins: a lane that begins with nothing to do ends at once.
    async fn begin_lane(&mut self, model: &ModelName, job: Job) -> Result<(), GenerationError> {
        let source = self.resolve(model).await?;
        let HostSeed {
            config,
            deps,
            lanes,
            roster,
        } = &self.seed;
        let waiting = roster.len();
        if waiting >= config.max_models.max(1) {
            let retry_after_ms = 1000;
            return Err(GenerationError::Overloaded {
                waiting,
                retry_after_ms,
            });
        }
        let book = Arc::new(Book::new(model.clone(), Arc::clone(config)));
        if let Err(NotIn::Refused(error)) = book.enqueue(job, Instant::now()) {
            return Err(error);
        }
        let seed = LaneSeed {
            parts: LaneParts {
                config: Arc::clone(config),
                model: model.clone(),
                source,
                loader: Arc::clone(&deps.loader),
                governor: deps.governor.clone(),
                roster: roster.clone(),
            },
            book: Arc::clone(&book),
        };
        let id = lane_id(roster.next_number(), model);
        let drain = config.drain;
        let begun = lanes.ensure_actor::<Lane, _>(id, lane::MAILBOX, seed, |spec| {
            spec.transient().shutdown(Shutdown::Timeout(drain))
        });
        let lane = begun
            .await
            .map_err(|e| unavailable(LANE_SUPERVISOR_ID, &e))?;
        roster.insert(model.clone(), lane, &book);
        Ok(())
    }

    async fn resolve(&self, model: &ModelName) -> Result<ModelSource, GenerationError> {
        let (resolve, name) = (Arc::clone(&self.seed.deps.resolve), model.clone());
        let found = tokio::task::spawn_blocking(move || resolve.resolve(&name));
        match tokio::time::timeout(RESOLVE, found).await {
            Ok(Ok(Ok(source))) => Ok(source),
            Ok(Ok(Err(hint))) => Err(GenerationError::ModelNotFound {
                model: model.clone(),
                hint,
            }),
            Ok(Err(error)) => Err(unavailable("the model store", &error)),
            Err(late) => Err(unavailable("the model store", &late)),
        }
    }
}

#[cfg(test)]
impl ModelHost {
    pub(crate) fn roster(&self) -> &Roster {
        &self.seed.roster
    }
}

fn job(id: RequestId, wish: Wish, events: mpsc::Sender<GenerationEvent>) -> Job {
    let outlet = Outlet::new(events);
    Job { id, wish, outlet }
}

fn poke(lane: &Handle<Lane>) {
    // See `accept` for why neither error matters.
    drop(lane.try_tell(Poke));
}

fn unavailable(part: &str, reason: &dyn std::fmt::Display) -> GenerationError {
    GenerationError::Unavailable {
        part: part.to_owned(),
        reason: reason.to_string(),
    }
}

async fn unload(
    lane: Option<Handle<Lane>>,
    wish: Unload,
    asker: Option<ReplySender<Result<(), UnloadError>>>,
) {
    let model = wish.model.clone();
    let answer = match lane {
        None => Err(UnloadError::NotLoaded { model }),
        Some(lane) => match lane.ask(wish, DEADLINE).await {
            Ok(()) => Ok(()),
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
