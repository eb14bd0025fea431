//! What connections in real time cost, over loopback, the server in a process of its own: ten thousand that only beat, and a
//! thousand that look at one answer. The promises are 30 KB of resident memory each and 3 % of a core, and 50 ms from a token
//! to the last of a thousand sockets.
//!
//! ```sh
//! cargo bench --package paraphym_gateway --bench connections           # 10 000 and 1 000
//! cargo bench --package paraphym_gateway --bench connections -- 500 50 # fewer, a look while working
//! ```
//!
//! The clients are another process on the same machine and take processor time, too. No figure is judged by exit code; a
//! client that is refused, closed, or misses a piece of the answer ends the bench with an error.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench stops at the first surprise"
)]

#[path = "../crates/gateway/tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use connection::{Limits, Seats};
use engine::{
    Beginning, Engine, LoadError, LoadedModel, ModelCard, ModelLoader, ModelSource, PrefixId,
    SequenceId, SequencePlan, StepError, StepInput, StepOutput,
};
use futures_util::{SinkExt, StreamExt, stream};
use model_host::HostConfig;
use rustix::process::{Resource, getrlimit, setrlimit};
use support::Scene;
use support::live::{Bounds, JOIN, say};
use testkit::scripted::{Answer, ScriptedLoader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, interval, interval_at, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Says which part this process is.
const PART: &str = "PARAPHYM_BENCH_PART";
/// How long the idle are looked at, each time.
const LOOK: Duration = Duration::from_secs(5);
/// How often. The median is told, and the extremes: others may use the machine, too.
const LOOKS: usize = 9;
/// Before they are looked at.
const SETTLE: Duration = Duration::from_secs(10);
/// Clients that connect at the same time.
const AT_ONCE: usize = 200;
/// Tokens of the answer that is looked at.
const TOKENS: u32 = 200;
/// 20 tokens a second: a small model on this kind of machine.
const STEP: Duration = Duration::from_millis(50);
/// Ticks of `/proc/self/stat` a second, on every Linux there is.
const TICKS: f64 = 100.0;

type Socket = WebSocketStream<TcpStream>;
/// When each token was said, in microseconds since 1970: two processes have that clock together.
type Said = Arc<Mutex<Vec<u64>>>;

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_micros() as u64
}

/// The scripted model, which says when it said what.
struct Timed {
    loader: ScriptedLoader,
    said: Said,
}

struct TimedEngine {
    engine: Box<dyn Engine>,
    said: Said,
}

impl ModelLoader for Timed {
    fn inspect(&self, source: &ModelSource) -> Result<ModelCard, LoadError> {
        self.loader.inspect(source)
    }

    fn load(
        &self,
        source: &ModelSource,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<LoadedModel, LoadError> {
        let loaded = self.loader.load(source, progress)?;
        let said = Arc::clone(&self.said);
        let engine = Box::new(TimedEngine {
            engine: loaded.engine,
            said,
        });
        Ok(LoadedModel { engine, ..loaded })
    }
}

impl Engine for TimedEngine {
    fn open(&mut self, sequence: SequenceId, plan: SequencePlan) -> Result<(), StepError> {
        self.engine.open(sequence, plan)
    }

    fn open_from(
        &mut self,
        sequence: SequenceId,
        plan: SequencePlan,
        from: Beginning,
    ) -> Result<(), StepError> {
        self.engine.open_from(sequence, plan, from)
    }

    fn close(&mut self, sequence: SequenceId) {
        self.engine.close(sequence);
    }

    fn keep(&mut self, sequence: SequenceId, prefix: PrefixId, tokens: u32) -> u32 {
        self.engine.keep(sequence, prefix, tokens)
    }

    fn forget(&mut self, prefix: PrefixId) {
        self.engine.forget(prefix);
    }

