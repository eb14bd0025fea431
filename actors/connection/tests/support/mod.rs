//! A tree with a scripted model, rooms and connections, and clients that speak over channels. On a paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    unreachable_pub,
    reason = "helpers of tests; not every test file uses all of them"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_worker::{Agents, Config, TurnSettings, Window};
use domain::{ConversationId, FieldError, ModelName, Sampling, UserId};
use engine::ModelSource;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use memory_governor::{FileProbe, GovernorConfig};
use model_host::{HostConfig, ModelHostDeps, ResolveModel};
use paraphym_connection::wire::room::ConversationLine;
use paraphym_connection::wire::{CloseCode, client::ClientFrame};
use paraphym_connection::{
    Admission, Admitted, Connections, Deps, Free, Gone, History, Incoming, Limits, Outgoing, Part,
    Refused, Said, Seats, Transport, TreeFeed, children,
};
use room::{Entry, Record, Speaker};
use serde_json::Value;
use supervision::{Handle, SupervisorSpec};
use testkit::scene::Scene;
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::sync::mpsc;
use typing::Typing;

pub const JOIN: &str = r#"{"op":"join","conversation":"c"}"#;
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Finds every model at once.
struct Anywhere;

impl ResolveModel for Anywhere {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let path = PathBuf::from(model.as_str());
        Ok(ModelSource { path })
    }
}

/// One thing was said in every conversation.
struct OneMessage;

impl History for OneMessage {
    fn messages(
        &self,
        conversation: ConversationId,
        part: Part,
    ) -> BoxFuture<'static, Result<Said, String>> {
        let said = Entry {
            number: 1,
            speaker: Speaker::Person,
            by: None,
            nonce: None,
            text: format!("welcome to {conversation}").into(),
            html: None,
            at_ms: 1,
            turn: None,
        };
        let entries = (part.after < 1).then_some(said).into_iter().collect();
        Box::pin(async move {
            match conversation.as_str() {
                "broken" => Err("the disk is gone".to_owned()),
                _ => Ok(Said {
                    entries,
                    after: part.after,
                    last: 1,
                }),
            }
        })
    }

    fn conversations(&self) -> BoxFuture<'static, Result<Vec<ConversationLine>, String>> {
        let line = ConversationLine {
            conversation: "c".into(),
            title: "welcome".into(),
            messages: 1,
            changed_ms: 1,
        };
        Box::pin(async move { Ok(vec![line]) })
    }
}

pub struct Stage {
    pub scene: Scene,
    pub connections: Connections,
    pub typing: Handle<Typing>,
    pub control: Control,
    pub tree: TreeFeed,
}

impl Stage {
    pub async fn start(answer: Answer) -> Self {
        Self::with(answer, Limits::default(), Seats::default()).await
    }

    pub async fn with(answer: Answer, limits: Limits, seats: Seats) -> Self {
        Self::over(answer, limits, seats, Arc::new(OneMessage), None).await
    }

    /// The same over what was said there, and what is written down of answers.
    pub async fn over(
        answer: Answer,
        limits: Limits,
        seats: Seats,
        history: Arc<dyn History>,
        record: Option<Arc<dyn Record>>,
    ) -> Self {
        let loader = ScriptedLoader::new(answer).with_card(|card| card.context_tokens = 4096);
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
        let config = Config::default();
        let (workers_spec, workers) = agent_worker::children(&config);
        let agents = Agents::new(workers, host, config);
        let (typing_spec, typing) = typing::child(typing::EXPIRY).unwrap();
        let keeper = agents.keeper(janitor.clone());
        let drain = Duration::from_secs(30);
        let (answers, rooms) = room::rooms(agents, typing.clone(), Arc::new(|| 1), drain);
        let rooms = match record {
            Some(record) => rooms.with_record(record),
            None => rooms,
        };
        let tree = TreeFeed::default();
        let deps = Deps {
            rooms,
            typing: typing.clone(),
            history,
            settings: Arc::new(settings),
            tree: tree.clone(),
            clock: Arc::new(|| 1),
            limits,
            joined: 4,
        };
        let (connections_spec, instances) = children();
        let number = AtomicU64::new(0);
        let ids = move || format!("id-{}", number.fetch_add(1, Ordering::Relaxed));
        let connections = Connections::new(instances, deps, seats, Arc::new(ids), 1 << 18);
        let rest = models.into_iter().chain(workers_spec);
        let rest = rest.chain([keeper, typing_spec, answers, connections_spec]);
        let first = SupervisorSpec::new("root")
            .child(governor)
            .child(janitor_spec);
        let spec = rest.fold(first, SupervisorSpec::child);
        let scene = Scene::start(spec).await.unwrap();
        Self {
            scene,
            connections,
            typing,
            control,
            tree,
        }
    }

