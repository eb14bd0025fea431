//! A tree in which everything but the conversations is played: the model says what a script says, the tools do what a test
//! wants, and the store is a file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests: what is broken should fail the test at once"
)]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conversation_store::{ConversationStore, StoreConfig};
use domain::{
    Approval, ConversationId, FinishReason, GenerationError, GenerationEvent, ModelName, Prompt,
    ToolCall, ToolCallId, ToolSpec, TurnEvent, Usage,
};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use model_host::Request;
use paraphym_agent_worker::models::{Answer, Models};
use paraphym_agent_worker::tool_rack::ToolRack;
use paraphym_agent_worker::{Agents, Approvals, Config, ToolFilter, TurnSettings, TurnStream};
use serde_json::Value;
use supervision::{Events, Handle, RootHandle, SupervisorSpec, start_root};
use tokio::sync::Notify;
use toolbox::{Tool, ToolContext, ToolError, ToolFuture, ToolOutput, Toolbox};

/// How a text begins that is said to a running turn.
pub const MEANWHILE: &str = "and ";

/// What the model says to one request; the number of the script's line is the number of results and answers it is shown of
/// this turn, so that a repeated request is answered the same.
#[derive(Clone, Debug)]
pub enum Line {
    Text(&'static str),
    Call(&'static str, &'static str),
    /// Says nothing for ever.
    Hang,
    Fail(GenerationError),
}

/// The model of a script.
#[derive(Clone, Default)]
pub struct Script {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    lines: Mutex<Vec<Vec<Line>>>,
    asked: Mutex<Vec<Request>>,
    /// Answers whose streams live.
    open: AtomicU64,
}

impl Script {
    pub fn new(answers: impl IntoIterator<Item = Vec<Line>>) -> Self {
        let script = Self::default();
        *script.inner.lines.lock().unwrap() = answers.into_iter().collect();
        script
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Request> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// What the model was shown with the request of this number, from 0, as `role: content`.
    pub fn shown(&self, number: usize) -> Vec<String> {
        let asked = self.asked();
        let Prompt::Chat(messages) = &asked.get(number).expect("so many requests").prompt else {
            panic!("a chat");
        };
        messages
            .iter()
            .map(|m| format!("{}: {}", m.role, m.content))
            .collect()
    }

    pub fn open(&self) -> u64 {
        self.inner.open.load(Ordering::SeqCst)
    }
}

struct Open(Arc<Inner>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Models for Script {
    fn generate(&self, request: Request) -> BoxFuture<'static, Result<Answer, GenerationError>> {
        let Prompt::Chat(messages) = &request.prompt else {
            panic!("a chat");
        };
        let turn = messages
            .iter()
            .rposition(|m| m.role == domain::Role::User && !m.content.starts_with(MEANWHILE))
            .unwrap();
        let at = messages
            .iter()
            .skip(turn)
            .filter(|m| m.role == domain::Role::Assistant)
            .count();
        let lines = self
            .inner
            .lines
            .lock()
            .unwrap()
            .get(at)
            .cloned()
            .unwrap_or_default();
        self.inner.asked.lock().unwrap().push(request);
        self.inner.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&self.inner));
        let mut events: VecDeque<Option<GenerationEvent>> = VecDeque::new();
        let mut reason = FinishReason::Stop;
        let mut said = 0;
        for (at, line) in lines.into_iter().enumerate() {
            match line {
                Line::Text(text) => {
                    for word in text.split_inclusive(' ') {
                        said += 1;
                        events.push_back(Some(GenerationEvent::Text(word.to_owned())));
                    }
                }
                Line::Call(name, arguments) => {
                    reason = FinishReason::ToolCalls;
                    events.push_back(Some(GenerationEvent::ToolCall(ToolCall {
                        id: ToolCallId::new(format!("raw-{at}")),
                        name: name.to_owned(),
                        arguments: arguments.to_owned(),
                    })));
                }
                Line::Hang => events.push_back(None),
                Line::Fail(error) => events.push_back(Some(GenerationEvent::Failed(error))),
            }
        }
        let usage = Usage {
            prompt_tokens: 10,
            cached_tokens: 0,
            completion_tokens: said,
        };
        events.push_back(Some(GenerationEvent::Finished { reason, usage }));
        let answer = stream::unfold((events, open), |(mut events, open)| async move {
            // One event a millisecond: things happen one after the other.
            tokio::time::sleep(Duration::from_millis(1)).await;
            match events.pop_front()? {
                Some(event) => Some((event, (events, open))),
                None => std::future::pending().await,
            }
        });
        async move { Ok(answer.boxed()) }.boxed()
    }
}

