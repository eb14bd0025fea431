//! A server over streamable HTTP: what it does wrong is a tool's error, too, and nothing is sent twice.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed expectation fails its test"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{PATIENCE, Stage};
use paraphym_mcp_client::{ServerConfig, ServerState, Transport};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the server was asked, counted.
#[derive(Default)]
struct Counts {
    initialized: AtomicU32,
    calls: AtomicU32,
    authorized: AtomicU32,
}

struct Web {
    address: String,
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

async fn web(part: &'static str) -> Web {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/mcp", listener.local_addr().unwrap());
    let counts = Arc::new(Counts::default());
    let mut tasks = JoinSet::new();
    let counted = counts.clone();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(serve(stream, part, counted.clone()));
        }
    });
    Web {
        address,
        counts,
        _tasks: tasks,
    }
}

struct Request {
    method: String,
    headers: String,
    body: Value,
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut first = String::new();
    if stream.read_line(&mut first).await.ok()? == 0 {
        return None;
    }
    let mut headers = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        if line.trim().is_empty() {
            break;
        }
        headers.push_str(&line.to_lowercase());
    }
    let length = headers
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        method: first.split(' ').next().unwrap().to_owned(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

async fn say(stream: &mut BufReader<TcpStream>, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    // The other side may be gone; then the next read ends this connection.
    let _ = stream.write_all(text.as_bytes()).await;
}

const JSON: &str = "Content-Type: application/json\r\nMcp-Session-Id: one\r\n";
const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

async fn serve(stream: TcpStream, part: &'static str, counts: Arc<Counts>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        if request.headers.contains("authorization: bearer let-me-in") {
            counts.authorized.fetch_add(1, Ordering::Relaxed);
        }
        let id = &request.body["id"];
        let answer =
            |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
        match (request.method.as_str(), request.body["method"].as_str()) {
            ("POST", Some("initialize")) if part == "locked" => {
                say(&mut stream, "401 Unauthorized", "", "").await;
            }
            ("POST", Some("initialize")) if part == "elsewhere" => {
                say(
                    &mut stream,
                    "307 Temporary Redirect",
                    "Location: http://127.0.0.1:1/\r\n",
                    "",
                )
                .await;
            }
            ("POST", Some("initialize")) if part == "no server" => {
                say(
                    &mut stream,
                    "200 OK",
                    "Content-Type: text/html\r\n",
                    "<p>hello",
                )
                .await;
            }
            ("POST", Some("initialize")) => {
                counts.initialized.fetch_add(1, Ordering::Relaxed);
                let result = answer(json!({
                    "protocolVersion": request.body["params"]["protocolVersion"],
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "web", "version": "1"},
                }));
                say(&mut stream, "200 OK", JSON, &result).await;
            }
            ("POST", Some("tools/list")) => {
                let tools = json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]});
                say(&mut stream, "200 OK", JSON, &answer(tools)).await;
            }
            ("POST", Some("tools/call")) => {
                counts.calls.fetch_add(1, Ordering::Relaxed);
                let result = answer(json!({"content": [{"type": "text", "text": "said"}]}));
                if !call(&mut stream, part, &result).await {
                    return;
                }
            }
            ("POST", Some("ping")) => say(&mut stream, "200 OK", JSON, &answer(json!({}))).await,
            ("POST", _) => say(&mut stream, "202 Accepted", "", "").await,
            ("GET", _) => say(&mut stream, "405 Method Not Allowed", "", "").await,
            _ => say(&mut stream, "200 OK", "", "").await,
        }
    }
}

