//! A small tree for tests: governor, lane supervisor and host over a scripted model, on a paused clock.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at the first surprise; the library's own tests share it, and use a part"
)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cache_janitor::CacheJanitor;
use domain::{
    Bytes, ContextPolicy, FinishReason, GenerationError, GenerationEvent, Message, ModelName,
    Prompt, RequestId, Sampling, Usage,
};
use engine::{ModelCard, ModelSource};
use memory_governor::{LedgerStatus, MemoryGovernor, Probe};
use paraphym_model_host::{
    GenerationStream, HostConfig, ModelHost, ModelHostDeps, ModelStatus, Request, ResolveModel,
    Status, children, generate,
};
use supervision::{Handle, RootHandle, SupervisorSpec};
use testkit::scene::Scene;
use testkit::scripted::{Answer, Control, ScriptedLoader};

pub const DEADLINE: Duration = Duration::from_mins(10);
pub const MIB: u64 = 1 << 20;
/// What leases of caches are for that keep no KV memory.
const OTHERS: [&str; 2] = ["embeddings", "tokenised prompts"];

/// Every model is here but `missing`.
struct Everywhere;

impl ResolveModel for Everywhere {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        if model.as_str() == "missing" {
            return Err("look elsewhere".to_owned());
        }
        Ok(ModelSource {
            path: PathBuf::from(model.as_str()),
        })
    }
}

/// A machine about which nothing can be read: only the configured limit holds.
struct Nowhere;

impl Probe for Nowhere {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

pub struct Stage {
    scene: Option<Scene>,
    pub governor: Handle<MemoryGovernor>,
    pub janitor: Handle<CacheJanitor>,
    pub host: Handle<ModelHost>,
    pub control: Control,
}

pub struct Setting {
    pub answer: Answer,
    pub config: HostConfig,
    pub memory: Bytes,
    pub card: fn(&mut ModelCard),
    pub resolve: Arc<dyn ResolveModel>,
}

impl Setting {
    pub fn new(answer: Answer) -> Self {
        Self {
            answer,
            config: HostConfig::default(),
            memory: Bytes::mib(64),
            card: |_| {},
            resolve: Arc::new(Everywhere),
        }
    }

    pub fn text(text: &str) -> Self {
        Self::new(Answer::Text(text.to_owned()))
    }

    pub fn config(mut self, change: impl FnOnce(&mut HostConfig)) -> Self {
        change(&mut self.config);
        self
    }

    pub fn memory(mut self, memory: Bytes) -> Self {
        self.memory = memory;
        self
    }

    pub fn card(mut self, card: fn(&mut ModelCard)) -> Self {
        self.card = card;
        self
    }

    pub fn resolve(mut self, resolve: impl ResolveModel) -> Self {
        self.resolve = Arc::new(resolve);
        self
    }

    pub async fn start(self) -> Stage {
        let loader = ScriptedLoader::new(self.answer).with_card(self.card);
        let control = loader.control();
        let (memory, governor) = memory_governor::child(Some(self.memory), Arc::new(Nowhere));
        let (sweeping, janitor) = cache_janitor::child(governor.clone());
        let deps = ModelHostDeps {
            loader: Arc::new(loader),
            resolve: self.resolve,
            governor: governor.clone(),
            janitor: janitor.clone(),
        };
        let ([lanes, embedding, answering], host) = children(self.config, deps);
        let spec = SupervisorSpec::new("root")
            .child(memory)
            .child(sweeping)
            .child(lanes)
            .child(embedding)
            .child(answering);
        let scene = Scene::start(spec).await.unwrap();
        Stage {
            scene: Some(scene),
            governor,
            janitor,
            host,
            control,
        }
    }
}

/// A question of eleven tokens ("user: hello" would be more; text is one token per byte).
pub fn request(id: &str) -> Request {
    Request {
        id: RequestId::new(id),
        model: ModelName::new("m"),
        prompt: Prompt::Text("hello world".to_owned()),
        sampling: Sampling {
            max_tokens: 100,
            ..Sampling::greedy()
        },
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: domain::Tools::default(),
    }
}

pub fn user(text: &str) -> Prompt {
    Prompt::Chat(vec![Message::user(text)])
}

impl Stage {
    pub fn root(&self) -> &RootHandle {
        self.scene.as_ref().unwrap().root()
    }

    /// Takes the scene, to stop it in the test's own way.
    pub fn scene(&mut self) -> Scene {
        self.scene.take().unwrap()
    }

    pub async fn ask(&self, request: Request) -> Result<GenerationStream, GenerationError> {
        generate(&self.host, request).await
    }

