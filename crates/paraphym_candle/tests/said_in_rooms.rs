//! What was said in rooms, and what is shown of it behind the end of a process: over a real archive, with a scripted model. On a
//! paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_worker::{Agents, Config, TurnSettings, Window};
use connection::{
    Admitted, Connections, Deps, Free, Gone, Incoming, Limits, Outgoing, Refused, Seats, Transport,
};
use conversation_store::messages::{BeginTurn, ReadNewest};
use conversation_store::{ConversationStore, client};
use domain::{ConversationId, FieldError, Message, ModelName, RequestId, Sampling, UserId};
use engine::ModelSource;
use futures_util::{StreamExt, stream};
use memory_governor::{FileProbe, GovernorConfig};
use model_host::{HostConfig, ModelHostDeps, ResolveModel};
use paraphym_candle::Said;
use room::Record;
use runtime::CoarseClock;
use serde_json::{Value, json};
use supervision::{Handle, SupervisorSpec};
use testkit::scene::Scene;
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::sync::mpsc;

use crate::said::{ANSWER, asked, end, opened, turn};

struct Anywhere;

impl ResolveModel for Anywhere {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let path = PathBuf::from(model.as_str());
        Ok(ModelSource { path })
    }
}

/// One process: a tree with rooms, connections and an archive.
struct Process {
    scene: Scene,
    connections: Connections,
    store: Handle<ConversationStore>,
    control: Control,
}

#[allow(clippy::unnecessary_wraps, reason = "as a connection asks for it")]
fn settings(_: Option<&str>, _: Option<f32>) -> Result<TurnSettings, FieldError> {
    Ok(TurnSettings {
        sampling: Sampling {
            seed: 0,
            max_tokens: 50,
            ..Sampling::greedy()
        },
        context: Window::Refuse,
        ..TurnSettings::new(ModelName::new("scripted"))
    })
}

impl Process {
    async fn start(file: &Path, started_ms: i64) -> Self {
        let answer = Answer::Text(ANSWER.to_owned());
        let loader = ScriptedLoader::new(answer).with_card(|card| card.context_tokens = 4096);
        let control = loader.control();
        let memory = GovernorConfig {
            limit: None,
            poll: Duration::from_hours(10_000),
        };
        let (governor, memory) = memory_governor::child_with(memory, Arc::new(FileProbe));
        let (janitor_spec, janitor) = cache_janitor::child(memory.clone());
        let archive = opened(Some(file)).await;
        let clock = Arc::new(CoarseClock::default());
        let (store_spec, store) = conversation_store::child(archive, Some(janitor.clone()), clock);
        let deps = ModelHostDeps {
            loader: Arc::new(loader),
            resolve: Arc::new(Anywhere),
            governor: memory,
            janitor: janitor.clone(),
        };
        let (models, host) = model_host::children(HostConfig::default(), deps);
        let config = Config::default();
        let (workers_spec, workers) = agent_worker::children(&config);
        let wall: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(move || started_ms);
        let agents = Agents::new(workers, host, config).with_store(store.clone(), wall.clone());
        let keeper = agents.keeper(janitor);
        let (typing_spec, typing) = typing::child(typing::EXPIRY).unwrap();
        let drain = Duration::from_secs(30);
        let (answers, rooms) = room::rooms(agents, typing.clone(), wall.clone(), drain);
        let said = Arc::new(Said::new(store.clone()));
        let deps = Deps {
            rooms: rooms.with_record(said.clone()),
            typing,
            history: said,
            settings: Arc::new(settings),
            tree: connection::TreeFeed::default(),
            clock: wall,
            limits: Limits::default(),
            joined: 4,
        };
        let (connections_spec, instances) = connection::children();
        let number = AtomicU64::new(0);
        let ids = move || format!("{started_ms}-{}", number.fetch_add(1, Ordering::Relaxed));
        let seats = Seats::default();
        let connections = Connections::new(instances, deps, seats, Arc::new(ids), 1 << 18);
        let rest = models.into_iter().chain(workers_spec);
        let rest = rest.chain([keeper, typing_spec, answers, connections_spec]);
        let first = SupervisorSpec::new("root")
            .child(governor)
            .child(janitor_spec)
            .child(store_spec);
        let spec = rest.fold(first, SupervisorSpec::child);
        let scene = Scene::start(spec).await.unwrap();
        Self {
            scene,
            connections,
            store,
            control,
        }
    }

    /// Somebody who has said who they are, and has come into the conversation behind what they know.
    async fn viewer(&self, user: &str, after: Option<u64>) -> (Client, Value) {
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
        let greeting = async move {
            let admission = |_: Option<&str>, user: Option<&str>| -> Result<Admitted, Refused> {
                Ok(Admitted {
                    user: UserId::new(user.unwrap_or("guest")),
                    proven: false,
                    pass: Arc::new(Free),
                })
            };
            connections.greet(transport, &admission).await;
        };
        let greeting = tokio::task::JoinSet::from_iter([greeting]);
        let mut client = Client {
            to,
            from,
            _greeting: greeting,
        };
        client.expect("hello").await;
        client.say(json!({"op": "identify", "user": user})).await;
        client.expect("ready").await;
        client
            .say(json!({"op": "join", "conversation": "c", "after": after}))
            .await;
        let room = client.expect("room").await;
        (client, room)
    }

