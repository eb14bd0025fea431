//! An agent of the settings in the whole tree: its tools, other programs' tools, its memory, its documents, and what is at
//! rest of its conversations.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use paraphym_candle::chat_config::{Author, Change, Store, messages::Update};
use paraphym_candle::conversation_store::StoreConfig;
use paraphym_candle::mcp_client::ServerState;
use paraphym_candle::{
    Bytes, ConversationId, GenerationError, Message, ModelName, Paraphym, ToolOutcome, TurnError,
    TurnEvent, chat_config,
};
use tempfile::TempDir;
use testkit::mcp_server;
use testkit::scripted::{Answer, Control, ScriptedLoader};

const PART: &str = "PARAPHYM_TEST_SERVER";
/// Longer than anything here takes on a busy machine; a test that is right never waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
#[ignore = "the server of the other tests: they start it, with a part to play"]
fn plays_its_part() {
    let Ok(part) = std::env::var(PART) else {
        panic!("this is the server of the other tests, and they say which part it plays");
    };
    mcp_server::play(part);
}

/// The settings of a server that plays this part.
fn playing(part: &str) -> Vec<String> {
    let args = serde_json::to_string(&mcp_server::again("exec", "agent::plays_its_part")).unwrap();
    vec![
        "tools.mcp.s.command=sh".to_owned(),
        format!("tools.mcp.s.args={args}"),
        format!("tools.mcp.s.env={{{PART} = \"{part}\"}}"),
    ]
}

fn settings(flags: &[String]) -> Store {
    let author = Author {
        who: "a test".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    };
    Store::without_file([], flags, author).unwrap()
}

struct World {
    host: Paraphym,
    control: Control,
}

async fn world(dir: &TempDir, answer: Answer, flags: &[String], kept: Option<&Path>) -> World {
    let path = dir.path().join("scripted.gguf");
    std::fs::write(&path, b"the scripted loader reads no file").unwrap();
    let loader = ScriptedLoader::new(answer).with_card(|card| card.context_tokens = 8192);
    let control = loader.control();
    let mut builder = Paraphym::builder()
        .models_dir(dir.path())
        .model(ModelName::new(path.to_str().unwrap()))
        .memory_limit(Bytes::mib(64))
        .settings(settings(flags))
        .loader(Arc::new(loader))
        .seed(7);
    if let Some(file) = kept {
        builder = builder.conversations(StoreConfig::at(file));
    }
    let host = builder.start().await.unwrap();
    World { host, control }
}

impl World {
    async fn ask(&self, conversation: &str, agent: &str, text: &str) -> Vec<TurnEvent> {
        let settings = self.host.agent_settings(agent).unwrap();
        let conversation = ConversationId::new(conversation);
        let stream = self.host.ask(&conversation, text, settings).await.unwrap();
        tokio::time::timeout(PATIENCE, StreamExt::collect(stream))
            .await
            .unwrap()
    }

    async fn end(self) {
        assert!(self.host.shutdown().await.abandoned.is_empty());
    }
}

