//! A whole tree with a scripted model: governor, model host, conversations. On a paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests: what is broken should fail the test at once"
)]

pub mod acted;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cache_janitor::CacheJanitor;
use domain::{ConversationId, ModelName, Sampling, TurnEvent};
use engine::ModelSource;
use futures_util::StreamExt;
use kameo::message::{Context, Message};
use memory_governor::{FileProbe, GovernorConfig};
use model_host::{HostConfig, ModelHostDeps, ResolveModel};
use paraphym_agent_worker::{Agents, Config, TurnSettings, TurnStream, Window};
use supervision::{ChildInfo, Events, Handle, RootHandle, SupervisorSpec, start_root};
use testkit::scripted::{Answer, Control, ScriptedLoader};

/// Finds every model at once.
struct Anywhere;

impl ResolveModel for Anywhere {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let path = PathBuf::from(model.as_str());
        Ok(ModelSource { path })
    }
}

pub struct Scene {
    pub agents: Agents,
    pub janitor: Handle<CacheJanitor>,
    pub workers: paraphym_agent_worker::Workers,
    pub control: Control,
    pub root: RootHandle,
}

impl Scene {
    pub async fn start(answer: Answer, config: Config) -> Self {
        let loader = ScriptedLoader::new(answer).with_card(|card| card.context_tokens = 4096);
        let control = loader.control();
        // Nobody here looks at the machine: days pass in these tests.
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
        let ([lanes, embedding, host], handle) = model_host::children(HostConfig::default(), deps);
        let (children, workers) = paraphym_agent_worker::children(&config);
        let mut spec = SupervisorSpec::new("root")
            .child(governor)
            .child(janitor_spec)
            .child(lanes)
            .child(embedding)
            .child(host);
        for child in children {
            spec = spec.child(child);
        }
        let agents = Agents::new(workers.clone(), handle, config);
        let spec = spec.child(agents.keeper(janitor.clone()));
        let root = start_root(spec, Events::with_seed(1)).await.unwrap();
        Self {
            agents,
            janitor,
            workers,
            control,
            root,
        }
    }

    pub async fn ask(&self, text: &str, settings: TurnSettings) -> TurnStream {
        self.agents.ask(&id(), text, settings).await.unwrap()
    }

    /// What was said and answered so far, as `role: content`.
    pub async fn history(&self) -> Vec<String> {
        let history = self.agents.history(&id()).await.unwrap();
        history
            .iter()
            .map(|m| format!("{}: {}", m.role, m.content))
            .collect()
    }

    pub async fn worker(&self) -> Option<ChildInfo> {
        self.workers
            .supervisor()
            .which_children()
            .await
            .into_iter()
            .next()
    }

    pub async fn handle(&self) -> Handle<paraphym_agent_worker::AgentWorker> {
        self.agents.conversation(&id()).await.unwrap()
    }

    /// Nothing of the tree is left, and nothing of the model's memory is in use.
    pub async fn end(self) {
        let report = self.root.stop(Duration::from_mins(1)).await;
        assert_eq!(report.abandoned, []);
        assert_eq!(self.control.counts().open_now(), 0);
    }
}

pub fn id() -> ConversationId {
    ConversationId::new("c1")
}

/// At most `max_tokens`, counting from `seed` where the model counts.
pub fn settings(seed: u64, max_tokens: u32) -> TurnSettings {
    TurnSettings {
        sampling: Sampling {
            seed,
            max_tokens,
            ..Sampling::greedy()
        },
        context: Window::Refuse,
        ..TurnSettings::new(ModelName::new("scripted"))
    }
}

/// Everything that was said, and the last event, of which there is exactly one.
pub async fn hear(stream: TurnStream) -> (String, TurnEvent) {
    let events: Vec<TurnEvent> = StreamExt::collect(stream).await;
    let terminal = events.iter().filter(|event| event.is_terminal()).count();
    assert_eq!(terminal, 1, "{events:?}");
    let mut said = String::new();
    for event in &events {
        if let TurnEvent::Text(text) = event {
            said.push_str(text);
        }
    }
    (said, events.last().cloned().unwrap())
}

/// Reads up to the first text.
pub async fn first_text(stream: &mut TurnStream) -> String {
    loop {
        match stream.next().await {
            Some(TurnEvent::Text(text)) => return text,
            Some(event) if !event.is_terminal() => {}
            other => panic!("ended before it said anything: {other:?}"),
        }
    }
}

/// A message that the worker's handler does not survive.
pub struct Boom;

impl Message<Boom> for paraphym_agent_worker::AgentWorker {
    type Reply = ();

    async fn handle(&mut self, _: Boom, _: &mut Context<Self, ()>) {
        panic!("boom");
    }
}