    /// What the store holds of the conversation: numbers and texts.
    async fn held(&self) -> Vec<(u64, String)> {
        let all = ReadNewest {
            conversation: ConversationId::new("c"),
            after: 0,
            before: None,
            limit: 1000,
            bytes: 1 << 20,
        };
        let all = client::ask(&self.store, all).await.unwrap().messages;
        let one = |one: conversation_store::messages::Attributed| {
            (one.stored.number, one.stored.message.content)
        };
        all.into_iter().map(one).collect()
    }

    async fn end(self) {
        end(self.scene).await;
        assert_eq!(self.control.counts().open_now(), 0);
    }
}

struct Client {
    to: mpsc::Sender<Incoming>,
    from: mpsc::Receiver<Outgoing>,
    _greeting: tokio::task::JoinSet<()>,
}

/// What a page knows of a conversation: the live text of each turn, then what took its place.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    pieces: String,
    kept: Vec<(u64, String)>,
    nonces: Vec<Value>,
    last: u64,
}

impl Seen {
    fn take(&mut self, messages: &Value) {
        for one in messages.as_array().unwrap() {
            let number = one["number"].as_u64().unwrap();
            let known = self.kept.iter().any(|(known, _)| *known == number);
            assert!(!known, "{number} was shown twice");
            self.kept
                .push((number, one["text"].as_str().unwrap().to_owned()));
        }
    }
}

impl Client {
    async fn say(&self, frame: Value) {
        self.to
            .send(Incoming::Text(frame.to_string()))
            .await
            .unwrap();
    }

    async fn ask(&self, nonce: &str) {
        self.say(json!({"op": "say", "conversation": "c", "text": nonce, "nonce": nonce}))
            .await;
    }

