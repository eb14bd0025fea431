//! The built binary with the real model, as a person, a script and a client use it.
//!
//! The model is the one that `PARAPHYM_TEST_MODEL` names, or the default model in the XDG data folder; `cargo xtask test`
//! brings it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use crate::common;
use crate::server;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use model_store::{DEFAULT_MODEL, Store, StoreConfig};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::timeout;

use common::Home;
use server::{Server, exchange};

const GRAVITY: &str = "What is gravity?";
const STORY: &str =
    "Write a very long story about a dragon, a princess and a castle, in twenty chapters.";

pub(crate) fn model() -> String {
    if let Ok(path) = std::env::var("PARAPHYM_TEST_MODEL") {
        assert!(
            std::path::Path::new(&path).is_file(),
            "PARAPHYM_TEST_MODEL names {path}, which is not there"
        );
        return path;
    }
    let store = Store::open(StoreConfig::at(None)).unwrap();
    let found = store.resolve(&domain::ModelName::new(DEFAULT_MODEL));
    let path = found.unwrap_or_else(|error| panic!("{error}; `cargo xtask test` brings it"));
    path.to_str().unwrap().to_owned()
}

pub(crate) fn paraphym(command: &str, args: &[&str]) -> Command {
    let mut process = bare(&[command]);
    process.args(["--model", &model()]).args(args);
    process
}