fn said(events: &[TurnEvent]) -> String {
    let text = |event: &TurnEvent| match event {
        TurnEvent::Text(text) => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

fn outcomes(events: &[TurnEvent]) -> Vec<(String, ToolOutcome)> {
    let ended = |event: &TurnEvent| match event {
        TurnEvent::ToolEnded { name, outcome, .. } => Some((name.clone(), outcome.clone())),
        _ => None,
    };
    events.iter().filter_map(ended).collect()
}

fn calling(tool: &str, arguments: &str, then: &str) -> Answer {
    Answer::Calling {
        call: format!(
            "<tool_call>{{\"name\": \"{tool}\", \"arguments\": {arguments}}}</tool_call>"
        ),
        then: then.to_owned(),
    }
}

fn flags(own: &[&str]) -> Vec<String> {
    own.iter().map(|flag| (*flag).to_owned()).collect()
}

/// The processes of a group that live.
fn of_group(group: u32) -> Vec<String> {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let is_of = |stat: &String| {
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields);
        let mut fields = fields.unwrap_or_default().split(' ');
        let lives = fields.next() != Some("Z");
        lives && fields.nth(1) == Some(&group.to_string())
    };
    stats.filter(is_of).collect()
}

#[tokio::test]
async fn whatever_a_server_of_the_settings_does_the_turn_ends_with_a_typed_outcome_and_no_process_is_left()
 {
    for (part, expected) in [
        ("well", "{\"a\":1} (call 1)"),
        ("hangs", "`s__echo` did not answer within 2s"),
        ("dies", "`s__echo` broke off"),
        ("dies half way", "`s__echo` broke off"),
        ("floods", "`s__echo` broke off"),
        ("floods with lines", "`s__echo` broke off"),
        ("speaks garbage", "`s__echo` broke off"),
        ("answers nonsense", "`s__echo` "),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let answer = calling("s__echo", "{\"a\": 1}", "So it is.");
        let mut set = playing(part);
        set.extend(flags(&[
            "tools.approval=auto",
            "tools.timeout=2s",
            "agents.caller.tools=[\"s__*\"]",
        ]));
        let world = world(&dir, answer, &set, None).await;
        assert!(world.host.servers().settled(PATIENCE).await, "{part}");
        let group = world.host.servers().status()[0].pid.unwrap();
        let events = world.ask("c", "caller", "call it").await;
        let outcomes = outcomes(&events);
        assert_eq!(outcomes.len(), 1, "{part}: {events:?}");
        let (name, outcome) = &outcomes[0];
        assert_eq!(name, "s__echo");
        let is_typed = match part {
            "well" => outcome.is_ok(),
            "hangs" => matches!(outcome, ToolOutcome::Failed(_)),
            // Whether it was carried out is not known.
            _ => matches!(outcome, ToolOutcome::Unknown(_)),
        };
        assert!(is_typed, "{part}: {outcome:?}");
        assert!(outcome.text().contains(expected), "{part}: {outcome:?}");
        assert_eq!(said(&events), "So it is.", "{part}");
        assert!(
            matches!(events.last(), Some(TurnEvent::Finished { .. })),
            "{part}"
        );
        // Who died has been started again by now, or will be: whoever it is goes with the tree.
        let last = world.host.servers().status()[0].pid;
        world.end().await;
        for group in [Some(group), last].into_iter().flatten() {
            let left = of_group(group);
            assert!(left.is_empty(), "{part}: {left:?}");
        }
    }
}

#[tokio::test]
async fn a_turn_that_is_cancelled_leaves_its_call_and_the_server_goes_with_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let answer = calling("s__echo", "{}", "no");
    let mut set = playing("does not answer calls");
    set.extend(flags(&[
        "tools.approval=auto",
        "agents.caller.tools=[\"*\"]",
    ]));
    let world = world(&dir, answer, &set, None).await;
    assert!(world.host.servers().settled(PATIENCE).await);
    let group = world.host.servers().status()[0].pid.unwrap();
    let settings = world.host.agent_settings("caller").unwrap();
    let conversation = ConversationId::new("c");
    let asked = world.host.ask(&conversation, "call it", settings).await;
    let mut stream = asked.unwrap();
    loop {
        let event = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap();
        if matches!(event, Some(TurnEvent::ToolStarted { .. })) {
            break;
        }
    }
    let id = stream.id().clone();
    let agents = world.host.agents();
    assert!(agents.cancel(&conversation, &id).await.unwrap());
    let rest: Vec<TurnEvent> = tokio::time::timeout(PATIENCE, StreamExt::collect(stream))
        .await
        .unwrap();
    assert!(
        matches!(
            rest.last(),
            Some(TurnEvent::Failed(TurnError::Generation(
                GenerationError::Cancelled
            )))
        ),
        "{rest:?}"
    );
    world.end().await;
    assert_eq!(of_group(group), Vec::<String>::new());
}

#[tokio::test]
async fn servers_come_and_go_with_the_settings_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(&dir, Answer::Text("yes".to_owned()), &[], None).await;
    assert!(world.host.servers().status().is_empty());
    let change = async |changes: Vec<Change>| {
        let wish = Update {
            who: "a person".to_owned(),
            expected: None,
            changes,
        };
        let config = world.host.config();
        chat_config::client::update(config, wish).await.unwrap();
    };
    let until = async |wanted: &dyn Fn() -> bool| {
        let waiting = async {
            while !wanted() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    };
    let set = playing("well");
    let changes = set.iter().map(|flag| {
        let (key, value) = flag.split_once('=').unwrap();
        let value = match key.rsplit_once('.').unwrap().1 {
            "env" => serde_json::json!({ PART: "well" }),
            "args" => serde_json::from_str(value).unwrap(),
            _ => value.into(),
        };
        Change::Set {
            key: key.to_owned(),
            value,
        }
    });
    change(changes.collect()).await;
    let servers = world.host.servers();
    let state = || servers.status().first().map(|one| one.state);
    until(&|| state() == Some(ServerState::Up)).await;
    let first = servers.status()[0].pid.unwrap();
    assert!(world.host.tools().get("s__echo").is_some());

    // A server that is set up differently is another one.
    let only = Change::Set {
        key: "tools.mcp.s.tools".to_owned(),
        value: serde_json::json!(["fails"]),
    };
    change(vec![only]).await;
    until(&|| state() == Some(ServerState::Up) && servers.status()[0].pid != Some(first)).await;
    assert!(world.host.tools().get("s__echo").is_none());
    assert!(world.host.tools().get("s__fails").is_some());
    assert_eq!(of_group(first), Vec::<String>::new());

    let second = servers.status()[0].pid.unwrap();
    let off = Change::Set {
        key: "tools.mcp.s.enabled".to_owned(),
        value: false.into(),
    };
    change(vec![off]).await;
    until(&|| servers.status().is_empty()).await;
    assert_eq!(of_group(second), Vec::<String>::new());
    world.end().await;
}

