//! A raw HTTP client, so that the bytes on the wire are what is tested, and a tree with a scripted model behind the
//! gateway.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "helpers of tests: what is broken should fail the test at once; the benches and another test binary share it, each using a part"
)]

pub mod chance;
pub mod live;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use connection::Connections;
use domain::generation::ContextPolicy;
use domain::{Message, ModelName, Prompt, RequestId, Sampling, Tools};
use engine::{ModelLoader, ModelSource};
use memory_governor::MemoryGovernor;
use model_host::{HostConfig, ModelHost, ModelHostDeps, ResolveModel, Status};
use paraphym_gateway::{Check, GatewayConfig, GatewayDeps, Serving};
use supervision::{Events, Handle, RootHandle, SupervisorSpec, start_root};
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Far beyond what anything here takes, so that a failure is one and not a hang.
pub const FOR_EVER: Duration = Duration::from_mins(1);

/// What the model says.
pub fn hello() -> Answer {
    Answer::Text("Hello dear world".to_owned())
}

/// A chat's body with one message, and more fields.
pub fn ask(fields: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}]{fields}}}"#)
}

/// The same without the way over HTTP: so many tokens, and each seed another conversation.
pub fn request(seed: u64, tokens: u32) -> model_host::Request {
    model_host::Request {
        id: RequestId::new(format!("seed-{seed}")),
        model: ModelName::new("tiny"),
        prompt: Prompt::Chat(vec![Message::user("Hi")]),
        sampling: Sampling {
            max_tokens: tokens,
            seed,
            ..Sampling::greedy()
        },
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: Tools::default(),
    }
}

/// A response as it came, with the chunks of its body put together.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn parse(raw: &str) -> Self {
        let (head, body) = raw.split_once("\r\n\r\n").expect("a whole head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        };
        Self {
            status,
            head: head.to_owned(),
            body,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("a chunk size");
        let size = usize::from_str_radix(size, 16).expect("a hexadecimal chunk size");
        if size == 0 {
            return whole;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..]
            .strip_prefix("\r\n")
            .expect("the end of a chunk");
    }
}

/// The text of a streamed answer, put together.
pub fn said(stream: &str) -> String {
    let chunks = stream.split_terminator("\n\n");
    let data = chunks.filter_map(|chunk| chunk.strip_prefix("data: {"));
    let texts = data.filter_map(|json| {
        let chunk: serde_json::Value = serde_json::from_str(&format!("{{{json}")).unwrap();
        Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned())
    });
    texts.collect()
}

pub fn post(body: &str, headers: &str) -> String {
    post_to("/v1/chat/completions", body, headers)
}

/// A request with that body to any path.
pub fn post_to(path: &str, body: &str, headers: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
}

/// Sends `request` and reads until the server hangs up.
pub async fn exchange(address: SocketAddr, request: &str) -> Response {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.unwrap();
    Response::parse(&String::from_utf8(raw).unwrap())
}

pub async fn get(address: SocketAddr, path: &str) -> Response {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"),
    )
    .await
}

pub async fn chat(address: SocketAddr, body: &str) -> Response {
    exchange(address, &post(body, "")).await
}

/// Sends `request` and leaves the answer to be read piece by piece.
pub async fn open(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// A chat request with these instead of the usual headers `host` and `content-type`.
pub fn post_with(body: &str, headers: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

/// Reads until `needle` was seen; what was read.
pub async fn read_until(stream: &mut TcpStream, needle: &str) -> String {
    let mut raw = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&raw).into_owned();
        if text.contains(needle) {
            return text;
        }
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the server hung up before {needle:?}: {text}");
        raw.extend_from_slice(&piece[..read]);
    }
}

/// Finds every model but `missing`, and `gone`, which is listed but was just removed.
struct Anywhere;

impl ResolveModel for Anywhere {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        if ["missing", "gone"].contains(&model.as_str()) {
            return Err("fetch it first".to_owned());
        }
        let path = PathBuf::from(model.as_str());
        Ok(ModelSource { path })
    }
}

/// 2023-11-14T22:13:20Z: what `created` is in every test.
pub const CREATED: u64 = 1_700_000_000;

pub struct Scene {
    pub address: SocketAddr,
    pub control: Control,
    pub host: Handle<ModelHost>,
    pub governor: Handle<MemoryGovernor>,
    pub serving: Serving,
    pub root: RootHandle,
    /// In real time, where they are served.
    pub live: Option<Connections>,
    listens: watch::Receiver<Option<SocketAddr>>,
}

impl Scene {
    pub async fn start(answer: Answer, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::with_host(answer, HostConfig::default(), change).await
    }