    async fn next(&mut self) -> Value {
        match self.from.recv().await {
            Some(Outgoing::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn expect(&mut self, op: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["op"] == op {
                return frame;
            }
        }
    }

    /// Looks on until an answer has ended and what was written down of it has come.
    async fn look(&mut self, seen: &mut Seen) -> Value {
        seen.pieces.clear();
        let mut ending = None;
        loop {
            let frame = self.next().await;
            match frame["op"].as_str().unwrap() {
                "delta" => {
                    let at = seen.pieces.chars().count();
                    assert_eq!(frame["at"], at, "a piece is missing");
                    seen.pieces.push_str(frame["text"].as_str().unwrap());
                }
                "ended" => ending = Some(frame["ending"].clone()),
                "kept" => {
                    let before = frame["before"].as_u64().unwrap();
                    assert!(before <= seen.last, "something is missing before {frame}");
                    seen.take(&frame["messages"]);
                    seen.last = seen.last.max(frame["last"].as_u64().unwrap());
                    seen.nonces.push(frame["nonce"].clone());
                    return ending.expect("it ends before it is told what was written down");
                }
                _ => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_see_the_same_then_the_same_numbers_and_after_a_restart_nothing_is_missing_or_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.db");
    let process = Process::start(&file, 1_000).await;
    let (mut ann, room) = process.viewer("ann", None).await;
    assert_eq!((&room["messages"], &room["last"]), (&json!([]), &json!(0)));
    let (mut bob, _) = process.viewer("bob", None).await;
    let (mut of_ann, mut of_bob) = (Seen::default(), Seen::default());

    // A whole answer.
    ann.ask("one").await;
    let (how, same) = tokio::join!(ann.look(&mut of_ann), bob.look(&mut of_bob));
    assert_eq!((&how["how"], &how), (&json!("finished"), &same));
    assert_eq!((&of_ann, of_ann.pieces.as_str()), (&of_bob, ANSWER));
    assert_eq!(of_ann.kept, [(1, "one".into()), (2, ANSWER.into())]);

    // One that the other stops in the middle: what was said of it is written down.
    let step = process.control.counts().steps + 4;
    let gate = process.control.gate_step(step);
    bob.ask("two").await;
    process
        .control
        .wait_until(|counts| counts.steps >= step)
        .await;
    ann.say(json!({"op": "stop", "conversation": "c"})).await;
    let how = bob.look(&mut of_bob).await;
    gate.release();
    assert_eq!(how["how"], "stopped");
    assert!(!of_bob.pieces.is_empty() && of_bob.pieces.len() < ANSWER.len());
    assert_eq!(
        of_bob.kept[2..],
        [(3, "two".into()), (4, of_bob.pieces.clone())]
    );
    assert_eq!(of_bob.nonces, ["one", "two"]);
    assert_eq!(of_bob.kept, process.held().await);

    // The process ends, and another one has the same archive. Ann has seen the first answer alone.
    drop((ann, bob));
    process.end().await;
    let process = Process::start(&file, 2_000).await;
    let (mut ann, room) = process.viewer("ann", Some(of_ann.last)).await;
    assert_eq!((&room["after"], &room["last"]), (&json!(2), &json!(4)));
    of_ann.take(&room["messages"]);
    of_ann.last = 4;
    assert_eq!(of_ann.kept, process.held().await);
    assert_eq!(room["messages"][0]["user"], "bob", "who asked is at rest");
    assert_eq!(room["messages"][0]["nonce"], "two");

    // It goes on where it was; Bob, who knows all, hears of the new alone.
    let (mut bob, room) = process.viewer("bob", Some(of_bob.last)).await;
    assert_eq!((&room["messages"], &room["after"]), (&json!([]), &json!(4)));
    bob.ask("three").await;
    tokio::join!(ann.look(&mut of_ann), bob.look(&mut of_bob));
    assert_eq!(of_ann.kept[4..], [(5, "three".into()), (6, ANSWER.into())]);
    assert_eq!(
        (&of_ann.kept, &of_bob.kept),
        (&of_bob.kept, &process.held().await)
    );

    // Whoever comes new sees all of it.
    let (carl, room) = process.viewer("carl", None).await;
    let mut of_carl = Seen::default();
    of_carl.take(&room["messages"]);
    assert_eq!((&of_carl.kept, &room["after"]), (&of_ann.kept, &json!(0)));
    assert_eq!(
        room["messages"][1]["html"],
        "<p>Hello <em>dear</em> world</p>\n"
    );
    drop((ann, bob, carl));
    process.end().await;
}

/// A process takes a question, and dies before it is answered; what was said since then, if anything.
async fn dies_with_a_question(file: &Path, since: &[&str]) {
    let archive = opened(Some(file)).await;
    let (spec, store) = conversation_store::child(archive, None, Arc::new(CoarseClock::default()));
    let scene = Scene::start(SupervisorSpec::new("root").child(spec)).await;
    let left = BeginTurn {
        conversation: ConversationId::new("c"),
        turn: RequestId::new("c/turn-500-r1"),
        user: Message::user("why?"),
        now_ms: 5,
    };
    client::ask(&store, left).await.unwrap();
    let said = Said::new(store.clone());
    said.begun(asked("c/turn-500-r1")).await.unwrap();
    for later in since {
        turn(&store, "c", later, vec![Message::assistant("Yes.")]).await;
    }
    end(scene.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_question_that_a_dead_process_left_is_answered_once_for_who_comes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.db");
    dies_with_a_question(&file, &[]).await;

    let process = Process::start(&file, 2_000).await;
    let gate = process.control.gate_step(1);
    let (mut ann, room) = process.viewer("ann", None).await;
    let shown = &room["turns"][0];
    assert_eq!(
        (&shown["asked_by"], &shown["asked"]),
        (&json!("ann"), &json!("why?"))
    );
    assert_eq!(
        (&shown["at_ms"], &room["messages"]),
        (&json!(5), &json!([]))
    );
    // Who comes later sees the same, and who says it again because nothing was heard hears that it is known.
    let (mut bob, room) = process.viewer("bob", None).await;
    assert_eq!(room["turns"].as_array().unwrap().len(), 1);
    ann.say(json!({"op": "say", "conversation": "c", "text": "why?", "nonce": "n"}))
        .await;
    assert_eq!(ann.expect("said").await["turn"], "c/turn-500-r1");
    gate.release();
    let (mut of_ann, mut of_bob) = (Seen::default(), Seen::default());
    let (how, _) = tokio::join!(ann.look(&mut of_ann), bob.look(&mut of_bob));
    assert_eq!(how["how"], "finished");
    let all = [(1, "why?".to_owned()), (2, ANSWER.to_owned())];
    assert_eq!((&of_ann.kept[..], &of_bob.kept[..]), (&all[..], &all[..]));
    assert_eq!(process.control.counts().opened, 1);
    drop((ann, bob));
    process.end().await;

    // It is over: another process finds nothing to go on with.
    let process = Process::start(&file, 3_000).await;
    let (ann, room) = process.viewer("ann", None).await;
    assert_eq!((&room["turns"], &room["last"]), (&json!([]), &json!(2)));
    assert_eq!(process.control.counts().opened, 0);
    drop(ann);
    process.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_question_behind_which_more_was_said_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.db");
    dies_with_a_question(&file, &["c/turn-600-r1"]).await;
    let process = Process::start(&file, 2_000).await;
    let (ann, room) = process.viewer("ann", None).await;
    assert_eq!((&room["turns"], &room["last"]), (&json!([]), &json!(2)));
    assert_eq!(process.control.counts().opened, 0);
    drop(ann);
    process.end().await;
}