/// Whether the connection goes on.
async fn call(stream: &mut BufReader<TcpStream>, part: &str, result: &str) -> bool {
    match part {
        "events" => {
            let text = format!("{EVENTS}event: message\ndata: {result}\n\n");
            let _ = stream.write_all(text.as_bytes()).await;
            false
        }
        "hangs" => std::future::pending().await,
        "drops" => false,
        "floods" => {
            let endless = format!("data: {}\n", "x".repeat(1 << 10));
            let _ = stream.write_all(EVENTS.as_bytes()).await;
            while stream.write_all(endless.as_bytes()).await.is_ok() {}
            false
        }
        "talks" => {
            let body = format!("\"{}\"", "x".repeat(2 << 20));
            say(stream, "200 OK", JSON, &body).await;
            true
        }
        "forgets" => {
            say(stream, "404 Not Found", "", "").await;
            true
        }
        "fails" => {
            say(stream, "500 Internal Server Error", "", "").await;
            true
        }
        "busy" => {
            say(stream, "429 Too Many Requests", "", "").await;
            true
        }
        "babbles" => {
            say(stream, "200 OK", JSON, "Segmentation fault").await;
            true
        }
        _ => {
            say(stream, "200 OK", JSON, result).await;
            true
        }
    }
}

fn config(web: &Web) -> ServerConfig {
    let mut config = ServerConfig::http("s", web.address.as_str());
    config.max_message_bytes = 1 << 20;
    config.start_timeout = PATIENCE;
    config
}

#[tokio::test]
async fn a_server_elsewhere_answers_in_one_piece_or_in_events() {
    for part in ["well", "events"] {
        let web = web(part).await;
        let mut config = config(&web);
        if let Transport::Http { headers, .. } = &mut config.transport {
            headers.insert("Authorization".into(), "Bearer let-me-in".into());
        }
        let stage = Stage::up(config).await;
        let status = stage.status();
        assert_eq!(
            (status.pid, status.tools),
            (None, vec!["s__echo".to_owned()])
        );
        assert_eq!(
            stage.call("s__echo", "{}").await.unwrap().text,
            "said",
            "{part}"
        );
        assert!(web.counts.authorized.load(Ordering::Relaxed) >= 3);
        stage.stop(&[]).await;
    }
}

#[tokio::test]
async fn whatever_a_server_elsewhere_does_wrong_is_a_typed_error_and_nothing_is_sent_twice() {
    let cases = [
        ("drops", "interrupted"),
        ("floods", "interrupted"),
        ("talks", "interrupted"),
        ("fails", "interrupted"),
        ("babbles", "interrupted"),
        ("forgets", "unavailable"),
        ("busy", "unavailable"),
        ("hangs", "timed_out"),
    ];
    for (part, kind) in cases {
        let web = web(part).await;
        let mut config = config(&web);
        // Long enough for the others, and what the last runs into.
        config.call_timeout = Some(Duration::from_secs(if part == "hangs" { 1 } else { 20 }));
        let stage = Stage::up(config).await;
        let error = stage.call("s__echo", "{}").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{part}: {error}");
        assert_eq!(web.counts.calls.load(Ordering::Relaxed), 1, "{part}");
        stage.stop(&[]).await;
    }
}

#[tokio::test]
async fn a_server_elsewhere_that_is_not_there_or_lets_nobody_in_says_so() {
    for (part, text) in [
        ("locked", "authorization required"),
        ("elsewhere", "HTTP 307"),
        ("no server", "text/html"),
    ] {
        let web = web(part).await;
        let stage = Stage::start(vec![config(&web)]).await;
        let status = stage.until(|status| status.last_error.is_some()).await;
        let why = status.last_error.unwrap();
        assert!(
            why.to_lowercase().contains(&text.to_lowercase()),
            "{part}: {why}"
        );
        assert_eq!(web.counts.initialized.load(Ordering::Relaxed), 0);
        stage.stop(&[]).await;
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    let stage = Stage::start(vec![ServerConfig::http("s", address)]).await;
    let resting = |status: &paraphym_mcp_client::ServerStatus| {
        matches!(status.state, ServerState::Resting { .. })
    };
    let why = stage.until(resting).await.last_error.unwrap();
    assert!(why.contains("refused"), "{why}");
    stage.stop(&[]).await;
}