    pub async fn with_host(
        answer: Answer,
        host: HostConfig,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Self {
        Self::try_with_host(answer, host, change).await.unwrap()
    }

    /// The error as its text.
    pub async fn try_start(
        answer: Answer,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Result<Self, String> {
        Self::try_with_host(answer, HostConfig::default(), change).await
    }

    async fn try_with_host(
        answer: Answer,
        host: HostConfig,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Result<Self, String> {
        let loader = ScriptedLoader::new(answer).with_card(|card| card.context_tokens = 4096);
        Self::with_loader(loader, host, change).await
    }

    /// A model whose answers need not end: a window of a million tokens that cost next to nothing.
    pub async fn endless(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let loader = ScriptedLoader::new(Answer::Counting).with_card(|card| {
            card.context_tokens = 1 << 20;
            card.kv_bytes_per_token = domain::Bytes(1);
        });
        let scene = Self::with_loader(loader, HostConfig::default(), change).await;
        scene.unwrap()
    }

    /// Ready only if these say so, too.
    pub async fn with_checks(checks: Vec<Check>) -> Self {
        let loader = ScriptedLoader::new(Answer::Counting);
        let control = loader.control();
        let host = HostConfig::default();
        let scene = Self::start_tree(Arc::new(loader), control, host, checks, None, |config| {
            config.limits.probe_time = Duration::from_millis(100);
        });
        scene.await.unwrap()
    }

    /// Any loader, whose engines `control` knows.
    pub async fn with_any(
        loader: impl ModelLoader,
        control: Control,
        host: HostConfig,
    ) -> Result<Self, String> {
        Self::start_tree(Arc::new(loader), control, host, Vec::new(), None, |_| {}).await
    }

    /// With connections in real time, and the page.
    pub async fn live(
        answer: Answer,
        bounds: live::Bounds,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Self {
        let loader = ScriptedLoader::new(answer).with_card(|card| {
            card.context_tokens = 1 << 20;
            card.kv_bytes_per_token = domain::Bytes(1);
        });
        let (control, host) = (loader.control(), HostConfig::default());
        Self::live_with(loader, control, host, bounds, change).await
    }

    /// The same for any loader, whose engines `control` knows.
    pub async fn live_with(
        loader: impl ModelLoader,
        control: Control,
        host: HostConfig,
        bounds: live::Bounds,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Self {
        let live = Some(bounds);
        let scene = Self::start_tree(Arc::new(loader), control, host, Vec::new(), live, change);
        scene.await.unwrap()
    }

    async fn with_loader(
        loader: ScriptedLoader,
        host: HostConfig,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Result<Self, String> {
        let control = loader.control();
        Self::start_tree(Arc::new(loader), control, host, Vec::new(), None, change).await
    }

    async fn start_tree(
        loader: Arc<dyn ModelLoader>,
        control: Control,
        host: HostConfig,
        checks: Vec<Check>,
        live: Option<live::Bounds>,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Result<Self, String> {
        let serving = Serving::default();
        let (governor, memory) = memory_governor::child(None, Arc::new(memory_governor::FileProbe));
        let (sweeping, janitor) = cache_janitor::child(memory.clone());
        let deps = ModelHostDeps {
            loader,
            resolve: Arc::new(Anywhere),
            governor: memory.clone(),
            janitor: janitor.clone(),
        };
        let ([lanes, embedding, host], handle) = model_host::children(host, deps);
        let (between, connections) = match live {
            Some(bounds) => {
                let (specs, connections) = live::children(handle.clone(), janitor, bounds);
                (specs, Some(connections))
            }
            None => (Vec::new(), None),
        };
        let mut config = GatewayConfig::new("127.0.0.1:0".parse().unwrap(), ModelName::new("tiny"));
        change(&mut config);
        let deps = GatewayDeps {
            host: handle.clone(),
            sampling: Arc::new(Sampling::greedy),
            metrics: Arc::new(page),
            models: Arc::new(|| ["tiny", "other", "gone"].map(ModelName::new).to_vec()),
            embedders: Arc::new(|| ["e", "f"].map(ModelName::new).to_vec()),
            clock: Arc::new(|| UNIX_EPOCH + Duration::from_secs(CREATED)),
            checks,
            serving: serving.clone(),
            live: connections.clone(),
        };
        let gateway = paraphym_gateway::child(config, deps).unwrap();
        let spec = SupervisorSpec::new("root")
            .child(governor)
            .child(sweeping)
            .child(lanes)
            .child(embedding)
            .child(host);
        let spec = between.into_iter().fold(spec, SupervisorSpec::child);
        let spec = spec.child(gateway.spec);
        let root = start_root(spec, Events::with_seed(1)).await;
        let root = root.map_err(|error| error.to_string())?;
        let address = gateway
            .address
            .borrow()
            .expect("it listens once it is ready");
        Ok(Self {
            address,
            control,
            host: handle,
            governor: memory,
            serving,
            root,
            live: connections,
            listens: gateway.address,
        })
    }

    /// Where it listens now: a restart may change it.
    pub async fn listens(&self) -> SocketAddr {
        let mut listens = self.listens.clone();
        let found = listens.wait_for(Option::is_some).await.unwrap();
        found.unwrap()
    }

    /// Until so many requests wait in the model host.
    pub async fn wait_until_waiting(&self, waiting: usize) {
        loop {
            let status = self.host.ask(Status, Duration::from_secs(5)).await.unwrap();
            if status
                .models
                .iter()
                .map(|model| model.waiting)
                .sum::<usize>()
                == waiting
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Until the model host has so many requests, answered or waiting.
    pub async fn wait_until_accepted(&self, requests: usize) {
        loop {
            let status = self.host.ask(Status, Duration::from_secs(5)).await.unwrap();
            let models = status.models.iter();
            if models
                .map(|model| model.active + model.waiting)
                .sum::<usize>()
                == requests
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// What a stop of the gateway would wait for.
    pub async fn work(&self) -> Vec<String> {
        let children = self.root.supervisor().which_children().await;
        let mut children = children.into_iter();
        let gateway = children.find(|child| child.id.as_str() == "gateway");
        gateway.expect("it is a child").work
    }

    /// Until the gateway makes so many answers.
    pub async fn wait_until_working(&self, answers: usize) {
        while self.work().await.len() != answers {
            tokio::task::yield_now().await;
        }
    }

    /// Nothing is left of the tree and nothing of the model's memory is in use.
    pub async fn end(self) {
        let report = self.root.stop(Duration::from_secs(30)).await;
        assert_eq!(report.abandoned, []);
        assert_eq!(self.control.counts().open_now(), 0);
    }
}

/// What was recorded, behind a line that nobody else writes.
fn page() -> String {
    let recorded = telemetry::Metrics::install().unwrap().render();
    format!("paraphym_up 1\n{recorded}")
}