    /// A client that has just connected.
    pub fn connect(&self) -> Client {
        self.connect_to(Box::new(admission))
    }

    /// The same, where others are let in.
    pub fn connect_to(&self, admission: Box<Admission>) -> Client {
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
        let connections = self.connections.clone();
        let greeting = async move { connections.greet(transport, &*admission).await };
        Client {
            to,
            from,
            greeting: tokio::task::JoinSet::from_iter([greeting]),
            seq: 0,
        }
    }

    /// A client that has said who it is.
    pub async fn client(&self, user: &str) -> (Client, Value) {
        let mut client = self.connect();
        client.expect("hello").await;
        client
            .say(&format!(r#"{{"op":"identify","user":"{user}"}}"#))
            .await;
        let ready = client.expect("ready").await;
        (client, ready)
    }

    /// One that shows the conversation, too.
    pub async fn viewer(&self, user: &str) -> (Client, Value) {
        let (mut client, ready) = self.client(user).await;
        client.say(JOIN).await;
        client.expect("room").await;
        (client, ready)
    }

    /// Nothing of the tree is left, and nothing of the model's memory is in use.
    pub async fn end(self) {
        let report = self.scene.stop().await;
        assert_eq!(report.abandoned, []);
        assert_eq!(self.control.counts().open_now(), 0);
        assert_eq!(self.connections.count(), 0);
    }
}

/// A name lets in; a token has to be the right one.
fn admission(token: Option<&str>, user: Option<&str>) -> Result<Admitted, Refused> {
    match token {
        None | Some("right") => Ok(Admitted {
            user: UserId::new(user.unwrap_or("guest")),
            proven: token.is_some(),
            pass: Arc::new(Free),
        }),
        Some(_) => Err(Refused("this token is not known: make one".to_owned())),
    }
}

fn settings(model: Option<&str>, temperature: Option<f32>) -> Result<TurnSettings, FieldError> {
    if model == Some("nobody") {
        return Err(FieldError::new("model", "nobody", "scripted"));
    }
    Ok(TurnSettings {
        sampling: Sampling {
            seed: 0,
            max_tokens: 50,
            temperature: temperature.unwrap_or(0.0),
            ..Sampling::greedy()
        },
        context: Window::Refuse,
        ..TurnSettings::new(ModelName::new("scripted"))
    })
}

/// The other end.
pub struct Client {
    pub to: mpsc::Sender<Incoming>,
    pub from: mpsc::Receiver<Outgoing>,
    greeting: tokio::task::JoinSet<()>,
    /// The last number it has.
    pub seq: u64,
}

impl Client {
    pub async fn say(&self, text: &str) {
        self.to.send(Incoming::Text(text.to_owned())).await.unwrap();
    }

    /// The next frame, whose number has to be the next one; nothing when it was cut.
    pub async fn next(&mut self) -> Option<Result<Value, CloseCode>> {
        match self.from.recv().await? {
            Outgoing::Close(code) => Some(Err(code)),
            Outgoing::Text(text) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if let Some(seq) = frame["seq"].as_u64() {
                    assert_eq!(seq, self.seq + 1, "a frame is missing or doubled: {frame}");
                    self.seq = seq;
                }
                Some(Ok(frame))
            }
        }
    }

    /// Reads on to the next frame of that op.
    pub async fn expect(&mut self, op: &str) -> Value {
        loop {
            match self.next().await {
                Some(Ok(frame)) if frame["op"] == op => return frame,
                Some(Ok(_)) => {}
                other => panic!("expected {op}, heard {other:?}"),
            }
        }
    }

    /// Reads on to the close.
    pub async fn closed(&mut self) -> CloseCode {
        loop {
            match self.next().await {
                Some(Ok(_)) => {}
                Some(Err(code)) => return code,
                None => panic!("it was cut without a word"),
            }
        }
    }

    /// Reads an answer to its end: its text, each piece where the one before ended.
    pub async fn answer(&mut self, known: &str) -> (String, Value) {
        let mut text = known.to_owned();
        loop {
            let frame = self.next().await.unwrap().unwrap();
            match frame["op"].as_str().unwrap() {
                "delta" => {
                    let at = frame["at"].as_u64().unwrap();
                    assert_eq!(at, text.chars().count() as u64, "a piece is missing");
                    text.push_str(frame["text"].as_str().unwrap());
                }
                "ended" => return (text, frame),
                _ => {}
            }
        }
    }

    pub fn resume(ready: &Value, seq: u64) -> String {
        let frame = ClientFrame::Resume {
            session: ready["session"].as_str().unwrap().to_owned(),
            epoch: ready["epoch"].as_str().unwrap().to_owned(),
            seq,
            token: None,
        };
        serde_json::to_string(&frame).unwrap()
    }
}