fn citations(events: &[TurnEvent]) -> (Vec<String>, Option<String>) {
    let recalled = |event: &TurnEvent| match event {
        TurnEvent::Recalled {
            citations,
            without_meaning,
        } => {
            let sources = citations.iter().map(|one| one.source.clone());
            Some((sources.collect(), without_meaning.clone()))
        }
        _ => None,
    };
    events.iter().find_map(recalled).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_remembers_is_found_in_another_conversation_after_a_restart_and_by_no_other_agent()
 {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data/paraphym.db");
    let set = flags(&[
        "tools.approval=auto",
        "agents.friend.memory=true",
        "agents.friend.tools=[\"remember\", \"recall\"]",
        "agents.other.memory=true",
        "agents.bare.tools=[\"remember\", \"recall\"]",
    ]);
    let fact = "{\"text\": \"The cat of the user is called Minka.\"}";
    let answer = calling("remember", fact, "Noted.");
    let first = world(&dir, answer.clone(), &set, Some(&file)).await;
    let events = first.ask("one", "friend", "My cat is called Minka").await;
    let noted = outcomes(&events);
    assert!(noted[0].1.text().starts_with("Remembered"), "{noted:?}");
    assert_eq!(said(&events), "Noted.");
    // Without memory there is no such tool, whatever the agent's list says.
    let events = first.ask("two", "bare", "My cat is called Minka").await;
    assert_eq!(outcomes(&events), []);
    first.end().await;

    let second = world(&dir, Answer::Text("Minka.".to_owned()), &set, Some(&file)).await;
    let events = second
        .ask("three", "friend", "What is the cat called?")
        .await;
    let (sources, without_meaning) = citations(&events);
    assert!(sources[0].starts_with("memory "), "{sources:?}");
    assert!(
        without_meaning.is_some(),
        "it says that words alone were searched"
    );
    let events = second.ask("four", "other", "What is the cat called?").await;
    let (sources, without_meaning) = citations(&events);
    assert_eq!(sources, Vec::<String>::new());
    assert!(
        without_meaning.is_some(),
        "it was looked for, and not found"
    );
    // And what was said is there, too.
    let one = ConversationId::new("one");
    let history = second.host.agents().history(&one).await.unwrap();
    assert_eq!(history[0], Message::user("My cat is called Minka"));
    assert_eq!(history.last(), Some(&Message::assistant("Noted.")));
    second.end().await;
}

#[tokio::test(start_paused = true)]
async fn documents_are_found_by_meaning_where_a_model_is_there_and_cited_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("notes.md");
    std::fs::write(&notes, "# Tea\n\nGreen tea is brewed at 75 degrees.\n").unwrap();
    let embedder = dir.path().join("embedder.gguf");
    std::fs::write(&embedder, b"the scripted loader reads no file").unwrap();
    let mut set = flags(&[
        "agents.reader.documents=[]",
        &format!("recall.model={}", embedder.display()),
    ]);
    let answer = Answer::Text("At 75 degrees.".to_owned());
    let world = world(&dir, answer, &set, None).await;
    let wanted = [
        notes.to_string_lossy().into_owned(),
        dir.path().join("*.none").to_string_lossy().into_owned(),
    ];
    let added = world.host.add_documents(&wanted, |_| {}).await.unwrap();
    assert_eq!((added.documents.len(), added.refused.len()), (1, 1));
    assert!(added.embedded > 0, "{added:?}");
    assert_eq!(added.basis.without_meaning(), None);

    // No memories are searched: this agent has none.
    let turn = world.host.agent_settings("reader").unwrap();
    assert_eq!(turn.memory, None);
    let turn = world.host.with_documents(turn, &added);
    let memory = turn.memory.as_ref().unwrap();
    assert_eq!((memory.space.as_ref(), memory.remember), (None, false));
    let id = ConversationId::new("c");
    let asked = world.host.ask(&id, "How hot is green tea brewed?", turn);
    let events: Vec<TurnEvent> = StreamExt::collect(asked.await.unwrap()).await;
    let (sources, without_meaning) = citations(&events);
    assert_eq!(without_meaning, None);
    assert!(sources[0].contains("notes.md"), "{sources:?}");
    assert_eq!(world.control.counts().loads, 2, "one talks, one embeds");
    world.end().await;

    // What an agent of the settings answers from is in its settings.
    set[0] = format!("agents.reader.documents=[\"{}\"]", notes.display());
    let answer = Answer::Text("At 75 degrees.".to_owned());
    let world = self::world(&dir, answer, &set, None).await;
    let wanted = world.host.agent_documents("reader").unwrap();
    assert_eq!(wanted, [notes.to_string_lossy().into_owned()]);
    assert!(world.host.agent_documents("nobody").is_err());
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_builder_that_says_nothing_keeps_no_conversation() {
    use paraphym_candle::conversation_store::client::ask;
    use paraphym_candle::conversation_store::messages::ListConversations;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data/paraphym.db");
    for (kept, expected) in [(None, 0), (Some(file.as_path()), 1)] {
        let world = world(&dir, Answer::Text("yes".to_owned()), &[], kept).await;
        assert_eq!(said(&world.ask("a", "default", "hello").await), "yes");
        let wish = ListConversations {
            limit: 10,
            before: None,
        };
        let there = ask(world.host.conversations(), wish).await.unwrap();
        assert_eq!(there.conversations.len(), expected);
        world.end().await;
    }
}
