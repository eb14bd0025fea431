//! No text of a conversation and no secret is logged above debug: canaries are put wherever a text or a secret can come in,
//! through every part of a whole host and its failures, and looked for in all that is logged. At debug they may be, and one is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bearer::{Secret, Terms, TokenFile};
use futures_util::StreamExt;
use paraphym_candle::chat_config::{Author, Store};
use paraphym_candle::conversation_store::StoreConfig;
use paraphym_candle::{Bytes, ConversationId, ModelName, Paraphym, TurnEvent};
use testkit::scripted::{Answer, Control, ScriptedLoader};
use testkit::spans::Spans;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tracing::Level;
use tracing::level_filters::LevelFilter;

/// Begins every canary; what follows says where it was put.
const CANARY: &str = "canary-yd7Qm";
const PATIENCE: Duration = Duration::from_mins(1);

fn canary(place: &str) -> String {
    format!("{CANARY}-{place}")
}

fn settings(dir: &Path) -> Store {
    let notes = dir.join("notes.md");
    std::fs::write(
        &notes,
        format!("# Notes\n\nThe {} lies here.\n", canary("document")),
    )
    .unwrap();
    let embedder = dir.join("embedder.gguf");
    std::fs::write(&embedder, b"the scripted loader reads no file").unwrap();
    let flags = [
        format!("recall.model={}", embedder.display()),
        format!("chat.system={}", canary("system")),
        "tools.approval=auto".to_owned(),
        "agents.friend.memory=true".to_owned(),
        format!("agents.friend.documents=[\"{}\"]", notes.display()),
        "agents.friend.tools=[\"remember\", \"recall\"]".to_owned(),
        "tools.mcp.broken.command=sh".to_owned(),
        format!(
            "tools.mcp.broken.args=[\"-c\", \"echo {} >&2; exit 3\"]",
            canary("server-says")
        ),
        format!(
            "tools.mcp.broken.env={{ KEY = \"{}\" }}",
            canary("server-env")
        ),
    ];
    let author = Author {
        who: "a test".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    };
    Store::without_file([], &flags, author).unwrap()
}

struct World {
    host: Paraphym,
    control: Control,
    address: SocketAddr,
    token: Secret,
}

async fn world(dir: &Path) -> World {
    let model = dir.join("scripted.gguf");
    std::fs::write(&model, b"the scripted loader reads no file").unwrap();
    let fact = format!("{{\"text\": \"{}\"}}", canary("tool"));
    let answer = Answer::Calling {
        call: format!("<tool_call>{{\"name\": \"remember\", \"arguments\": {fact}}}</tool_call>"),
        then: format!("So it is: {}", canary("answer")),
    };
    let loader = ScriptedLoader::new(answer).with_card(|card| card.context_tokens = 8192);
    let control = loader.control();
    let tokens = TokenFile::at(dir.join("tokens.json"));
    let token = Secret::fresh().unwrap();
    tokens.add(&token, None, Terms::default(), 1).unwrap();
    let host = Paraphym::builder()
        .models_dir(dir)
        .model(ModelName::new(model.to_str().unwrap()))
        .memory_limit(Bytes::mib(64))
        .settings(settings(dir))
        .conversations(StoreConfig::at(dir.join("data/paraphym.db")))
        .tokens(tokens)
        .serve("127.0.0.1:0".parse().unwrap())
        .control(dir.join("control.sock"))
        .loader(Arc::new(loader))
        .seed(7)
        .start()
        .await
        .unwrap();
    let address = host.address().await.unwrap();
    World {
        host,
        control,
        address,
        token,
    }
}

impl World {
    async fn ask(&self, text: &str) -> Vec<TurnEvent> {
        let turn = self.host.agent_settings("friend").unwrap();
        let conversation = ConversationId::new("talk");
        let stream = self.host.ask(&conversation, text, turn).await.unwrap();
        tokio::time::timeout(PATIENCE, StreamExt::collect(stream))
            .await
            .unwrap()
    }

