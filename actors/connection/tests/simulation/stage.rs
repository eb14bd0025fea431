//! The tree of a story: a scripted model that takes its time, rooms, typing and connections, and a witness who sees
//! everything that is said, and tells it as the store would.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_worker::models::{Answer as Said, Models};
use agent_worker::{Agents, Config, TurnSettings, Window};
use domain::{FieldError, GenerationError, ModelName, Sampling, UserId};
use engine::ModelSource;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use memory_governor::{FileProbe, GovernorConfig};
use model_host::{HostConfig, ModelHost, ModelHostDeps, Request, ResolveModel};
use paraphym_connection::{
    Admitted, Connections, Deps, Free, Gone, Incoming, Limits, Outgoing, Refused, Seats, Transport,
    TreeFeed, children,
};
use room::Rooms;
use supervision::{Handle, SupervisorSpec};
use testkit::scene::Scene;
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use typing::Typing;

use crate::dice::Dice;
use crate::witness::{Store, Witness};

/// Turns that may wait: more than a story has.
const WAITING: usize = 64;

struct Anywhere;

impl ResolveModel for Anywhere {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let path = PathBuf::from(model.as_str());
        Ok(ModelSource { path })
    }
}

/// The model host, which says each thing a while later: on a paused clock a model that takes no time would have said
/// everything before anything else happens.
struct Slowly {
    host: Handle<ModelHost>,
    dice: Mutex<Dice>,
}

impl Models for Slowly {
    fn generate(&self, request: Request) -> BoxFuture<'static, Result<Said, GenerationError>> {
        let pause = Duration::from_millis(self.dice.lock().unwrap().below(40));
        let asked = self.host.generate(request);
        Box::pin(async move {
            let slowly = asked.await?.then(move |event| async move {
                sleep(pause).await;
                event
            });
            Ok(slowly.boxed())
        })
    }
}

pub struct Stage {
    pub scene: Scene,
    pub connections: Connections,
    pub rooms: Rooms,
    pub typing: Handle<Typing>,
    pub control: Control,
    pub witness: Arc<Witness>,
    pub watching: JoinSet<()>,
}

impl Stage {
    pub async fn start(seed: u64, limits: Limits) -> Self {
        let loader =
            ScriptedLoader::new(Answer::Counting).with_card(|card| card.context_tokens = 1 << 16);
        let control = loader.control();
        let memory = GovernorConfig {
            limit: None,
            poll: Duration::from_hours(10_000),
        };
        let (governor, memory) = memory_governor::child_with(memory, Arc::new(FileProbe));
        let (janitor_spec, janitor) = cache_janitor::child(memory.clone());
        let deps = ModelHostDeps {
            loader: Arc::new(loader),
            resolve: Arc::new(Anywhere),
            governor: memory,
            janitor: janitor.clone(),
        };
        let (models, host) = model_host::children(HostConfig::default(), deps);
        let config = Config {
            waiting_turns: WAITING,
            ..Config::default()
        };
        let (workers_spec, workers) = agent_worker::children(&config);
        let slowly = Slowly {
            host,
            dice: Mutex::new(Dice::new(seed ^ 1)),
        };
        let agents = Agents::answered_by(workers, Arc::new(slowly), config);
        let (typing_spec, typing) = typing::child(typing::EXPIRY).unwrap();
        let keeper = agents.keeper(janitor);
        let drain = Duration::from_secs(30);
        let (answers, rooms) = room::rooms(agents, typing.clone(), Arc::new(|| 1), drain);
        let witness = Arc::new(Witness::new(&rooms, seed));
        let rooms = rooms.with_record(Arc::new(Store(witness.clone())));
        let deps = Deps {
            rooms: rooms.clone(),
            typing: typing.clone(),
            history: Arc::new(Store(witness.clone())),
            settings: Arc::new(settings),
            tree: TreeFeed::default(),
            clock: Arc::new(|| 1),
            limits,
            joined: 4,
        };
        let (connections_spec, instances) = children();
        let number = AtomicU64::new(0);
        let ids = move || format!("id-{}", number.fetch_add(1, Ordering::Relaxed));
        let seats = Seats::default();
        let connections = Connections::new(instances, deps, seats, Arc::new(ids), 1 << 18);
        let rest = models.into_iter().chain(workers_spec);
        let rest = rest.chain([keeper, typing_spec, answers, connections_spec]);
        // A story kills more than bad luck does.
        let first = SupervisorSpec::new("root")
            .intensity(1000, Duration::from_mins(1))
            .child(governor)
            .child(janitor_spec);
        let scene = Scene::start(rest.fold(first, SupervisorSpec::child)).await;
        Self {
            scene: scene.unwrap(),
            connections,
            typing,
            control,
            watching: witness.watch(&rooms),
            rooms,
            witness,
        }
    }
}

/// A transport, and its other end.
pub fn wire() -> (Transport, mpsc::Sender<Incoming>, mpsc::Receiver<Outgoing>) {
    let (to, incoming) = mpsc::channel(64);
    let (outgoing, from) = mpsc::channel(1);
    let transport = Transport {
        incoming: stream::unfold(incoming, |mut incoming| async move {
            incoming.recv().await.map(|came| (came, incoming))
        })
        .boxed(),
        outgoing: Box::pin(futures_util::sink::unfold(
            outgoing,
            |outgoing: mpsc::Sender<Outgoing>, frame| async move {
                outgoing.send(frame).await.map_err(|_| Gone)?;
                Ok::<_, Gone>(outgoing)
            },
        )),
    };
    (transport, to, from)
}

/// Everybody is let in.
pub fn admission(_: Option<&str>, user: Option<&str>) -> Result<Admitted, Refused> {
    let user = UserId::new(user.unwrap_or("guest"));
    let proven = false;
    let pass = Arc::new(Free);
    Ok(Admitted { user, proven, pass })
}

/// What an answer says follows from its temperature: where it begins to count, and how far it goes.
pub fn script(dial: u64) -> (u64, u32) {
    (dial, 3 + u32::try_from(dial % 40).unwrap())
}

fn settings(_: Option<&str>, temperature: Option<f32>) -> Result<TurnSettings, FieldError> {
    let dial = (temperature.unwrap_or(0.0) * 1000.0).round() as u64;
    let (seed, max_tokens) = script(dial);
    Ok(TurnSettings {
        sampling: Sampling {
            seed,
            max_tokens,
            ..Sampling::greedy()
        },
        context: Window::Refuse,
        ..TurnSettings::new(ModelName::new("scripted"))
    })
}