    fn step(&mut self, batch: &[StepInput]) -> Result<Vec<StepOutput>, StepError> {
        let outputs = self.engine.step(batch)?;
        let tokens = outputs.iter().filter(|output| output.token.is_some());
        let now = now_us();
        self.said.lock().unwrap().extend(tokens.map(|_| now));
        Ok(outputs)
    }
}

/// The server's process: says where it listens, serves until its input ends, and then says when it said each token.
async fn server(clients: usize) {
    let said = Said::default();
    let loader = ScriptedLoader::new(Answer::Counting).with_card(|card| card.context_tokens = 4096);
    let control = loader.control();
    let model = Timed {
        loader,
        said: Arc::clone(&said),
    };
    let bounds = Bounds {
        limits: Limits::default(),
        seats: Seats {
            in_all: clients + 10,
            of_one: 10,
        },
        tokens: Some(TOKENS),
    };
    let steps = 1..=u64::from(TOKENS) + 8;
    let gates: Vec<_> = steps.map(|step| control.gate_step(step)).collect();
    let host = HostConfig::default();
    let scene = Scene::live_with(model, control.clone(), host, bounds, |config| {
        // Those that have not said who they are may be a quarter.
        config.limits.connections = (clients + 10).max(8 * AT_ONCE);
    })
    .await;
    println!("{}", scene.address);
    let pace = async {
        control.wait_until(|counts| counts.steps >= 1).await;
        let mut ticks = interval(STEP);
        for gate in gates {
            ticks.tick().await;
            gate.release();
        }
        std::future::pending::<()>().await;
    };
    let told = async {
        let mut nothing = Vec::new();
        tokio::io::stdin().read_to_end(&mut nothing).await.unwrap();
    };
    tokio::select! {
        () = pace => unreachable!(),
        () = told => {}
    }
    let all: Vec<String> = said.lock().unwrap().iter().map(u64::to_string).collect();
    println!("{}", all.join(" "));
    scene.end().await;
}

/// The server, seen from the clients' process.
struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(clients: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(PART, format!("server {clients}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut address = String::new();
        output.read_line(&mut address).unwrap();
        let address = address
            .trim()
            .parse()
            .expect("the server says where it listens");
        Self {
            child,
            input,
            output,
            address,
        }
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// A number of `/proc/…/status`.
    fn status(&self, name: &str) -> f64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.unwrap().parse().unwrap()
    }

    /// Seconds of processor time.
    fn processor(&self) -> f64 {
        let stat = self.file("stat");
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let times = fields.split(' ').skip(11).take(2);
        times
            .map(|ticks| ticks.parse::<f64>().unwrap())
            .sum::<f64>()
            / TICKS
    }

    /// Ends it; when it said each token.
    fn end(mut self) -> Vec<u64> {
        drop(self.input);
        let mut said = String::new();
        self.output.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "the server failed");
        said.split_whitespace()
            .map(|time| time.parse().unwrap())
            .collect()
    }
}

/// A client that has said who it is. Its own buffers are small: there are many.
async fn client(address: SocketAddr, number: usize) -> Socket {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let config = WebSocketConfig::default()
        .read_buffer_size(1 << 10)
        .write_buffer_size(0);
    let opened = client_async_with_config("ws://localhost/ws", stream, Some(config)).await;
    let (mut socket, _) = opened.expect("the server takes every client");
    until(&mut socket, "hello").await;
    let identify = format!(r#"{{"op":"identify","user":"user-{number}"}}"#);
    socket.send(Message::text(identify)).await.unwrap();
    until(&mut socket, "ready").await;
    socket
}

/// Reads on to a frame of that op.
async fn until(socket: &mut Socket, op: &str) {
    let op = format!(r#""op":"{op}""#);
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) if text.contains(&op) => return,
            Some(Ok(Message::Text(_))) => {}
            other => panic!("expected {op}, heard {other:?}"),
        }
    }
}

async fn clients(address: SocketAddr, numbers: std::ops::Range<usize>) -> Vec<Socket> {
    let all = stream::iter(numbers).map(|number| client(address, number));
    all.buffer_unordered(AT_ONCE).collect().await
}

/// Beats as the protocol wants it, and reads what comes, for ever. `share` of the first pause is waited: all began together.
async fn beat(mut socket: Socket, share: f64) {
    let pause = Limits::default().rhythm.heartbeat();
    let mut beats = interval_at(Instant::now() + pause.mul_f64(share), pause);
    loop {
        tokio::select! {
            _ = beats.tick() => {
                let beat = r#"{"op":"heartbeat","seq":0}"#;
                socket.send(Message::text(beat)).await.unwrap();
            }
            heard = socket.next() => match heard {
                Some(Ok(Message::Text(text))) => {
                    assert!(!text.contains("heartbeat_wanted"), "it beats too late");
                }
                other => panic!("an idle client was closed: {other:?}"),
            },
        }
    }
}

