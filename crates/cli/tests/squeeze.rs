//! The built binary where memory is short: a control group with barely the room that one of two models needs, and eight
//! conversations that want both. It is never killed: who is answered is answered whole, who is not hears why and when to
//! come back.
//!
//! The kernel is the judge: it counts what is really in use and whom it killed. Where no such group can be made (it takes
//! root and a memory controller) the test says so; `paraphym_root` squeezes the tree in every place, with
//! memory that is only counted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and its figures are worth reading"
)]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use domain::Bytes;
use engine::helpers::{Helpers, Share};
use engine::{ModelCard, ModelLoader, ModelSource};
use inference::GgufLoader;
use inference::fixture::{Sizes, TinyModel};
use inference::format::Format;
use rustix::fs::{Advice, fadvise};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::memory_cgroup::MemoryCgroup;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::task::JoinSet;

const MODELS: [&str; 2] = ["one", "two"];
const CONVERSATIONS: usize = 8;
const TURNS: usize = 3;
/// How often a turn is asked again after a refusal, each time after a short rest.
const TRIES: usize = 4;
const REST: Duration = Duration::from_millis(250);
/// Tokens of an answer. Answers are nonsense; what they cost is real.
const ANSWER: u32 = 6;
/// Conversations that have room beside the model, at the full length of its window: half of what runs at once.
const ROOM_FOR: u64 = 2;
/// Of everything that must happen. On a slow machine with others on it, a minute is a lot; more is a hang.
const DEADLINE: Duration = Duration::from_mins(2);

/// 70 MiB of weights, three quarters of them in two tables of which one is only looked up: heavy, and quick to compute.
/// 16 KiB of keys and values for each token.
const SIZES: Sizes = Sizes {
    width: 1024,
    heads: 8,
    kv_heads: 8,
    head_width: 64,
    layers: 4,
    feed_forward: 128,
    more_tokens: 3800,
};

/// As many threads as the server computes with.
#[derive(Debug)]
struct AsInTheServer;

impl Helpers for AsInTheServer {
    fn threads(&self) -> usize {
        std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
    }

    fn call(&self, _: Share) {}
}

/// Two models in a folder, read by nobody yet: their pages are in no cache, so reading them is charged to the reader.
struct Models {
    folder: TempDir,
    card: ModelCard,
}

impl Models {
    fn write() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (seed, name) in (1..).zip(MODELS) {
            let path = folder.path().join(format!("{name}.gguf"));
            let model = TinyModel::qwen2().seed(seed).weights(Format::F32);
            model.sized(SIZES).write(&path).unwrap();
            forget(&path);
        }
        let path = folder.path().join("one.gguf");
        let loader = GgufLoader::new().with_helpers(Arc::new(AsInTheServer));
        let card = loader.inspect(&ModelSource { path }).unwrap();
        Self { folder, card }
    }

    /// What one model and the conversations it has room for take.
    fn need(&self) -> Bytes {
        let window = self.card.kv_bytes(self.card.context_tokens);
        let talking = window.saturating_mul(ROOM_FOR);
        let resident = self.card.resident_bytes().saturating_add(talking);
        resident.max(self.card.most_bytes())
    }

    /// The smallest group whose budget is that: an eighth of it stays unleased, for the program itself.
    fn limit(&self) -> Bytes {
        const PAGE: u64 = 4096;
        Bytes((self.need().0 / 7 * 8 + 2 * PAGE).next_multiple_of(PAGE))
    }
}

fn forget(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
}

/// The server in its group. It is ended with the value, and the group after it.
struct Server {
    child: Child,
    address: String,
    log: JoinSet<String>,
}

impl Server {
    async fn start(group: &MemoryCgroup, models: &Models) -> Self {
        let mut command = group.command(env!("CARGO_BIN_EXE_paraphym"));
        command
            .args(["serve", "--bind", "127.0.0.1:0", "--model", MODELS[0]])
            .arg("--models-dir")
            .arg(models.folder.path())
            .env_clear()
            .env("HOME", models.folder.path())
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap();
            let line = line.expect("the server says where it listens");
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().to_owned();
            }
        };
        let mut log = JoinSet::new();
        log.spawn(async move {
            let mut all = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                all.push_str(&line);
                all.push('\n');
            }
            all
        });
        Self {
            child,
            address,
            log,
        }
    }

    /// The sum of that metric over all its labels.
    async fn metric(&self, name: &str) -> u64 {
        let said = request(&self.address, "GET /metrics", "").await;
        let values = said.body.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            let is_it = labels.is_empty() || labels.starts_with('{');
            value.parse::<f64>().ok().filter(|_| is_it)
        });
        let values: Vec<f64> = values.collect();
        assert!(!values.is_empty(), "{name} is missing in {}", said.body);
        values.iter().sum::<f64>() as u64
    }

    /// Ends it as an operator would: how it ended, and what it said meanwhile.
    async fn end(mut self) -> (ExitStatus, String) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let status = self.child.wait().await.unwrap();
        (status, self.log.join_next().await.unwrap().unwrap())
    }
}

#[derive(Debug)]
struct Said {
    status: u16,
    retry_after: Option<u64>,
    body: String,
}

