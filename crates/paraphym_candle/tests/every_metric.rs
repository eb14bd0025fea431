//! The page that a busy server shows: what is on it is in the list of names, what is in the list is on it, and Prometheus'
//! own tool accepts it, and the alert rules.
//!
//! The tool is what `PARAPHYM_TEST_PROMTOOL` names; `cargo xtask test` brings it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use model_host::client::EmbedRequest;
use paraphym_candle::{Bytes, ConversationId, GenerationEvent, ModelName, Paraphym, TurnSettings};
use telemetry::names::{self, families};
use tempfile::TempDir;
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// What this server does not do, and is therefore not on its page; each is tested where it is counted.
const NOT_DONE_HERE: [&str; 8] = [
    // No supervisor gives up, no handler is stuck.
    names::ESCALATIONS,
    names::STUCK,
    // No lease is refused, every cache answers.
    names::LEASES_REFUSED,
    names::CACHE_UNANSWERED,
    // No MCP server is in the settings.
    names::MCP_STARTS,
    names::MCP_CALLS,
    // There is room for everybody.
    names::HTTP_CONNECTIONS_REFUSED,
    // Few type.
    names::TYPING_REFUSED,
];
/// What depends on the machine: whether its kernel tells of stalls, and of memory in use, and whether an answer is quicker
/// than its reader.
const BY_MACHINE: [&str; 3] = [names::STALLED, names::USED_BYTES, names::REALTIME_MERGED];

struct Server {
    host: Paraphym,
    control: Control,
    model: ModelName,
    address: SocketAddr,
    dir: TempDir,
}

async fn server() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scripted.gguf");
    std::fs::write(&path, b"the scripted loader reads no file").unwrap();
    let model = ModelName::new(path.to_str().unwrap());
    let loader = ScriptedLoader::new(Answer::Counting);
    let control = loader.control();
    let host = Paraphym::builder()
        .models_dir(dir.path())
        .model(model.clone())
        .memory_limit(Bytes::mib(64))
        .loader(Arc::new(loader))
        .seed(7)
        .serve("127.0.0.1:0".parse().unwrap())
        .start()
        .await
        .unwrap();
    let address = host.address().await.unwrap();
    Server {
        host,
        control,
        model,
        address,
        dir,
    }
}

/// One request, and all that comes back.
async fn exchange(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

impl Server {
    async fn chat(&self, more: &str) -> String {
        let body = format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"count\"}}]{more}}}");
        exchange(self.address, "POST", "/v1/chat/completions", &body).await
    }

    /// Something of everything.
    async fn keep_busy(&self) {
        // The engine crashes under the first answer, which goes on.
        self.control.panic_at(4);
        assert!(self.chat(",\"max_tokens\":9").await.contains(" 200 OK"));
        let answers = (0..4).map(|_| self.chat(",\"max_tokens\":20"));
        for answer in futures_util::future::join_all(answers).await {
            assert!(answer.contains(" 200 OK"), "{answer}");
        }
        let missing = ModelName::new(self.dir.path().join("missing.gguf").to_str().unwrap());
        assert!(self.host.warm(&missing).await.is_err(), "refused");
        let mut stream = self.host.prompt("count").await.unwrap();
        while !matches!(stream.next().await, Some(GenerationEvent::Text(_))) {}
        drop(stream);
        let mut turn = TurnSettings::new(self.model.clone());
        turn.sampling.max_tokens = 5;
        let said = self
            .host
            .ask(&ConversationId::new("tea"), "one", turn)
            .await;
        said.unwrap().collect().await.unwrap();
        let embedder = self.dir.path().join("embedder.gguf");
        std::fs::write(&embedder, b"the scripted loader reads no file").unwrap();
        let request = EmbedRequest {
            model: ModelName::new(embedder.to_str().unwrap()),
            texts: vec!["tea".to_owned()],
            keep_alive: None,
        };
        self.host.embed_with(request).await.unwrap();
        self.talk().await;
        self.control.wait_until(|seen| seen.open_now() == 0).await;
        // Long enough for what is kept to be too old: vectors stay for a day.
        tokio::time::pause();
        tokio::time::advance(Duration::from_hours(25)).await;
        tokio::time::resume();
    }

    /// A client in real time: it comes back to nothing, types, asks, and says what is no frame.
    async fn talk(&self) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut socket, _) = client_async("ws://localhost/ws", stream).await.unwrap();
        hear(&mut socket, "hello").await;
        for (said, heard) in [
            (
                r#"{"op":"resume","session":"s","epoch":"e","seq":0}"#,
                "invalid_session",
            ),
            (r#"{"op":"identify","user":"ann"}"#, "ready"),
            (r#"{"op":"join","conversation":"live"}"#, "room"),
            (
                r#"{"op":"typing","conversation":"live","typing":true}"#,
                "typing",
            ),
            (
                r#"{"op":"say","conversation":"live","text":"count","nonce":"n"}"#,
                "kept",
            ),
        ] {
            socket.send(Message::text(said)).await.unwrap();
            hear(&mut socket, heard).await;
        }
        socket.send(Message::binary(vec![1])).await.unwrap();
        while socket
            .next()
            .await
            .is_some_and(|frame| !matches!(frame, Ok(Message::Close(_))))
        {}
    }

    async fn page(&self) -> String {
        let answer = exchange(self.address, "GET", "/metrics", "").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 OK"), "{head}");
        body.to_owned()
    }

    /// The page once a cache was swept, and the cancelled answer was let go.
    async fn whole_page(&self) -> String {
        for _ in 0..600 {
            let page = self.page().await;
            let swept = page.contains(names::CACHE_SWEPT);
            if swept && value(&page, names::REQUESTS_CANCELLED) >= 1.0 {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{}", self.page().await);
    }
}

/// Hears until a frame of this op; each has its deadline.
async fn hear(socket: &mut WebSocketStream<TcpStream>, op: &str) {
    let op = format!("\"op\":\"{op}\"");
    loop {
        let frame = tokio::time::timeout(Duration::from_mins(1), socket.next());
        let frame = frame.await.unwrap().unwrap().unwrap();
        if frame.to_text().unwrap().contains(&op) {
            return;
        }
    }
}

/// The sum of a metric over its labels.
fn value(page: &str, name: &str) -> f64 {
    let lines = page.lines().filter_map(|line| line.strip_prefix(name));
    let lines = lines.filter(|rest| rest.starts_with(['{', ' ']));
    lines
        .map(|rest| rest.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum()
}

/// The name of a line's family, and its labels without `le`.
fn sample<'a>(line: &'a str, kinds: &BTreeMap<&str, &str>) -> (&'a str, BTreeSet<&'a str>) {
    let (series, _) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let plain = ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|end| name.strip_suffix(end))
        .find(|name| kinds.get(name) == Some(&"histogram"));
    // No value of ours has a comma or an equals sign in it.
    let labels = labels.trim_end_matches('}').split(',');
    let labels = labels.filter_map(|label| Some(label.split_once('=')?.0));
    (
        plain.unwrap_or(name),
        labels.filter(|label| *label != "le").collect(),
    )
}

fn check(page: &str) {
    let mut kinds = BTreeMap::new();
    let mut helps = BTreeMap::new();
    for line in page.lines() {
        let word = |start| {
            line.strip_prefix(start)
                .and_then(|rest: &str| rest.split_once(' '))
        };
        if let Some((name, kind)) = word("# TYPE ") {
            assert!(kinds.insert(name, kind).is_none(), "{name} is there twice");
        }
        if let Some((name, help)) = word("# HELP ") {
            assert!(helps.insert(name, help).is_none(), "{name} is there twice");
        }
    }
    let mut seen = BTreeSet::new();
    for line in page
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let (name, labels) = sample(line, &kinds);
        let family = names::family(name).unwrap_or_else(|| panic!("{name} is in no list"));
        assert_eq!(kinds[name], family.kind.as_str(), "{name}");
        assert_eq!(helps[name], family.help, "{name}");
        let expected: BTreeSet<&str> = family.labels.iter().copied().collect();
        assert_eq!(labels, expected, "{line}");
        seen.insert(name);
    }
    for family in families() {
        let name = family.name;
        let left_out = NOT_DONE_HERE.contains(&name) || BY_MACHINE.contains(&name);
        assert!(seen.contains(name) || left_out, "{name} is not in\n{page}");
        let said = family.once.is_some() || !left_out;
        assert!(
            said,
            "{name} may be missing, and the list does not say when"
        );
    }
    for name in NOT_DONE_HERE {
        assert!(!seen.contains(name), "{name} is counted after all");
    }
}

