//! A tree with a scripted model and control in it, and a raw client, so that the bytes on the socket are what is tested.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests: what is broken should fail the test at once"
)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use agent_worker::client::Agents;
use cache_janitor::CacheJanitor;
use chat_config::Author;
use conversation_store::{Archive, StoreConfig};
use domain::{Bytes, ModelName};
use engine::ModelSource;
use memory_governor::{MemoryGovernor, Probe};
use model_host::{HostConfig, ModelHost, ModelHostDeps, ResolveModel};
use paraphym_control::edge::{Called, Edge};
use paraphym_control::protocol::connections::{Connection, ConnectionsAnswer};
use paraphym_control::protocol::ending::Ending;
use paraphym_control::protocol::table::Ask;
use paraphym_control::{Client, ClientError, Code, ControlConfig, ControlDeps, Level, Limits};
use runtime::Census;
use serde_json::Value;
use supervision::{Events, Handle, RootHandle, SupervisorSpec, start_root};
use tempfile::TempDir;
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

/// Far beyond what anything here takes, so that a failure is one and not a hang.
pub const FOR_EVER: Duration = Duration::from_mins(1);

/// Far more than the scripted models take.
const MEMORY: Bytes = Bytes(1 << 30);

struct Anywhere;

impl ResolveModel for Anywhere {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        if model.as_str() == "missing" {
            return Err("fetch it first".to_owned());
        }
        let path = PathBuf::from(model.as_str());
        Ok(ModelSource { path })
    }
}

/// A machine about which nothing can be read, so that a busy one makes no difference.
struct Nowhere;

impl Probe for Nowhere {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn settings() -> chat_config::Store {
    let author = Author {
        who: "a test".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    };
    chat_config::Store::without_file([], &[], author).unwrap()
}

fn host_deps(
    loader: ScriptedLoader,
    memory: &Handle<MemoryGovernor>,
    janitor: &Handle<CacheJanitor>,
) -> ModelHostDeps {
    ModelHostDeps {
        loader: Arc::new(loader),
        resolve: Arc::new(Anywhere),
        governor: memory.clone(),
        janitor: janitor.clone(),
    }
}

/// A server for requests that does what a test says.
#[derive(Default)]
pub struct MadeEdge {
    pub answers: Mutex<Vec<Called>>,
    pub seats: Mutex<ConnectionsAnswer>,
    pub draining: AtomicBool,
}

impl MadeEdge {
    fn answers(&self, name: &str) -> Vec<Called> {
        let all = self.answers.lock().unwrap();
        let called = |one: &&Called| one.answer.as_str() == name || one.request.as_str() == name;
        all.iter().filter(called).cloned().collect()
    }
}

impl Edge for MadeEdge {
    fn called(&self, name: &str) -> Vec<Called> {
        self.answers(name)
    }

    fn cancel(&self, name: &str) -> Vec<Called> {
        let ended = self.answers(name);
        self.answers
            .lock()
            .unwrap()
            .retain(|one| !ended.contains(one));
        ended
    }

    fn connections(&self) -> ConnectionsAnswer {
        self.seats.lock().unwrap().clone()
    }

    fn connection(&self, id: u64) -> Option<Connection> {
        let all = self.seats.lock().unwrap();
        all.connections.iter().find(|one| one.id == id).cloned()
    }

    fn kick(&self, id: u64) -> Option<Connection> {
        let found = self.connection(id);
        let mut all = self.seats.lock().unwrap();
        all.connections.retain(|one| one.id != id);
        all.open = all.connections.len();
        found
    }

    fn limit_connections(&self, most: usize) -> usize {
        let mut all = self.seats.lock().unwrap();
        all.limit = most;
        all.open
    }

    fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn under_way(&self) -> usize {
        self.answers.lock().unwrap().len()
    }
}

pub struct Scene {
    pub folder: TempDir,
    pub socket: PathBuf,
    pub control: Control,
    pub models: Handle<ModelHost>,
    pub agents: Agents,
    pub edge: Arc<MadeEdge>,
    pub root: RootHandle,
    pub stop: watch::Receiver<Option<Duration>>,
    pub ending: watch::Sender<Option<Ending>>,
}

impl Scene {
    pub async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub async fn with(limits: Limits) -> Self {
        Self::with_events(limits, 1024).await
    }

    /// A listener may fall so many events behind.
    pub async fn with_events(limits: Limits, capacity: usize) -> Self {
        Self::with_config(capacity, |config| config.limits = limits).await
    }

