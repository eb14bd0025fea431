//! An operator steers a server whose real model answers: the part that holds the models is restarted and nobody who reads
//! can tell; the server is ended, and what does not end with it is told.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use crate::common;
use crate::server;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

use common::Home;
use serde_json::{Value, json};
use server::Server;

/// Tokens of each answer: enough to be in the middle for a while.
const TOKENS: u32 = 100;

/// Two that are sure of their words, two that throw dice.
fn ask(server: &Server, which: u64) -> Answer {
    let temperature = if which < 2 { 0.0 } else { 0.9 };
    let body = json!({
        "messages": [{"role": "user", "content": format!("Tell me a story about the number {which}.")}],
        "max_tokens": TOKENS, "temperature": temperature, "seed": which, "stream": true,
    });
    Answer::of(server.request("POST /v1/chat/completions", &body.to_string()))
}

struct Answer {
    lines: BufReader<TcpStream>,
    text: String,
    end: Option<String>,
    pieces: usize,
}

impl Answer {
    fn of(stream: TcpStream) -> Self {
        Self {
            lines: BufReader::new(stream),
            text: String::new(),
            end: None,
            pieces: 0,
        }
    }

    /// Takes the next line; whether there was one.
    fn read(&mut self) -> bool {
        let mut line = String::new();
        if self.lines.by_ref().read_line(&mut line).unwrap() == 0 {
            return false;
        }
        let Some(event) = line.trim().strip_prefix("data: {") else {
            return true;
        };
        let event: Value = serde_json::from_str(&format!("{{{event}")).unwrap();
        assert_eq!(event.get("error"), None, "{event}");
        let choice = &event["choices"][0];
        if let Some(piece) = choice["delta"]["content"]
            .as_str()
            .filter(|p| !p.is_empty())
        {
            self.text.push_str(piece);
            self.pieces += 1;
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            let again = self.end.replace(reason.to_owned());
            assert_eq!(again, None, "it ends twice");
        }
        true
    }

    fn whole(mut self) -> (String, Option<String>) {
        while self.read() {}
        (self.text, self.end)
    }
}

#[test]
fn real_model_host_is_restarted_and_killed_while_four_answers_stream() {
    let server = Server::real(Home::new(), &[]);
    let undisturbed: Vec<_> = (0..4).map(|which| ask(&server, which).whole()).collect();
    for (text, end) in &undisturbed {
        assert!(!text.is_empty() && end.is_some(), "{text} {end:?}");
    }
    for order in ["restart", "kill"] {
        let mut answers: Vec<Answer> = (0..4).map(|which| ask(&server, which)).collect();
        for answer in &mut answers {
            while answer.pieces < 3 {
                assert!(answer.read(), "{order}: ended early: {}", answer.text);
            }
        }
        let status = server.json(&["status"]);
        assert_eq!(status["models"]["answering"], 4, "{status}");
        let acted = server.home.json(&["ctl", order, "model_host"]);
        assert_eq!(acted["done"], true, "{acted}");
        for (answer, undisturbed) in answers.into_iter().zip(&undisturbed) {
            assert_eq!(&answer.whole(), undisturbed, "{order}");
        }
    }
    let why = server.home.say(&["ctl", "why", "model_host"]);
    for part in ["restart, ordered by", "kill, ordered by", "was killed"] {
        assert!(why.contains(part), "{part} in {why}");
    }
}

/// A request for an answer, and it has begun.
fn begun(server: &Server, max_tokens: u32) -> Answer {
    let body = json!({
        "messages": [{"role": "user", "content": "Write a very long story about a dragon."}],
        "max_tokens": max_tokens, "temperature": 0.0, "stream": true,
    });
    let mut answer = Answer::of(server.request("POST /v1/chat/completions", &body.to_string()));
    while answer.pieces < 3 {
        assert!(answer.read(), "it ended early: {}", answer.text);
    }
    answer
}

#[test]
fn real_model_that_answers_when_its_server_is_ended_is_waited_for() {
    let server = Server::real(Home::new(), &[]);
    let answer = begun(&server, TOKENS);
    let told = server.ctl(&["shutdown", "--deadline", "2m"]);
    let (text, end) = answer.whole();
    assert_eq!(end.as_deref(), Some("length"), "{text}");
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    for part in [
        "answers: 1 answer under way",
        "POST /v1/chat/completions",
        "runtime: ",
    ] {
        assert!(told.out.contains(part), "{part} in {}", told.out);
    }
    assert_eq!(server.ended().0, Some(0));
}