#[tokio::test]
async fn the_page_of_a_busy_server_is_the_list() {
    let server = server().await;
    // Before anything was asked, what has no condition is there.
    let first = server.page().await;
    for family in families().filter(|family| family.once.is_none()) {
        let head = format!("# TYPE {} ", family.name);
        assert!(first.contains(&head), "{head}is not in\n{first}");
    }
    server.keep_busy().await;
    let page = server.whole_page().await;
    check(&page);
    assert!(value(&page, names::ENGINE_RECOVERIES) >= 1.0, "{page}");
    assert!(value(&page, names::RESTARTS) >= 1.0, "{page}");
    assert!(server.host.shutdown().await.abandoned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_recorder_is_kept_small_and_threads_are_counted_though_nobody_reads() {
    let server = server().await;
    let metrics = telemetry::Metrics::install().unwrap();
    // Nobody else writes it, so whoever puts it right has passed by: the child that does both.
    metrics::gauge!(names::THREADS, "role" => "foreign").set(999.0);
    let foreign = || {
        metrics
            .render()
            .contains("paraphym_threads{role=\"foreign\"} 999")
    };
    assert!(foreign());
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!foreign());
    server.host.shutdown().await;
}

#[tokio::test]
async fn promtool_accepts_the_page_of_an_idle_server_and_of_a_busy_one() {
    let server = server().await;
    promtool(&["check", "metrics"], &server.page().await);
    server.keep_busy().await;
    promtool(&["check", "metrics"], &server.whole_page().await);
    assert!(server.host.shutdown().await.abandoned.is_empty());
}

#[test]
fn promtool_accepts_the_alert_rules_and_their_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating");
    let of = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    promtool(&["check", "rules", "--lint-fatal", &of("alerts.yml")], "");
    promtool(&["test", "rules", &of("alerts_test.yml")], "");
}

fn program() -> PathBuf {
    let named = std::env::var_os("PARAPHYM_TEST_PROMTOOL").map(PathBuf::from);
    let named = named.unwrap_or_else(|| {
        // Where `cargo xtask test` puts it.
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("../prometheus/usr/bin/promtool")
    });
    assert!(
        named.is_file(),
        "Prometheus' own tool is not at {}: `cargo xtask test` brings it, or say where it is by PARAPHYM_TEST_PROMTOOL",
        named.display()
    );
    named
}

/// Runs it with `input` on its standard input; it must find nothing.
fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new(program())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let done = child.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success(), "{arguments:?}: {said}\n{input}");
    if arguments.contains(&"metrics") {
        assert!(said.trim().is_empty(), "{said}\n{input}");
    }
}