/// What a played tool does.
#[derive(Clone, Debug)]
pub enum Does {
    /// Answers after so long.
    Answer(&'static str, Duration),
    Fail,
    Hang,
    /// So many bytes.
    Flood(usize),
    Panic,
}

/// A played tool. It counts.
pub struct Played {
    spec: ToolSpec,
    does: Does,
    idempotent: bool,
    pub counts: Arc<Counts>,
}

#[derive(Debug, Default)]
pub struct Counts {
    pub begun: AtomicU64,
    /// Calls that live.
    pub open: AtomicI64,
    /// The most that lived at the same time.
    pub most: AtomicI64,
    pub cancelled: AtomicU64,
    pub began: Notify,
}

impl Played {
    pub fn new(name: &str, does: Does) -> Self {
        Self {
            spec: ToolSpec {
                name: name.to_owned(),
                description: "it is played".to_owned(),
                parameters: Arc::from(r#"{"type":"object"}"#),
            },
            does,
            idempotent: false,
            counts: Arc::default(),
        }
    }

    pub fn counted(mut self, counts: &Arc<Counts>) -> Self {
        self.counts = Arc::clone(counts);
        self
    }

    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }
}

struct Living(Arc<Counts>, tokio_util::sync::CancellationToken);

impl Drop for Living {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        if self.1.is_cancelled() {
            self.0.cancelled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Tool for Played {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, _: Value, context: ToolContext) -> ToolFuture<'_> {
        let counts = Arc::clone(&self.counts);
        counts.begun.fetch_add(1, Ordering::SeqCst);
        let open = counts.open.fetch_add(1, Ordering::SeqCst) + 1;
        counts.most.fetch_max(open, Ordering::SeqCst);
        counts.began.notify_one();
        let living = Living(counts, context.cancelled);
        async move {
            let _living = living;
            match &self.does {
                Does::Answer(text, after) => {
                    tokio::time::sleep(*after).await;
                    Ok(ToolOutput::new(*text))
                }
                Does::Fail => Err(ToolError::failed(&self.spec.name, "it does not want to")),
                Does::Hang => std::future::pending().await,
                Does::Flood(bytes) => Ok(ToolOutput::new("x".repeat(*bytes))),
                Does::Panic => panic!("a played panic"),
            }
        }
        .boxed()
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn is_idempotent(&self) -> bool {
        self.idempotent
    }
}

pub struct Play {
    pub agents: Agents,
    pub script: Script,
    pub store: Option<Handle<ConversationStore>>,
    pub root: RootHandle,
}

fn wall() -> i64 {
    1_700_000_000_000
}

impl Play {
    /// Without a store.
    pub async fn start(script: &Script, tools: Vec<Played>) -> Self {
        Self::with(script, tools, None, wall()).await
    }

    /// With the store at `file`; `epoch` is when this process began.
    pub async fn with(
        script: &Script,
        tools: Vec<Played>,
        file: Option<&Path>,
        epoch: i64,
    ) -> Self {
        let config = Config {
            crashes_per_minute: 10_000,
            ..Config::default()
        };
        let mut spec = SupervisorSpec::new("root");
        let mut store = None;
        if let Some(file) = file {
            let archive = conversation_store::client::open(StoreConfig::at(file), epoch)
                .await
                .unwrap();
            let clock = Arc::new(testkit_clock());
            let (child, handle) = conversation_store::child(archive, None, clock);
            spec = spec.child(child);
            store = Some(handle);
        }
        let (children, workers) = paraphym_agent_worker::children(&config);
        for child in children {
            spec = spec.child(child);
        }
        let toolbox = Toolbox::new(
            tools
                .into_iter()
                .map(|tool| Arc::new(tool) as Arc<dyn Tool>),
        )
        .unwrap();
        let mut agents = Agents::answered_by(workers, Arc::new(script.clone()), config)
            .with_tools(ToolRack::new(toolbox, Vec::new()));
        if let Some(store) = &store {
            agents = agents.with_store(store.clone(), Arc::new(move || epoch));
        }
        let root = start_root(spec, Events::with_seed(1)).await.unwrap();
        let script = script.clone();
        Self {
            agents,
            script,
            store,
            root,
        }
    }

    pub async fn ask(&self, text: &str, settings: TurnSettings) -> TurnStream {
        self.agents.ask(&id(), text, settings).await.unwrap()
    }

    pub async fn crash(&self) {
        let worker = self.agents.conversation(&id()).await.unwrap();
        let crashed = worker.ask(super::Boom, Duration::from_mins(1)).await;
        assert!(
            matches!(crashed, Err(supervision::AskError::Crashed { .. })),
            "{crashed:?}"
        );
    }

    pub async fn history(&self) -> Vec<String> {
        let history = self.agents.history(&id()).await.unwrap();
        history
            .iter()
            .map(|m| format!("{}: {}", m.role, m.content))
            .collect()
    }

    pub async fn end(self) {
        let report = self.root.stop(Duration::from_mins(1)).await;
        assert_eq!(report.abandoned, []);
        assert_eq!(self.script.open(), 0);
    }
}

fn testkit_clock() -> runtime::clock::CoarseClock {
    runtime::clock::CoarseClock::default()
}

pub fn id() -> ConversationId {
    ConversationId::new("c1")
}

/// All tools, at once.
pub fn settings() -> TurnSettings {
    TurnSettings {
        tools: ToolFilter::All,
        approvals: Approvals {
            rule: Approval::Auto,
            ..Approvals::default()
        },
        ..TurnSettings::new(ModelName::new("scripted"))
    }
}

/// Everything that happens, to the end.
pub async fn all(stream: TurnStream) -> Vec<TurnEvent> {
    let events: Vec<TurnEvent> = StreamExt::collect(stream).await;
    assert_eq!(events.iter().filter(|event| event.is_terminal()).count(), 1);
    events
}

pub fn text(events: &[TurnEvent]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        TurnEvent::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