/// So many that only beat; with a conversation of its own each, or none.
async fn idle(many: usize, joined: bool) {
    let server = Server::start(many);
    // What is made once is made before it is weighed.
    let mut some = clients(server.address, 0..(many / 100).max(1)).await;
    let (before, few) = (server.status("VmRSS:"), some.len());
    let begun = Instant::now();
    some.extend(clients(server.address, few..many).await);
    let rate = (many - few) as f64 / begun.elapsed().as_secs_f64();
    if joined {
        for (number, socket) in some.iter_mut().enumerate() {
            let join = format!(r#"{{"op":"join","conversation":"c{number}"}}"#);
            socket.send(Message::text(join)).await.unwrap();
            until(socket, "room").await;
        }
    }
    let mut beating = JoinSet::new();
    for (number, socket) in some.into_iter().enumerate() {
        beating.spawn(beat(socket, (number as f64 + 0.5) / many as f64));
    }
    // What follows from their coming is over.
    sleep(SETTLE).await;
    let mut shares = Vec::new();
    for _ in 0..LOOKS {
        let (spent, begun) = (server.processor(), Instant::now());
        sleep(LOOK).await;
        shares.push((server.processor() - spent) / begun.elapsed().as_secs_f64() * 100.0);
    }
    shares.sort_by(f64::total_cmp);
    let (least, share, most) = (shares[0], shares[LOOKS / 2], shares[LOOKS - 1]);
    let after = server.status("VmRSS:");
    let threads = server.status("Threads:");
    assert!(beating.try_join_next().is_none(), "one of them ended");
    let each = (after - before) * 1024.0 / (many - few) as f64;
    let what = if joined { "joined" } else { "idle" };
    println!(
        "{what:8} {many} clients   {each:.0} bytes each ({:.0} MiB in all)   {share:.2} % of a core \
         [{least:.2}..{most:.2}]   {threads} threads   {rate:.0} began a second",
        after / 1024.0
    );
    beating.shutdown().await;
    server.end();
}

/// What came to one socket, and when.
type Arrived = Vec<(u64, String)>;

/// Reads to the end of the answer. What was read is looked at later: that takes time.
async fn look(mut socket: Socket, ready: Arc<Barrier>) -> Arrived {
    socket.send(Message::text(JOIN)).await.unwrap();
    until(&mut socket, "room").await;
    ready.wait().await;
    let mut arrived = Vec::new();
    loop {
        let heard = socket.next().await;
        let at = now_us();
        let Some(Ok(Message::Text(text))) = heard else {
            panic!("a viewer was closed: {heard:?}");
        };
        let is_end = text.contains(r#""op":"ended""#);
        arrived.push((at, text.as_str().to_owned()));
        if is_end {
            return arrived;
        }
    }
}

/// When each token arrived, having checked that all of them did, in order.
fn tokens(arrived: &Arrived) -> Vec<u64> {
    let mut tokens = Vec::new();
    for (at, text) in arrived {
        let frame: serde_json::Value = serde_json::from_str(text).unwrap();
        if frame["op"] == "delta" {
            for number in frame["text"].as_str().unwrap().split_whitespace() {
                assert_eq!(number, tokens.len().to_string(), "a piece is missing");
                tokens.push(*at);
            }
        }
    }
    assert_eq!(tokens.len(), TOKENS as usize, "all of it came");
    tokens
}

/// So many that look at one answer.
async fn viewers(many: usize) {
    let server = Server::start(many + 1);
    let ready = Arc::new(Barrier::new(many + 1));
    let mut looking = JoinSet::new();
    for socket in clients(server.address, 0..many).await {
        looking.spawn(look(socket, Arc::clone(&ready)));
    }
    ready.wait().await;
    let mut asker = client(server.address, many).await;
    asker.send(Message::text(JOIN)).await.unwrap();
    until(&mut asker, "room").await;
    let spent = server.processor();
    let begun = Instant::now();
    asker.send(Message::text(say("n"))).await.unwrap();
    until(&mut asker, "ended").await;
    let all = looking.join_all().await;
    let share = (server.processor() - spent) / begun.elapsed().as_secs_f64() * 100.0;
    drop(asker);
    let said = server.end();
    let each: Vec<Vec<u64>> = all.iter().map(tokens).collect();
    let late = |token: usize, arrived: u64| (arrived as f64 - said[token] as f64) / 1e3;
    let last = (0..TOKENS as usize).map(|token| {
        let arrivals = each.iter().map(|one| one[token]);
        late(token, arrivals.max().unwrap())
    });
    let every = each.iter().flat_map(|one| {
        let one = one.iter().enumerate();
        one.map(|(token, arrived)| late(token, *arrived))
    });
    row("to the last viewer", last.collect());
    row("to each viewer", every.collect());
    println!("viewers  {many} of one answer   {share:.0} % of a core while it is said");
}

fn row(what: &str, mut late: Vec<f64>) {
    late.sort_by(f64::total_cmp);
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    let (middle, most, all) = (at(0.5), at(0.99), at(1.0));
    println!(
        "{what:20} p50 {middle:7.2} ms   p99 {most:7.2} ms   max {all:7.2} ms   n {}",
        late.len()
    );
}

/// As many open files as this user may have; the server's process has the same.
fn open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

async fn measure(many: usize, looking: usize) {
    idle(many, false).await;
    idle(many, true).await;
    viewers(looking).await;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = runtime::RuntimeOptions::default();
    open_files();
    if let Ok(part) = std::env::var(PART) {
        let clients = part.strip_prefix("server ").unwrap().parse()?;
        runtime::run(&options, |_| server(clients))?;
        return Ok(());
    }
    let mut given = std::env::args().skip(1).filter_map(|one| one.parse().ok());
    let (many, looking) = (given.next().unwrap_or(10_000), given.next().unwrap_or(1000));
    runtime::run(&options, |_| measure(many, looking))?;
    Ok(())
}
