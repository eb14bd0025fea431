//! Rooms, typing and agents behind the gateway, and clients that speak WebSocket over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_worker::{Agents, Config, TurnSettings, Window};
use cache_janitor::CacheJanitor;
use connection::wire::room::ConversationLine;
use connection::{Connections, Deps, History, Limits, Part, Said, Seats, TreeFeed};
use domain::{ConversationId, ModelName, Sampling};
use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use model_host::ModelHost;
use serde_json::Value;
use supervision::{ChildSpec, Handle};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::FOR_EVER;

pub const JOIN: &str = r#"{"op":"join","conversation":"c"}"#;
/// The most bytes of a client's frame.
pub const FRAME_BYTES: usize = 1 << 18;

/// How connections in real time are bounded.
#[derive(Clone, Copy, Default)]
pub struct Bounds {
    pub limits: Limits,
    pub seats: Seats,
    /// Tokens of an answer; 50 where nothing is said.
    pub tokens: Option<u32>,
}

/// Nothing was said before.
struct Nothing;

impl History for Nothing {
    fn messages(&self, _: ConversationId, _: Part) -> BoxFuture<'static, Result<Said, String>> {
        Box::pin(async { Ok(Said::default()) })
    }

    fn conversations(&self) -> BoxFuture<'static, Result<Vec<ConversationLine>, String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// What stands between the model host and the gateway.
pub fn children(
    host: Handle<ModelHost>,
    janitor: Handle<CacheJanitor>,
    bounds: Bounds,
) -> (Vec<ChildSpec>, Connections) {
    let config = Config::default();
    let (workers_spec, workers) = agent_worker::children(&config);
    let agents = Agents::new(workers, host, config);
    let keeper = agents.keeper(janitor);
    let (typing_spec, typing) = typing::child(typing::EXPIRY).unwrap();
    let drain = Duration::from_secs(30);
    let (answers, rooms) = room::rooms(agents, typing.clone(), Arc::new(|| 1), drain);
    let tokens = bounds.tokens.unwrap_or(50);
    let deps = Deps {
        rooms,
        typing,
        history: Arc::new(Nothing),
        settings: Arc::new(move |_: Option<&str>, _: Option<f32>| Ok(settings(tokens))),
        tree: TreeFeed::default(),
        clock: Arc::new(|| 1),
        limits: bounds.limits,
        joined: 4,
    };
    let (connections_spec, instances) = connection::children();
    let number = AtomicU64::new(0);
    let ids = move || format!("id-{}", number.fetch_add(1, Ordering::Relaxed));
    let connections = Connections::new(instances, deps, bounds.seats, Arc::new(ids), FRAME_BYTES);
    let specs = workers_spec.into_iter();
    let specs = specs.chain([keeper, typing_spec, answers, connections_spec]);
    (specs.collect(), connections)
}

fn settings(tokens: u32) -> TurnSettings {
    TurnSettings {
        sampling: Sampling {
            seed: 0,
            max_tokens: tokens,
            ..Sampling::greedy()
        },
        context: Window::Refuse,
        ..TurnSettings::new(ModelName::new("tiny"))
    }
}

/// One that speaks WebSocket.
pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    /// The last number it has.
    pub seq: u64,
}

impl Client {
    /// A client that has just connected.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::over(stream, &[]).await.unwrap()
    }

    /// The same with a kernel that takes as little as it can for a client that does not read.
    pub async fn with_little_room(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(1024).unwrap();
        let stream = socket.connect(address).await.unwrap();
        Self::over(stream, &[]).await.unwrap()
    }

    /// With these headers; the status of a refusal, and its body.
    pub async fn over(
        stream: TcpStream,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, (u16, String)> {
        let mut request = "ws://localhost/ws".into_client_request().unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(*name, value);
        }
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self { socket, seq: 0 }),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                let body = String::from_utf8(body).unwrap();
                Err((response.status().as_u16(), body))
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// One that has said who it is; what it heard.
    pub async fn named(address: SocketAddr, user: &str) -> (Self, Value) {
        let mut client = Self::connect(address).await;
        let ready = client.identify(user).await;
        (client, ready)
    }

    /// Says who it is.
    pub async fn identify(&mut self, user: &str) -> Value {
        self.expect("hello").await;
        self.say(&format!(r#"{{"op":"identify","user":"{user}"}}"#))
            .await;
        self.expect("ready").await
    }

    /// One that shows the conversation, too.
    pub async fn viewer(address: SocketAddr, user: &str) -> (Self, Value) {
        let (mut client, ready) = Self::named(address, user).await;
        client.say(JOIN).await;
        client.expect("room").await;
        (client, ready)
    }

    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next frame, whose number has to be the next one; a close with its number and reason, or nothing when it was cut.
    pub async fn next(&mut self) -> Option<Result<Value, (u16, String)>> {
        loop {
            let heard = timeout(FOR_EVER, self.socket.next()).await.unwrap();
            match heard? {
                Ok(Message::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if let Some(seq) = frame["seq"].as_u64() {
                        assert_eq!(seq, self.seq + 1, "a frame is missing or doubled: {frame}");
                        self.seq = seq;
                    }
                    return Some(Ok(frame));
                }
                Ok(Message::Close(Some(close))) => {
                    return Some(Err((close.code.into(), close.reason.to_string())));
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                // RFC 6455, 7.1.5: a close without a code is 1005.
                Ok(Message::Close(None)) => return Some(Err((1005, String::new()))),
                Ok(other) => panic!("{other:?}"),
                Err(_) => return None,
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

    /// Reads on to the close, and beyond it to the end of the socket.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Some(Ok(_)) => {}
                Some(Err((code, _))) => {
                    assert!(self.next().await.is_none(), "something behind the close");
                    return code;
                }
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
}

/// Something said in the conversation.
pub fn say(nonce: &str) -> String {
    format!(r#"{{"op":"say","conversation":"c","text":"hi","nonce":"{nonce}"}}"#)
}

/// Goes on with a session.
pub fn resume(ready: &Value, seq: u64) -> String {
    let (session, epoch) = (&ready["session"], &ready["epoch"]);
    format!(r#"{{"op":"resume","session":{session},"epoch":{epoch},"seq":{seq}}}"#)
}