    async fn post(&self, token: &str, path: &str, body: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// One control call; the answer's line.
async fn call(socket: &Path, method: &str, params: &str) -> String {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    lines.next_line().await.unwrap();
    let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    writer
        .write_all(format!("{line}\n").as_bytes())
        .await
        .unwrap();
    lines.next_line().await.unwrap().unwrap()
}

/// Everything that takes a text or a secret, when it goes well and when it does not.
async fn everything(world: &World, dir: &Path) {
    let events = world.ask(&canary("question")).await;
    assert!(
        matches!(events.last(), Some(TurnEvent::Finished { .. })),
        "{events:?}"
    );
    let wanted = world.host.agent_documents("friend").unwrap();
    let added = world.host.add_documents(&wanted, |_| {}).await.unwrap();
    assert!(added.embedded > 0, "{added:?}");

    let token = world.token.reveal().to_owned();
    let body = |text: &str| format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let chat = "/v1/chat/completions";
    let http = canary("http");
    let plain = format!(r#"{{"prompt":"{http}","max_tokens":3}}"#);
    let unclosed = format!(r#"{{"messages":"{http}"#);
    let embedding = format!(r#"{{"input":"{http}","model":"none"}}"#);
    for (token, path, body, status) in [
        (&token, chat, body(&http), 200),
        (&token, "/v1/completions", plain, 200),
        (&canary("token"), chat, body(&http), 401),
        (&token, chat, unclosed, 400),
        (
            &token,
            chat,
            format!(r#"{{"messages":[],"{http}":1}}"#),
            400,
        ),
        (&token, "/v1/embeddings", embedding, 404),
        (&token, &format!("/v1/{http}"), body(&http), 404),
    ] {
        assert_eq!(
            world.post(token, path, &body).await,
            status,
            "{path} {body}"
        );
    }

    // A crash in the middle, one that is survived and one that is not.
    world.control.panic_next(1);
    assert_eq!(world.post(&token, chat, &body(&http)).await, 200);
    world.control.panic_next(9);
    assert_eq!(world.post(&token, chat, &body(&http)).await, 500);

    let socket = dir.join("control.sock");
    let secret = canary("setting");
    for (method, params) in [
        (
            "config_set",
            format!(r#"{{"key":"tools.mcp.x.headers","value":{{"authorization":"{secret}"}}}}"#),
        ),
        (
            "config_set",
            format!(r#"{{"key":"model.max_tokens","value":"{secret}"}}"#),
        ),
        ("config_get", r#"{"key":"tools.mcp"}"#.to_owned()),
        ("conversations", "{}".to_owned()),
        ("cancel", format!(r#"{{"id":"{secret}"}}"#)),
        (secret.as_str(), "{}".to_owned()),
    ] {
        let answer = call(&socket, method, &params).await;
        assert!(answer.contains(r#""id":1"#), "{answer}");
        // What is a secret of the settings is not told either.
        let told = answer.contains(&canary("server-env"));
        assert!(!told, "{answer}");
    }
}

// One test, because it is the process's subscriber that sees what is logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_and_no_secret_is_logged_above_debug() {
    let spans = Spans::of_process(LevelFilter::TRACE);
    let dir = tempfile::tempdir().unwrap();
    let world = world(dir.path()).await;
    everything(&world, dir.path()).await;
    let secret = world.token.reveal().to_owned();
    world.host.shutdown().await;

    // The whole of it was logged, each part within its turn.
    let events = spans.events();
    let logged = |target: &str| events.iter().any(|event| event.target.starts_with(target));
    for part in [
        "paraphym_gateway",
        "paraphym_model_host",
        "paraphym_memory_governor",
        "paraphym_supervision",
    ] {
        assert!(logged(part), "{part} logged nothing");
    }
    let handled = |span: &&testkit::spans::Seen| span.name == "handle";
    let actors: Vec<String> = spans
        .spans()
        .iter()
        .filter(handled)
        .map(|s| s.fields["actor"].clone())
        .collect();
    for actor in [
        "agent_worker",
        "conversation_store",
        "model_host",
        "memory_governor",
    ] {
        assert!(
            actors.iter().any(|path| path.contains(actor)),
            "{actor}: {actors:?}"
        );
    }
    let tool = spans
        .spans()
        .into_iter()
        .find(|span| span.name == "execute_tool");
    assert_eq!(tool.unwrap().fields["gen_ai.tool.name"], "remember");

    for quiet in [CANARY, secret.as_str()] {
        let found = spans.with(quiet, Level::INFO);
        assert!(found.is_empty(), "{found:#?}");
    }
    // At debug a text may be; a request is shown whole by its path there. So the net is no sieve.
    let below = spans.with(&canary("http"), Level::DEBUG);
    assert!(!below.is_empty());
    let token = spans.with(&secret, Level::TRACE);
    assert!(token.is_empty(), "{token:#?}");

    // And what is let go on purpose is caught: in a message, in a field, in a span, in what is recorded later.
    let seen = |place: &str| spans.with(&canary(place), Level::INFO).len();
    tracing::info!("on purpose: {}", canary("message"));
    tracing::warn!(text = canary("field"), "on purpose");
    let span = tracing::error_span!(
        "on purpose",
        text = canary("span"),
        later = tracing::field::Empty
    );
    span.record("later", canary("later"));
    for place in ["message", "field", "span", "later"] {
        assert_eq!(seen(place), 1, "{place}");
    }
}
