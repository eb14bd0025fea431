//! What was said, at rest and in rooms: over a real archive, with a scripted model, and over the end of a process. On a
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
    Admitted, Connections, Deps, Free, Gone, History, Incoming, Limits, Outgoing, Part, Refused,
    Seats, Transport,
};
use conversation_store::messages::{BeginTurn, EndTurn, ReadNewest, TurnState};
use conversation_store::{Archive, ConversationStore, StoreConfig, client};
use domain::{
    ConversationId, FieldError, Message, ModelName, RequestId, Sampling, ToolCall, ToolCallId,
    UserId,
};
use engine::ModelSource;
use futures_util::{StreamExt, stream};
use memory_governor::{FileProbe, GovernorConfig};
use model_host::{HostConfig, ModelHostDeps, ResolveModel};
use paraphym_candle::Said;
use room::record::AskedTurn;
use room::{Record, Speaker};
use runtime::CoarseClock;
use serde_json::{Value, json};
use supervision::{Handle, SupervisorSpec};
use testkit::scene::Scene;
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::sync::mpsc;
use tokio::time::Instant;

const ANSWER: &str = "Hello *dear* world";

struct Anywhere;

impl ResolveModel for Anywhere {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let path = PathBuf::from(model.as_str());
        Ok(ModelSource { path })
    }
}

async fn opened(file: Option<&Path>) -> Archive {
    let config = file.map_or_else(StoreConfig::in_memory, StoreConfig::at);
    client::open(config, 1).await.unwrap()
}

/// The store alone.
async fn store() -> (Scene, Handle<ConversationStore>, Said) {
    let archive = opened(None).await;
    let (spec, store) = conversation_store::child(archive, None, Arc::new(CoarseClock::default()));
    let scene = Scene::start(SupervisorSpec::new("root").child(spec)).await;
    (scene.unwrap(), store.clone(), Said::new(store))
}

async fn end(scene: Scene) {
    assert_eq!(scene.stop().await.abandoned, []);
}

/// Writes a turn down, as a worker does.
async fn turn(store: &Handle<ConversationStore>, of: &str, turn: &str, rest: Vec<Message>) {
    let (turn, user) = (RequestId::new(turn), Message::user("why?"));
    let begin = BeginTurn {
        conversation: ConversationId::new(of),
        turn: turn.clone(),
        user: user.clone(),
        now_ms: 7,
    };
    client::ask(store, begin).await.unwrap();
    let messages = [vec![user], rest].concat();
    let state = TurnState::Done;
    let now_ms = 8;
    let end = EndTurn {
        turn,
        state,
        messages,
        now_ms,
    };
    client::ask(store, end).await.unwrap();
}

fn asked(turn: &str) -> AskedTurn {
    AskedTurn {
        conversation: ConversationId::new("c"),
        turn: RequestId::new(turn),
        by: UserId::new("ann"),
        nonce: "n".into(),
    }
}

async fn ended(said: &Said, turn: &str) -> Result<room::Kept, String> {
    said.ended(ConversationId::new("c"), RequestId::new(turn))
        .await
}

fn part(after: u64, before: Option<u64>, bytes: usize) -> Part {
    Part {
        after,
        before,
        bytes,
    }
}