async fn request(address: &str, head: &str, body: &str) -> Said {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let text = format!(
        "{head} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut whole = String::new();
    stream.read_to_string(&mut whole).await.unwrap();
    let (head, body) = whole.split_once("\r\n\r\n").expect("a whole answer");
    let after = head.lines().find_map(|l| l.strip_prefix("retry-after: "));
    Said {
        status: head[9..12].parse().unwrap(),
        retry_after: after.map(|seconds| seconds.parse().unwrap()),
        body: body.to_owned(),
    }
}

/// What became of one question.
enum Outcome {
    Answered(String),
    /// The error's code.
    Refused(String),
}

/// Asks, and takes nothing but a whole answer or a refusal that says what and when.
async fn ask(address: &str, model: &str, messages: &[Value]) -> Outcome {
    let body =
        json!({"model": model, "messages": messages, "max_tokens": ANSWER, "temperature": 0});
    let said = request(address, "POST /v1/chat/completions", &body.to_string()).await;
    let value: Value =
        serde_json::from_str(&said.body).unwrap_or_else(|error| panic!("{error}: {}", said.body));
    if said.status == 200 {
        let choice = &value["choices"][0];
        let reason = choice["finish_reason"].as_str().unwrap();
        assert!(["stop", "length"].contains(&reason), "{value}");
        return Outcome::Answered(choice["message"]["content"].as_str().unwrap().to_owned());
    }
    let code = value["error"]["code"].as_str().unwrap_or_default();
    let typed = [
        "memory_exhausted",
        "overloaded",
        "circuit_open",
        "unavailable",
    ]
    .contains(&code);
    assert!(
        typed && [429, 503].contains(&said.status) && said.retry_after.is_some_and(|s| s > 0),
        "neither an answer nor a typed refusal: {said:?}"
    );
    Outcome::Refused(code.to_owned())
}

/// What one conversation heard: answers by model, refusals by code.
#[derive(Default)]
struct Heard {
    answered: BTreeMap<&'static str, usize>,
    refused: BTreeMap<String, usize>,
}

/// One conversation, each turn with the other model.
async fn converse(address: String, number: usize) -> Heard {
    let mut heard = Heard::default();
    let mut messages = Vec::new();
    for turn in 0..TURNS {
        let model = MODELS[(number + turn) % MODELS.len()];
        let text = "hello there user ".repeat(2 + number);
        messages.push(json!({"role": "user", "content": text}));
        for _ in 0..TRIES {
            match ask(&address, model, &messages).await {
                Outcome::Answered(text) => {
                    *heard.answered.entry(model).or_default() += 1;
                    messages.push(json!({"role": "assistant", "content": text}));
                    break;
                }
                Outcome::Refused(code) => {
                    *heard.refused.entry(code).or_default() += 1;
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
    heard
}

async fn all_converse(server: &Server) -> Heard {
    let mut conversations = JoinSet::new();
    for number in 0..CONVERSATIONS {
        conversations.spawn(converse(server.address.clone(), number));
    }
    let mut all = Heard::default();
    for heard in conversations.join_all().await {
        for (model, count) in heard.answered {
            *all.answered.entry(model).or_default() += count;
        }
        for (code, count) in heard.refused {
            *all.refused.entry(code).or_default() += count;
        }
    }
    all
}

/// Alive, and never was there a kill. The group counts the kills of all its processes.
async fn assert_alive(server: &mut Server, group: &MemoryCgroup) {
    assert_eq!(group.kills().unwrap(), 0, "the kernel had to kill");
    assert_eq!(server.child.try_wait().unwrap(), None, "it ended");
    let healthy = request(&server.address, "GET /healthz", "").await;
    assert_eq!(healthy.status, 200);
}

/// What is leased covers what is used: all that programs took, less what the budget leaves unleased for the program.
async fn assert_covered(server: &Server, group: &MemoryCgroup, limit: Bytes) {
    let leased = Bytes(server.metric("paraphym_memory_leased_bytes").await);
    let budget = Bytes(server.metric("paraphym_memory_limit_bytes").await);
    let used = group.anonymous().unwrap();
    println!("leased {leased} of {budget}, in use {used} of {limit}");
    assert!(leased <= budget);
    let unleased = limit.saturating_sub(budget);
    assert!(
        used <= leased.saturating_add(unleased),
        "{used} are in use, {leased} leased, {unleased} for the rest"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn squeezed_it_sheds_evicts_and_refuses_but_is_never_killed() {
    let models = Models::write();
    let limit = models.limit();
    let group = match MemoryCgroup::new("squeeze", limit) {
        Ok(group) => group,
        Err(reason) => return println!("not tested: {reason}"),
    };
    let mut server = Server::start(&group, &models).await;
    let budget = Bytes(server.metric("paraphym_memory_limit_bytes").await);
    let weights = models.card.weights_bytes;
    assert!(budget >= models.need(), "{budget} for {}", models.need());
    assert!(budget < weights.saturating_mul(2), "two would fit");

    let heard = tokio::time::timeout(DEADLINE, all_converse(&server)).await;
    assert_alive(&mut server, &group).await;
    let heard = heard.expect("every conversation ends");
    println!("answered {:?}, refused {:?}", heard.answered, heard.refused);
    assert!(!heard.answered.is_empty(), "{:?}", heard.refused);
    assert_covered(&server, &group, limit).await;

    // With nobody else there, each is served as soon as the other is let go.
    for model in MODELS {
        let messages = [json!({"role": "user", "content": "hello"})];
        if let Outcome::Refused(code) = ask(&server.address, model, &messages).await {
            panic!("{model}, alone, is refused: {code}");
        }
        assert_covered(&server, &group, limit).await;
    }
    assert_alive(&mut server, &group).await;
    let most = group.most_used().unwrap();
    assert!(most <= limit, "{most} of {limit}");
    let (status, log) = server.end().await;
    assert_eq!(status.code(), Some(143), "{log}");
}