/// The same without a model that is named.
pub(crate) fn bare(args: &[&str]) -> Command {
    let mut process = Command::new(env!("CARGO_BIN_EXE_paraphym"));
    process.args(args);
    // The tests' own environment confines libraries already; the binary must do it by itself.
    process
        .env_remove("CANDLE_NUM_THREADS")
        .env_remove("TOKENIZERS_PARALLELISM")
        // What is said here is no part of anybody's history.
        .env("XDG_DATA_HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    // In the background of the terminal that the tests were started from: nobody is asked there.
    process
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    process
}

fn with_input(mut process: Command, input: &str) -> Output {
    let mut child = process.stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until the answer has begun.
fn first_words(child: &mut Child) -> std::process::ChildStdout {
    let mut out = child.stdout.take().unwrap();
    let mut byte = [0];
    out.read_exact(&mut byte).expect("an answer begins");
    out
}

#[test]
fn real_model_asked_by_argument_or_by_pipe_says_the_same_in_plain_text() {
    let asked = paraphym("ask", &["--greedy", "--max-tokens", "40", GRAVITY])
        .output()
        .unwrap();
    let said = text(&asked.stdout);
    assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    assert!(
        said.contains("Gravity") && said.contains("physics"),
        "{said}"
    );
    assert!(said.ends_with('\n') && !said.contains('\u{1b}'), "{said:?}");

    let piped = with_input(
        paraphym("ask", &["--greedy", "--max-tokens", "40"]),
        GRAVITY,
    );
    assert_eq!((piped.status.code(), text(&piped.stdout)), (Some(0), said));
}

#[test]
fn real_model_events_for_programs_end_exactly_once() {
    let asked = paraphym(
        "ask",
        &["--json", "--greedy", "--max-tokens", "12", GRAVITY],
    )
    .output()
    .unwrap();
    let out = text(&asked.stdout);
    let events: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = events
        .iter()
        .map(|event| event.get("event").and_then(Value::as_str).unwrap())
        .collect();
    assert_eq!(
        names.iter().filter(|name| **name == "finished").count(),
        1,
        "{names:?}"
    );
    assert_eq!(names.last(), Some(&"finished"), "{names:?}");
    assert!(names.contains(&"text"), "{names:?}");
}

#[test]
fn real_model_ctrl_c_stops_the_answer() {
    let mut child = paraphym("ask", &["--max-tokens", "4000", STORY])
        .spawn()
        .unwrap();
    let out = first_words(&mut child);
    send(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(out);
}

#[test]
fn real_model_sigterm_drains_and_lists_what_it_abandoned() {
    let mut child = paraphym("ask", &["--max-tokens", "4000", "--greedy", STORY])
        .spawn()
        .unwrap();
    let mut out = first_words(&mut child);
    send(&child, Signal::TERM);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let ended = child.wait_with_output().unwrap();
    let errors = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(143), "{errors}");
    assert!(
        errors.contains("abandoned: root/agent_supervisor/agent_worker-ask"),
        "{errors}"
    );
}

#[test]
fn real_model_sigterm_drains_and_lists_for_programs_too() {
    let args = ["--json", "--max-tokens", "4000", "--greedy", STORY];
    let mut child = paraphym("ask", &args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || {
        let line = lines.next()?.unwrap();
        Some(serde_json::from_str::<Value>(&line).unwrap())
    };
    while next().expect("an answer begins")["event"] != "text" {}
    send(&child, Signal::TERM);
    let rest: Vec<Value> = std::iter::from_fn(next).collect();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let said = rest.iter().filter(|event| event["event"] == "text").count();
    assert!(said > 8, "seconds of it are still said: {rest:?}");
    let abandoned = rest.iter().filter(|event| event["event"] == "abandoned");
    let whose: Vec<&Value> = abandoned.map(|event| &event["child"]).collect();
    let asked = Value::from("root/agent_supervisor/agent_worker-ask");
    assert!(whose.contains(&&asked), "{whose:?}");
    let terminated = serde_json::json!({"event": "failed", "error": "terminated"});
    assert_eq!(rest.last(), Some(&terminated));
}

#[test]
fn real_model_is_shown_with_what_it_needs() {
    let show = |args: &[&str]| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_paraphym"));
        let ran = process
            .args(["model", "show", &model()])
            .args(args)
            .output();
        let ran = ran.unwrap();
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
        text(&ran.stdout)
    };
    let said = show(&[]);
    for part in ["llama", "134.5 million", "Q4_1", "8192 tokens", "22.5 KiB"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    let shown: Value = serde_json::from_str(&show(&["--json"])).unwrap();
    let card = shown.get("card").unwrap();
    // 30 layers of 3 heads of 64, keys and values, 2 bytes each.
    assert_eq!(card["kv_bytes_per_token"], 30 * 3 * 64 * 2 * 2);
    assert_eq!(card["parameters"], 134_515_008);
}

#[test]
fn real_model_chat_acknowledges_and_remembers() {
    let lines =
        format!("/tokens 24\n/temperature 0\n{GRAVITY}\nAnd why?\n/history\n/nonsense\n/exit\n");
    let chat = with_input(paraphym("chat", &[]), &lines);
    let out = text(&chat.stdout);
    assert_eq!(chat.status.code(), Some(0), "{}", text(&chat.stderr));
    for part in [
        "24",
        "the temperature is now 0",
        "you: What is gravity?",
        "you: And why?",
    ] {
        assert!(out.contains(part), "{part} is missing in {out}");
    }
}

/// A server of the real model, in a home of its own.
fn serving() -> Server {
    Server::real(Home::new(), &["--model", &model(), "--store", "off"])
}

fn ask_body(text: &str, tokens: u32, stream: bool) -> String {
    serde_json::json!({
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens, "temperature": 0, "stream": stream,
    })
    .to_string()
}

/// Whom a process of this file's own binary is to ask, if it is one of the crowd.
const CROWD: &str = "PARAPHYM_TEST_CROWD";

/// One of the crowd: it asks again and again until it is killed, and tells of each whole answer.
#[test]
fn real_model_one_of_the_crowd() {
    let Ok(address) = std::env::var(CROWD) else {
        // An ordinary run: it is started by the test below.
        return;
    };
    loop {
        let answer = exchange(
            &address,
            "POST /v1/chat/completions",
            &ask_body(GRAVITY, 8, true),
        );
        let ended =
            answer.contains("\"finish_reason\":\"length\"") && answer.contains("data: [DONE]");
        assert!(answer.starts_with("HTTP/1.1 200") && ended, "{answer}");
        println!("whole");
    }
}

fn one_of_the_crowd(address: &str) -> Child {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args([
        "--exact",
        "real_model::real_model_one_of_the_crowd",
        "--nocapture",
    ]);
    process
        .env(CROWD, address)
        .process_group(0)
        .stdin(Stdio::null());
    process
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a sum of metrics of this name is.
fn sum(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// Twenty kills, three a second; `PARAPHYM_TEST_MINUTE=1` asks for one a second for a minute.
#[tokio::test]
async fn real_model_served_to_a_crowd_of_processes_outlives_those_that_are_killed() {
    let whole_minute = std::env::var_os("PARAPHYM_TEST_MINUTE").is_some();
    let (kills, a_second) = if whole_minute { (60, 1) } else { (20, 3) };
    let server = serving();
    // What was said to one client is kept for the next, whoever was killed meanwhile, and leased apart.
    let held = |metrics: &str| {
        sum(metrics, "paraphym_memory_leased_bytes") - sum(metrics, "paraphym_prefix_bytes{")
    };
    server.answer("POST /v1/chat/completions", &ask_body(GRAVITY, 8, true));
    let before = held(&server.answer("GET /metrics", ""));
    let mut crowd: Vec<Child> = (0..8).map(|_| one_of_the_crowd(&server.address)).collect();
    let kill = |mut one: Child| {
        let ended = one.try_wait().unwrap();
        assert!(ended.is_none(), "a survivor's answer was not whole");
        one.kill().unwrap();
        one.wait().unwrap();
    };
    for n in 0..kills {
        tokio::time::sleep(Duration::from_secs(1) / a_second).await;
        kill(crowd.remove(n * 5 % 8));
        crowd.push(one_of_the_crowd(&server.address));
    }
    // Each survivor was answered, wholly, and goes on asking: none stopped at an answer that was not.
    for mut survivor in crowd {
        let said = BufReader::new(survivor.stdout.take().unwrap()).lines();
        let mut said = said.map_while(Result::ok);
        assert!(
            said.any(|line| line.ends_with("whole")),
            "a survivor's answer was not whole"
        );
        kill(survivor);
    }
    // What a step was under way for ends with it.
    let mut metrics = String::new();
    let idle = timeout(Duration::from_secs(10), async {
        loop {
            metrics = server.answer("GET /metrics", "");
            let busy = ["paraphym_sequences_active{", "paraphym_sequences_waiting{"];
            let busy: f64 = busy.iter().map(|name| sum(&metrics, name)).sum();
            // The one that asks for it is in flight.
            if busy + sum(&metrics, "paraphym_http_requests_in_flight") <= 1.0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let idle = idle.await;
    assert!(idle.is_ok(), "something is left: {metrics}");
    assert!(
        metrics.contains("paraphym_threads{role=\"foreign\"} 0"),
        "{metrics}"
    );
    let after = held(&metrics);
    assert!(
        (after - before).abs() < 1.0,
        "{after} instead of {before} bytes: {metrics}"
    );
    let pid = server.child.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert_eq!(children, "", "no process of its own is left");
}

#[test]
fn real_model_served_streams_counts_and_outlives_clients_that_hang_up() {
    let server = serving();
    assert!(
        server
            .answer("GET /healthz", "")
            .starts_with("HTTP/1.1 200")
    );
    assert!(server.answer("GET /readyz", "").starts_with("HTTP/1.1 200"));

    // A client that hangs up in the middle of a long answer …
    let mut gone = server.request("POST /v1/chat/completions", &ask_body(STORY, 4000, true));
    let mut some = [0; 400];
    gone.read_exact(&mut some).unwrap();
    drop(gone);

    // … is not noticed by the next one.
    let streamed = server.answer("POST /v1/chat/completions", &ask_body(GRAVITY, 24, true));
    assert!(streamed.contains("text/event-stream"), "{streamed}");
    assert!(
        streamed.contains("\"delta\":{\"role\":\"assistant\""),
        "{streamed}"
    );
    assert!(streamed.contains("data: [DONE]"), "{streamed}");
    let whole = server.answer("POST /v1/chat/completions", &ask_body(GRAVITY, 24, false));
    assert!(
        whole.contains("\"finish_reason\":\"length\"") && whole.contains("Gravity"),
        "{whole}"
    );

    let metrics = server.answer("GET /metrics", "");
    assert!(
        metrics.contains("paraphym_tokens_generated_total{"),
        "{metrics}"
    );
    assert!(
        metrics.contains("paraphym_threads{role=\"foreign\"} 0"),
        "{metrics}"
    );
    let active = metrics
        .lines()
        .find(|line| line.starts_with("paraphym_sequences_active{"));
    assert!(
        active.is_some_and(|line| line.ends_with(" 0")),
        "the client that hung up costs nothing: {active:?}"
    );

    server.end();
}