/// With a tool: four messages, of which two are to be shown.
fn with_a_tool() -> Vec<Message> {
    let mut calls = Message::assistant("");
    let call = ToolCallId::new("1");
    calls.tool_calls = vec![ToolCall {
        id: call.clone(),
        name: "clock".into(),
        arguments: "{}".into(),
    }];
    let mut result = Message::new(domain::Role::Tool, "noon");
    result.answers = Some(call);
    vec![calls, result, Message::assistant("It is **noon**.")]
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_ended_is_read_back_with_who_asked_it_and_where_it_stands() {
    let (scene, store, said) = store().await;
    turn(&store, "c", "t1", vec![Message::assistant(ANSWER)]).await;
    turn(&store, "c", "t2", with_a_tool()).await;
    turn(&store, "c", "t3", vec![Message::assistant("no")]).await;
    for (name, before, last, numbers) in [
        ("t1", 0, 2, vec![1, 2]),
        ("t2", 2, 6, vec![3, 6]),
        ("t3", 6, 8, vec![7, 8]),
        ("nowhere", 0, 0, vec![]),
    ] {
        said.begun(asked(name)).await.unwrap();
        let kept = ended(&said, name).await.unwrap();
        let found: Vec<u64> = kept.entries.iter().map(|one| one.number).collect();
        assert_eq!(
            (kept.before, kept.last, found),
            (before, last, numbers),
            "{name}"
        );
        for one in &kept.entries {
            assert_eq!(one.turn, Some(RequestId::new(name)));
            let asks = one.speaker == Speaker::Person;
            assert_eq!(one.by.is_some() && one.nonce.is_some(), asks);
            assert_eq!(one.html.is_some(), !asks);
        }
    }
    let all = said.messages(ConversationId::new("c"), part(0, None, 1 << 20));
    let all = all.await.unwrap();
    assert_eq!((all.entries.len(), all.after, all.last), (6, 0, 8));
    assert_eq!(all.entries[0].by, Some(UserId::new("ann")), "it is at rest");
    assert_eq!(
        all.entries[3].html.as_deref(),
        Some("<p>It is <strong>noon</strong>.</p>\n")
    );
    end(scene).await;
}

#[tokio::test(start_paused = true)]
async fn pages_of_any_size_go_back_to_the_beginning_without_a_gap_or_a_message_twice() {
    let (scene, store, said) = store().await;
    for number in 0..20 {
        let rest = if number % 5 == 0 {
            with_a_tool()
        } else {
            vec![Message::assistant(ANSWER)]
        };
        turn(&store, "c", &format!("t{number}"), rest).await;
    }
    let whole = said.messages(ConversationId::new("c"), part(0, None, 1 << 20));
    let whole = whole.await.unwrap().entries;
    assert_eq!(whole.len(), 40);
    for bytes in [1, 10, 25, 100, 10_000] {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = said.messages(ConversationId::new("c"), part(0, before, bytes));
            let page = page.await.unwrap();
            found.splice(0..0, page.entries);
            if page.after == 0 {
                break;
            }
            assert!(
                before.is_none_or(|before| page.after + 1 < before),
                "it goes on"
            );
            before = Some(page.after + 1);
        }
        assert_eq!(found, whole, "{bytes}");
    }
    let behind = said.messages(
        ConversationId::new("c"),
        part(whole[30].number, None, 1 << 20),
    );
    let behind = behind.await.unwrap();
    assert_eq!(behind.entries, whole[31..]);
    assert_eq!(behind.after, whole[30].number);
    assert_eq!(behind.last, whole[39].number);
    let nowhere = said.messages(ConversationId::new("nowhere"), part(3, None, 100));
    let nowhere = nowhere.await.unwrap();
    assert_eq!(
        (nowhere.entries.len(), nowhere.after, nowhere.last),
        (0, 3, 0)
    );
    end(scene).await;
}

#[tokio::test(start_paused = true)]
async fn a_long_text_is_rendered_once_and_a_very_long_one_is_shown_as_it_is() {
    let (scene, store, said) = store().await;
    let long = "**word** ".repeat(10_000);
    turn(&store, "c", "t1", vec![Message::assistant(&long)]).await;
    turn(
        &store,
        "c",
        "t2",
        vec![Message::assistant("x".repeat(300_000))],
    )
    .await;
    let read = || said.messages(ConversationId::new("c"), part(0, None, 1 << 20));
    let (first, second) = (read().await.unwrap(), read().await.unwrap());
    let html = |said: &connection::Said| said.entries[1].html.clone().unwrap();
    assert!(html(&first).contains("<strong>word</strong>"));
    assert!(Arc::ptr_eq(&html(&first), &html(&second)), "it is kept");
    assert_eq!(first.entries[3].html, None);
    assert_eq!(first.entries[3].text.len(), 300_000);
    end(scene).await;
}

#[tokio::test(start_paused = true)]
async fn the_list_has_what_was_written_before_it_was_asked_for_however_many_ask() {
    let (scene, store, said) = store().await;
    for number in 0..3 {
        let of = format!("c{number}");
        turn(&store, &of, &of, vec![Message::assistant(ANSWER)]).await;
        let asked = (0..100).map(|_| said.conversations());
        for list in futures_util::future::join_all(asked).await {
            let list = list.unwrap();
            assert_eq!(list.len(), number + 1);
            assert!(list.iter().any(|line| line.conversation == of));
            assert_eq!((list[0].title.as_str(), list[0].messages), ("why?", 2));
            assert_eq!(list[0].changed_ms, 8);
        }
    }
    end(scene).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_gone_or_does_not_answer_is_an_error_in_words() {
    let (scene, _, said) = store().await;
    end(scene).await;
    let (spec, never_started) =
        conversation_store::child(opened(None).await, None, Arc::new(CoarseClock::default()));
    for (said, word, seconds) in [
        (said, "not available", 0),
        (Said::new(never_started), "within 10s", 10),
    ] {
        let begun = Instant::now();
        let error = said.conversations().await.unwrap_err();
        assert!(error.contains(word), "{error}");
        assert_eq!(begun.elapsed().as_secs(), seconds);
        let page = said.messages(ConversationId::new("c"), part(0, None, 100));
        assert!(page.await.unwrap_err().contains(word));
        assert!(ended(&said, "t").await.unwrap_err().contains(word));
        assert!(said.begun(asked("t")).await.unwrap_err().contains(word));
        assert_eq!(begun.elapsed().as_secs(), 4 * seconds);
    }
    drop(spec);
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