    /// A counting question: its own seed, so its own text.
    pub async fn count(&self, seed: u64, tokens: u32) -> GenerationStream {
        self.ask(counting(seed, tokens)).await.unwrap()
    }

    pub async fn ledger(&self) -> LedgerStatus {
        self.governor
            .ask(memory_governor::Status, DEADLINE)
            .await
            .unwrap()
    }

    pub async fn models(&self) -> Vec<ModelStatus> {
        self.host.ask(Status, DEADLINE).await.unwrap().models
    }

    pub async fn kv_leased(&self) -> Bytes {
        self.models().await.iter().map(|m| m.kv_leased).sum()
    }

    /// Waits, in virtual time, until the ledger is as wished.
    pub async fn settle(&self, what: &str, wished: impl Fn(&LedgerStatus) -> bool) {
        for _ in 0..10_000 {
            if wished(&self.ledger().await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {what}: {:?}", self.ledger().await);
    }

    /// Bytes of KV memory kept.
    pub async fn kv_kept(&self) -> Bytes {
        self.models().await.iter().map(|m| m.kv_kept).sum()
    }

    /// Waits until no KV memory is leased but for what is kept; how many prefixes that are.
    pub async fn until_only_kept(&self) -> usize {
        for _ in 0..10_000 {
            let ledger = self.ledger().await;
            let (models, kept) = (self.models().await, self.kv_kept().await);
            let kv = ledger.leases.iter().filter(|l| {
                !l.purpose.starts_with("the weights") && !OTHERS.contains(&&*l.purpose)
            });
            if kv.map(|l| l.bytes).sum::<Bytes>() == kept && self.kv_leased().await == Bytes::ZERO {
                return models.iter().map(|m| m.prefixes).sum();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never without KV leases: {:?}", self.ledger().await);
    }

    /// Nothing may be left: no sequence, no KV lease but for what is kept, and what is kept is what the engines keep;
    /// after the stop no engine, nothing kept and no lease at all.
    pub async fn close(self) {
        let kept = self.until_only_kept().await;
        let counts = self.control.counts();
        assert_eq!(counts.open_now(), 0, "sequences left open: {counts:?}");
        assert_eq!(counts.kept_now(), kept as u64, "{counts:?}");
        let control = self.control.clone();
        let mut stage = self;
        let report = stage.scene().stop().await;
        assert_eq!(report.abandoned, []);
        let counts = control.wait_until(|counts| counts.engines == 0).await;
        assert_eq!(counts.kept_now(), 0, "{counts:?}");
    }
}

pub fn counting(seed: u64, tokens: u32) -> Request {
    let mut request = request(&format!("count-{seed}"));
    request.sampling.seed = seed;
    request.sampling.max_tokens = tokens;
    request
}

/// What a reader heard.
#[derive(Debug, Default)]
pub struct Heard {
    pub events: Vec<GenerationEvent>,
    pub text: String,
}

impl Heard {
    pub fn end(&self) -> &GenerationEvent {
        self.events.last().expect("a stream never ends silently")
    }

    pub fn finished(&self) -> (FinishReason, Usage) {
        match self.end() {
            GenerationEvent::Finished { reason, usage } => (*reason, *usage),
            other => panic!("not finished: {other:?} after {:?}", self.text),
        }
    }

    pub fn failed(&self) -> &GenerationError {
        match self.end() {
            GenerationEvent::Failed(error) => error,
            other => panic!("not failed: {other:?}"),
        }
    }
}

/// Reads to the end and checks what holds for every stream.
pub async fn hear(mut stream: GenerationStream) -> Heard {
    let mut heard = Heard::default();
    while let Some(event) = stream.next().await {
        note(&mut heard, event);
    }
    let ends = heard.events.iter().filter(|e| e.is_terminal()).count();
    assert_eq!(ends, 1, "{:?}", heard.events);
    assert!(heard.end().is_terminal());
    heard
}

pub fn note(heard: &mut Heard, event: GenerationEvent) {
    match &event {
        GenerationEvent::Text(text) => {
            assert!(!text.is_empty(), "empty text is nothing to say");
            heard.text.push_str(text);
        }
        GenerationEvent::ToolCall(_)
        | GenerationEvent::Logprobs(_)
        | GenerationEvent::Finished { .. }
        | GenerationEvent::Failed(_) => {}
        progress => assert!(heard.text.is_empty(), "{progress:?} after text"),
    }
    heard.events.push(event);
}

/// Reads until `tokens` words were heard.
pub async fn hear_words(stream: &mut GenerationStream, heard: &mut Heard, words: usize) {
    while heard.text.split_whitespace().count() < words {
        let event = stream.next().await.expect("the answer goes on");
        assert!(!event.is_terminal(), "{event:?}");
        note(heard, event);
    }
}
