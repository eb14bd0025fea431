//! An operator restarts the part that holds the models while four answers stream: nobody who reads them can tell.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr};

use common::Home;
use model_store::{Store, StoreConfig};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Tokens of each answer: enough to be in the middle for a while.
const TOKENS: u32 = 100;

struct Server {
    home: Home,
    child: Child,
    address: String,
    /// Kept open: whoever logs into a closed pipe dies of it.
    _err: BufReader<ChildStderr>,
}

impl Server {
    fn start() -> Self {
        let models = std::env::var_os("PARAPHYM_TEST_MODEL").map_or_else(
            || Store::open(StoreConfig::at(None)).unwrap().dir().to_owned(),
            |chat| std::path::Path::new(&chat).parent().unwrap().to_owned(),
        );
        let home = Home::new();
        let mut child = home
            .paraphym(&["serve", "--bind", "127.0.0.1:0"])
            .env("PARAPHYM_MODELS_DIR", models)
            .spawn()
            .unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(err.read_line(&mut line).unwrap() > 0, "{said}");
            if let Some((_, address)) = line.trim().split_once("listening on http://") {
                break address.to_owned();
            }
            said.push_str(&line);
        };
        Self {
            home,
            child,
            address,
            _err: err,
        }
    }

    /// Two that are sure of their words, two that throw dice.
    fn ask(&self, which: u64) -> Answer {
        self.ask_for(which, TOKENS, "")
    }

    /// An answer of so many tokens at most, with more headers.
    fn ask_for(&self, which: u64, tokens: u32, headers: &str) -> Answer {
        let temperature = if which < 2 { 0.0 } else { 0.9 };
        let body = json!({
            "messages": [{"role": "user", "content": format!("Tell me a story about the number {which}.")}],
            "max_tokens": tokens, "temperature": temperature, "seed": which, "stream": true,
        });
        let (body, address) = (body.to_string(), &self.address);
        let mut stream = TcpStream::connect(address).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}",
        )
        .unwrap();
        Answer {
            lines: BufReader::new(stream),
            text: String::new(),
            end: None,
            pieces: 0,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        common::signal(&self.child, Signal::TERM);
        let _ = self.child.wait();
    }
}

struct Answer {
    lines: BufReader<TcpStream>,
    text: String,
    end: Option<String>,
    pieces: usize,
}

impl Answer {
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
    let server = Server::start();
    let undisturbed: Vec<_> = (0..4).map(|which| server.ask(which).whole()).collect();
    for (text, end) in &undisturbed {
        assert!(!text.is_empty() && end.is_some(), "{text} {end:?}");
    }
    for order in ["restart", "kill"] {
        let mut answers: Vec<Answer> = (0..4).map(|which| server.ask(which)).collect();
        for answer in &mut answers {
            while answer.pieces < 3 {
                assert!(answer.read(), "{order}: ended early: {}", answer.text);
            }
        }
        let status = server.home.json(&["ctl", "status"]);
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

#[test]
fn real_model_stream_is_ended_by_its_requests_name() {
    let server = Server::start();
    let mut answer = server.ask_for(2, 1500, "x-request-id: mine\r\n");
    while answer.pieces < 3 {
        assert!(answer.read(), "ended early: {}", answer.text);
    }
    let ended = server.home.say(&["ctl", "cancel", "mine"]);
    assert!(ended.starts_with("ended: chatcmpl-") && ended.ends_with(" (request mine)\n"));
    let mut rest = String::new();
    answer.lines.read_to_string(&mut rest).unwrap();
    assert!(rest.contains(r#""code":"cancelled""#), "{rest}");
    assert!(!rest.contains("[DONE]"), "{rest}");
    while server.home.json(&["ctl", "status"])["models"]["answering"] != 0 {}
    assert_eq!(server.home.json(&["ctl", "connections"])["open"], 0);
}
