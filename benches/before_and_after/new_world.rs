//! Our world: the real tree with everything that stands in it, a scripted model, and connections whose transport is a channel.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use agent_worker::{Agents, TurnSettings};
use connection::liveness::Rhythm;
use connection::wire::room::ConversationLine;
use connection::{
    Admission, Admitted, Connections, Deps, Free, Gone, History, Limits, Outgoing, Part, Said,
    Seats, Transport, TreeFeed,
};
use domain::{ConversationId, ModelName, Sampling, UserId};
use engine::ModelSource;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use memory_governor::{FileProbe, MemoryGovernor};
use model_host::ResolveModel;
use root::{Tree, TreeConfig, TreeParts};
use runtime::{Clock, CoarseClock};
use supervision::{Events, Handle, RootHandle, start_root};
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use toolbox::Toolbox;
use typing::Typing;

use crate::client::{Client, Line, line};
use crate::lane::{ATTEMPTS, Failure, Promise};

const MODEL: &str = "scripted";
/// The most bytes of one frame of a client.
const FRAME_BYTES: usize = 1 << 18;
/// Who is told at once to come again when it stops, and how long it is until the next ones are; as the host does it.
const AT_ONCE: usize = 200;
const BETWEEN: Duration = Duration::from_millis(50);
/// How long the tree has to stop.
const STOP: Duration = Duration::from_secs(10);
/// How long running answers have, of that.
const DRAIN: Duration = Duration::from_secs(5);

/// The model lies wherever it is looked for.
struct Anywhere;

impl ResolveModel for Anywhere {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let path = PathBuf::from(model.as_str());
        Ok(ModelSource { path })
    }
}

/// Nothing was said before, in either world.
struct Nothing;

impl History for Nothing {
    fn messages(&self, _: ConversationId, _: Part) -> BoxFuture<'static, Result<Said, String>> {
        Box::pin(async { Ok(Said::default()) })
    }

    fn conversations(&self) -> BoxFuture<'static, Result<Vec<ConversationLine>, String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// Our world, running.
pub(crate) struct Ours {
    pub(crate) root: RootHandle,
    pub(crate) governor: Handle<MemoryGovernor>,
    pub(crate) typing: Handle<Typing>,
    pub(crate) agents: Agents,
    /// The hand on the scripted model.
    pub(crate) model: Control,
    connections: Connections,
    /// Who greets clients until they are connections.
    greeting: Mutex<JoinSet<()>>,
}

impl Ours {
    /// Starts the tree; every part is ready when this returns.
    pub(crate) async fn start(promise: Promise, answer: &str) -> Result<Self, Failure> {
        let loader = ScriptedLoader::new(Answer::Text(answer.to_owned()));
        let model = loader.control();
        let mut tree = tree(loader).await?;
        if promise.chaos {
            tree.spec = tree.spec.allow_chaos();
        }
        let (typing_spec, typing) = typing::child(promise.typing)?;
        let clock: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(now_ms);
        let (answers, rooms) = room::rooms(
            tree.agents.clone(),
            typing.clone(),
            Arc::clone(&clock),
            DRAIN,
        );
        let rhythm = Rhythm {
            silence: promise.silence,
            attempt: promise.attempt,
            attempts: ATTEMPTS,
        };
        let deps = Deps {
            rooms,
            typing: typing.clone(),
            history: Arc::new(Nothing),
            settings: Arc::new(|_, _| Ok(turn())),
            tree: TreeFeed::default(),
            clock,
            limits: Limits {
                rhythm,
                ..Limits::default()
            },
            joined: 4,
        };
        let (connections_spec, instances) = connection::children();
        let number = AtomicU64::new(0);
        let ids = Arc::new(move || format!("id-{}", number.fetch_add(1, Ordering::Relaxed)));
        let connections = Connections::new(instances, deps, Seats::default(), ids, FRAME_BYTES);
        let spec = tree.spec.child(typing_spec).child(answers);
        let root = start_root(spec.child(connections_spec), Events::default()).await?;
        Ok(Self {
            root,
            governor: tree.governor,
            typing,
            agents: tree.agents,
            model,
            connections,
            greeting: Mutex::default(),
        })
    }

    /// A client that has just connected.
    pub(crate) fn connect(&self) -> Client {
        let (client, line) = line();
        let connections = self.connections.clone();
        let greet = async move { connections.greet(transport(line), &*admission()).await };
        let mut greeting = self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        while greeting.try_join_next().is_some() {}
        greeting.spawn(greet);
        client
    }

    /// Sends everybody away, then stops the tree; what it left undone.
    pub(crate) async fn stop(&self) -> usize {
        self.connections.drain(AT_ONCE, BETWEEN).await;
        self.root.stop(STOP).await.abandoned.len()
    }
}

async fn tree(loader: ScriptedLoader) -> Result<Tree, Failure> {
    let author = chat_config::Author {
        who: "bench".to_owned(),
        at: SystemTime::now(),
    };
    let kept = conversation_store::StoreConfig::in_memory();
    let parts = TreeParts {
        loader: Arc::new(loader),
        resolve: Arc::new(Anywhere),
        probe: Arc::new(FileProbe),
        settings: chat_config::Store::without_file([], &[], author)?,
        tools: Toolbox::default(),
        sources: Vec::new(),
        reached: Vec::new(),
        conversations: conversation_store::client::open(kept, now_ms()).await?,
        ages: Arc::new(CoarseClock::default()),
        clock: Arc::new(|| CoarseClock::default().stamp().system_time()),
        now_ms: Arc::new(now_ms),
    };
    Ok(Tree::new(TreeConfig::default(), parts))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// What a prompt is answered with: the script, word for word.
pub(crate) fn turn() -> TurnSettings {
    TurnSettings {
        sampling: Sampling::greedy(),
        ..TurnSettings::new(ModelName::new(MODEL))
    }
}

/// Whoever says a name is let in by it.
fn admission() -> Box<Admission> {
    Box::new(|_, user| {
        Ok(Admitted {
            user: UserId::new(user.unwrap_or("guest")),
            proven: false,
            pass: Arc::new(Free),
        })
    })
}

fn transport(line: Line) -> Transport {
    let Line { incoming, outgoing } = line;
    let next = |mut incoming: mpsc::Receiver<_>| async move {
        incoming.recv().await.map(|came| (came, incoming))
    };
    let send = |outgoing: mpsc::Sender<Outgoing>, frame| async move {
        outgoing.send(frame).await.map_err(|_| Gone)?;
        Ok::<_, Gone>(outgoing)
    };
    Transport {
        incoming: stream::unfold(incoming, next).boxed(),
        outgoing: Box::pin(futures_util::sink::unfold(outgoing, send)),
    }
}