    pub async fn with_config(capacity: usize, change: impl FnOnce(&mut ControlConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let loader = ScriptedLoader::new(Answer::Counting).with_card(|c| c.context_tokens = 4096);
        let control = loader.control();
        let (governor, memory) = memory_governor::child(Some(MEMORY), Arc::new(Nowhere));
        let (janitor_spec, janitor) = cache_janitor::child(memory.clone());
        let settings = settings();
        let (config_spec, config) =
            chat_config::child(settings.clone(), Arc::new(|| SystemTime::UNIX_EPOCH));
        let archive = Archive::open(&StoreConfig::in_memory(), 0).unwrap();
        let (store_spec, store) = conversation_store::child(
            archive,
            Some(janitor.clone()),
            Arc::new(runtime::CoarseClock::default()),
        );
        let deps = host_deps(loader, &memory, &janitor);
        let (model_specs, models) = model_host::children(HostConfig::default(), deps);
        let turns = agent_worker::settings::Config::default();
        let (agent_specs, workers) = agent_worker::client::children(&turns);
        let agents = Agents::new(workers, models.clone(), turns);
        let mut spec = SupervisorSpec::new("root").allow_chaos();
        for child in [config_spec, governor, janitor_spec, store_spec]
            .into_iter()
            .chain(model_specs)
            .chain(agent_specs)
        {
            spec = spec.child(child);
        }
        let edge = Arc::new(MadeEdge::default());
        let (stop, stopped) = watch::channel(None);
        let (end, ending) = watch::channel(None);
        let events = Events::new(capacity, 1);
        let deps = ControlDeps {
            tree: spec.handle(),
            events: events.clone(),
            governor: memory,
            models: models.clone(),
            conversations: store,
            settings: (config, settings),
            agents: agents.clone(),
            edge: Some(Arc::clone(&edge) as Arc<dyn Edge>),
            log: None,
            threads: Arc::new(|| Census {
                threads: Vec::new(),
            }),
            clock: Arc::new(SystemTime::now),
            chaos: true,
            stop,
            ending,
        };
        let socket = folder.path().join("control.sock");
        let mut config = ControlConfig::new(&socket);
        change(&mut config);
        let spec = spec.child(paraphym_control::child(config, deps));
        let root = start_root(spec, events).await.unwrap();
        Self {
            folder,
            socket,
            control,
            models,
            agents,
            edge,
            root,
            stop: stopped,
            ending: end,
        }
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.socket, "a test", None).await.unwrap()
    }

    pub async fn client_as(&self, level: Level) -> Client {
        let client = Client::connect(&self.socket, "a test", Some(level)).await;
        client.unwrap()
    }

    /// Connected, and greeted.
    pub async fn raw(&self) -> Raw {
        let mut raw = self.unread().await;
        assert_eq!(raw.hear().await.unwrap()["method"], "hello");
        raw
    }

    /// Connected, and nothing read.
    pub async fn unread(&self) -> Raw {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (reader, writer) = stream.into_split();
        Raw {
            lines: BufReader::new(reader).lines(),
            writer,
        }
    }

    /// Nothing is left undone, and nothing is left of the socket.
    pub async fn end(self) {
        let report = self.root.stop(Duration::from_secs(30)).await;
        assert_eq!(report.abandoned, []);
        assert!(!self.socket.exists());
    }
}

/// A client that says what it likes.
pub struct Raw {
    pub lines: Lines<BufReader<OwnedReadHalf>>,
    pub writer: OwnedWriteHalf,
}

impl Raw {
    pub async fn say(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.unwrap();
    }

    /// The next line; `None` if the server hung up.
    pub async fn hear(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(FOR_EVER, self.lines.next_line()).await;
        let line = line.expect("the server says nothing").unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Asks one thing; the line that answers it.
    pub async fn ask(&mut self, id: i64, method: &str, params: &str) -> Value {
        let line =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        self.say(line.as_bytes()).await;
        self.say(b"\n").await;
        loop {
            let heard = self.hear().await.expect("an answer");
            if heard["id"] == id {
                return heard;
            }
        }
    }
}

/// Asks one thing that is not refused.
pub async fn ask<A: Ask>(client: &mut Client, wish: &A) -> A::Answer {
    let answer = client.ask(wish, FOR_EVER).await;
    answer.unwrap_or_else(|error| panic!("{}: {error}", A::METHOD))
}

/// It was refused with that code, and says so.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(answer: Result<T, ClientError>, code: Code, part: &str) {
    let Err(ClientError::Refused(error)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(error.kind(), Some(code), "{error}");
    assert!(error.message.contains(part), "{part} in {error}");
}