#[test]
fn real_model_whose_answer_does_not_end_in_time_is_abandoned_and_both_say_so() {
    let server = Server::real(Home::new(), &[]);
    let mut answer = begun(&server, 8000);
    let told = server.ctl(&["shutdown", "--deadline", "3s"]);
    assert_eq!(told.code, Some(4), "{}{}", told.out, told.err);
    let (said, abandoned) = (
        &told.out,
        "abandoned: root/gateway: POST /v1/chat/completions",
    );
    assert!(said.contains(abandoned), "{said}");
    assert!(
        said.contains("runtime: ") && !said.contains("cut off"),
        "{said}"
    );
    let (code, log) = server.ended();
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains(abandoned), "{log}");
    // The one who asked hears that it did not end well.
    let mut rest = String::new();
    answer.lines.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("\"error\"") && !rest.contains("[DONE]"),
        "{rest}"
    );
}

#[test]
fn real_model_answers_to_one_who_never_reads_and_a_second_signal_ends_it() {
    let mut server = Server::real(Home::new(), &[]);
    // Nothing is read from then on.
    let answer = begun(&server, 8000);
    server.signal(rustix::process::Signal::TERM);
    server.hear("phase=\"answers\"");
    server.insist();
    server.hear("in a hurry");
    let (code, log) = server.ended();
    assert_eq!(code, Some(4), "{log}");
    assert!(
        log.contains("abandoned: root/gateway: POST /v1/chat/completions"),
        "{log}"
    );
    drop(answer);
}

#[test]
fn real_model_stream_is_ended_by_its_requests_name() {
    let server = Server::real(Home::new(), &[]);
    let body = json!({
        "messages": [{"role": "user", "content": "Tell me a story about the number 2."}],
        "max_tokens": 1500, "temperature": 0.9, "seed": 2, "stream": true,
    });
    let asked = server.request_as("mine", "POST /v1/chat/completions", &body.to_string());
    let mut answer = Answer::of(asked);
    while answer.pieces < 3 {
        assert!(answer.read(), "ended early: {}", answer.text);
    }
    let ended = server.say(&["cancel", "mine"]);
    assert!(ended.starts_with("ended: chatcmpl-") && ended.ends_with(" (request mine)\n"));
    let mut rest = String::new();
    answer.lines.read_to_string(&mut rest).unwrap();
    assert!(rest.contains(r#""code":"cancelled""#), "{rest}");
    assert!(!rest.contains("[DONE]"), "{rest}");
    while server.json(&["status"])["models"]["answering"] != 0 {}
    assert_eq!(server.json(&["connections"])["open"], 0);
}

#[test]
fn real_model_answer_goes_on_while_its_server_drains_and_says_so() {
    let server = Server::real(Home::new(), &[]);
    let answer = begun(&server, TOKENS);
    for part in ["gateway", "lane_supervisor"] {
        let would = server.say(&["restart", part, "--dry-run"]);
        let told = would.ends_with("; 1 answer under way may end with it\n");
        assert!(told, "{would}");
    }
    let would = server.say(&["restart", "model_host", "--dry-run"]);
    assert!(!would.contains("answer"), "{would}");
    let would = server.say(&["drain", "--dry-run"]);
    assert_eq!(would, "would take nothing new; 1 answer goes on\n");
    let said = server.say(&["drain"]);
    assert!(said.contains("1 answer goes on"), "{said}");
    let ready = server.answer("GET /readyz", "");
    assert!(
        ready.starts_with("HTTP/1.1 503 ") && ready.contains("nothing new is taken"),
        "{ready}"
    );
    let alive = server.answer("GET /healthz", "");
    assert!(alive.starts_with("HTTP/1.1 200 "), "{alive}");
    let body = json!({"messages": [{"role": "user", "content": "Hi"}]});
    let refused = server.answer("POST /v1/chat/completions", &body.to_string());
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("draining"),
        "{refused}"
    );
    let (text, end) = answer.whole();
    assert_eq!(end.as_deref(), Some("length"), "{text}");
    // Another life of the listener, where the one before was, takes nothing new either.
    server.say(&["restart", "gateway"]);
    let refused = server.answer("POST /v1/chat/completions", &body.to_string());
    assert!(refused.contains("draining"), "{refused}");
    server.end();
}
