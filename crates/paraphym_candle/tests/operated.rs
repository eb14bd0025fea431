//! What operators do to parts of the whole tree: `/readyz` says what stands in the way of answers, and limits outlive lives.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use paraphym_candle::control::client::Client;
use paraphym_candle::control::protocol::act::{
    Kill, Limit, Limited, Pause, Restart, Resume, Start, Stop,
};
use paraphym_candle::control::protocol::connections::Connections;
use paraphym_candle::{Bytes, Lifecycle, ModelName, Paraphym, chat_config};
use tempfile::TempDir;
use testkit::scripted::{Answer, ScriptedLoader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

const PATIENCE: Duration = Duration::from_secs(20);

async fn readyz(address: SocketAddr) -> (bool, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer.starts_with("HTTP/1.1 200 "), answer)
}

struct World {
    host: Paraphym,
    client: Client,
    address: SocketAddr,
    _dir: TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tiny.gguf");
    std::fs::write(&file, b"GGUF").unwrap();
    let socket = dir.path().join("control.sock");
    let host = Paraphym::builder()
        .models_dir(dir.path())
        .model(ModelName::new(file.to_str().unwrap()))
        .loader(Arc::new(ScriptedLoader::new(Answer::Counting)))
        .serve("127.0.0.1:0".parse().unwrap())
        .control(&socket)
        .start()
        .await
        .unwrap();
    let address = host.address().await.unwrap();
    let client = Client::connect(&socket, "a test", None).await.unwrap();
    World {
        host,
        client,
        address,
        _dir: dir,
    }
}

macro_rules! order {
    ($world:ident, $order:ident, $actor:expr) => {{
        let (actor, dry_run) = ($actor.to_owned(), false);
        let order = $order { actor, dry_run };
        $world.client.ask(&order, PATIENCE).await.unwrap();
    }};
}

#[tokio::test]
async fn a_part_that_answers_need_and_is_down_or_paused_is_a_reason() {
    let mut world = world().await;
    let address = world.address;
    let (ready, answer) = readyz(address).await;
    assert!(ready, "{answer}");
    for (part, paused) in [
        ("memory_governor", true),
        ("memory_governor", false),
        ("lane_supervisor", false),
    ] {
        if paused {
            order!(world, Pause, part);
        } else {
            order!(world, Stop, part);
        }
        let (ready, answer) = readyz(address).await;
        let verb = if paused { "resume" } else { "start" };
        let reason = format!("`paraphym ctl {verb} {part}`");
        assert!(
            !ready && answer.contains(&format!("\"part\":\"{part}\"")),
            "{answer}"
        );
        assert!(answer.contains(&reason), "{answer}");
        if paused {
            order!(world, Resume, part);
        } else {
            order!(world, Start, part);
        }
        let (ready, answer) = readyz(address).await;
        assert!(ready, "{part} is well again: {answer}");
    }
    assert!(world.host.shutdown().await.abandoned.is_empty());
}

impl World {
    async fn limit(&mut self, what: Limited, value: u64) {
        let (value, dry_run) = (Some(value), false);
        let limit = Limit {
            what,
            value,
            dry_run,
        };
        self.client.ask(&limit, PATIENCE).await.unwrap();
    }

    /// Of memory, and of connections.
    async fn limits(&mut self) -> (Option<Bytes>, usize) {
        let seats = self.client.ask(&Connections {}, PATIENCE).await.unwrap();
        let memory = self.host.memory().await.unwrap();
        (memory.configured, seats.limit)
    }

    async fn set(&self, key: &str, text: &str) {
        let update = chat_config::Update {
            who: "a test".to_owned(),
            expected: None,
            changes: vec![chat_config::Change::Text {
                key: key.to_owned(),
                text: text.to_owned(),
            }],
        };
        let set = chat_config::client::update(self.host.config(), update).await;
        set.unwrap();
    }
}

/// The next frame with this in it.
async fn hear(socket: &mut WebSocketStream<TcpStream>, part: &str) {
    let heard = async {
        loop {
            let frame = socket.next().await.unwrap().unwrap();
            if frame.to_text().unwrap().contains(part) {
                return;
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await;
    heard.unwrap_or_else(|_| panic!("never: {part}"));
}

#[tokio::test]
async fn how_long_somebody_counts_as_typing_is_felt_by_a_running_server() {
    const TYPES: &str = r#"{"op":"typing","conversation":"c","typing":true}"#;
    let world = world().await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut socket, _) = client_async("ws://localhost/ws", stream).await.unwrap();
    for (said, heard) in [
        (r#"{"op":"identify","user":"ann"}"#, r#""op":"ready""#),
        (r#"{"op":"join","conversation":"c"}"#, r#""op":"room""#),
        (TYPES, r#""users":["ann"]"#),
    ] {
        socket.send(Message::text(said)).await.unwrap();
        hear(&mut socket, heard).await;
    }
    let before = Instant::now();
    world.set("realtime.typing", "1s").await;
    hear(&mut socket, r#""users":[]"#).await;
    // It was to be ten seconds.
    assert!(
        before.elapsed() < Duration::from_secs(6),
        "{:?}",
        before.elapsed()
    );
    drop(socket);
    assert!(world.host.shutdown().await.abandoned.is_empty());
}

#[tokio::test]
async fn limits_outlive_every_life_of_the_applier_and_a_setting_changed_meanwhile_is_told() {
    const APPLIER: &str = "settings_applier";
    let mut world = world().await;
    let mib = Some(Bytes::mib(48));
    world.limit(Limited::Memory, Bytes::mib(48).0).await;
    world.limit(Limited::Connections, 7).await;
    for life in ["restart", "kill", "stop and start"] {
        match life {
            "restart" => order!(world, Restart, APPLIER),
            "kill" => {
                let mut events = world.host.events();
                order!(world, Kill, APPLIER);
                let back = async {
                    loop {
                        let event = events.recv().await.unwrap();
                        if matches!(event.what, Lifecycle::Restarted { .. }) {
                            return;
                        }
                    }
                };
                tokio::time::timeout(PATIENCE, back).await.unwrap();
            }
            _ => {
                order!(world, Stop, APPLIER);
                order!(world, Start, APPLIER);
            }
        }
        assert_eq!(world.limits().await, (mib, 7), "after {life}");
    }
    order!(world, Stop, APPLIER);
    world.set("memory.limit", "32MiB").await;
    assert_eq!(world.limits().await, (mib, 7), "nobody tells it");
    order!(world, Start, APPLIER);
    let told = (Some(Bytes::mib(32)), 7);
    assert_eq!(world.limits().await, told, "only what differs");
    assert!(world.host.shutdown().await.abandoned.is_empty());
}
