//! What the built server logs: lines for people, or an object a line for programs, each within its request.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use crate::common;
use crate::server;

use std::io::Read;

use rustix::process::Signal;
use serde_json::Value;

use common::Home;
use server::{Server, tiny};

fn chat(server: &Server, id: &str) -> String {
    let body = r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":4}"#;
    let mut answer = String::new();
    let mut asked = server.request_as(id, "POST /v1/chat/completions", body);
    asked.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn each_line_of_a_server_that_logs_json_is_an_object_with_its_request() {
    let args = ["--log-format", "json", "--log", "debug"];
    let server = Server::with(tiny(Home::new()), &args);
    let answer = chat(&server, "of-the-test");
    assert!(answer.contains("x-request-id: of-the-test"), "{answer}");
    // The level can be changed while it runs.
    let changed = server.say(&["log", "warn", "--for", "1h"]);
    assert!(changed.contains("warn"), "{changed}");
    chat(&server, "unheard");
    server.signal(Signal::TERM);
    let (_, said) = server.ended();
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert!(lines.len() > 20, "{}", lines.len());
    for line in &lines {
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(
            timestamp.contains('T') && timestamp.ends_with('Z'),
            "{timestamp}"
        );
        for key in ["level", "target"] {
            assert!(line[key].is_string(), "{line}");
        }
        assert!(line["fields"].is_object(), "{line}");
    }
    let of = |id: &str| {
        let within = move |line: &&Value| {
            let spans = line["spans"].as_array();
            spans.is_some_and(|spans| spans.iter().any(|span| span["request_id"] == id))
        };
        lines.iter().filter(within).collect::<Vec<_>>()
    };
    let ours = of("of-the-test");
    for (target, message) in [
        ("paraphym_gateway::api::asking", "begun"),
        ("paraphym_model_host::book::queue", "accepted"),
        ("paraphym_memory_governor::actor::reserving", "in line"),
        ("paraphym_model_host::outlet", "finished"),
    ] {
        let logged =
            |line: &&Value| line["target"] == target && line["fields"]["message"] == message;
        assert!(ours.iter().any(logged), "{target} {message}: {ours:#?}");
    }
    assert!(of("unheard").is_empty());
}

#[test]
fn without_a_wish_lines_are_for_people_and_bear_their_request() {
    let home = Home::new().with("PARAPHYM_LOG", "debug");
    let server = Server::with(tiny(home), &[]);
    chat(&server, "of-the-test");
    server.signal(Signal::TERM);
    let (_, rest) = server.ended();
    let line = rest.lines().find(|line| line.contains("finished")).unwrap();
    assert!(line.contains(r#"request_id="of-the-test""#), "{line}");
    assert!(!line.contains("handle_message"), "{line}");
}

#[test]
fn the_format_is_a_setting_too_and_a_wrong_one_is_named() {
    let home = Home::new();
    home.say(&["config", "set", "telemetry.log_format=json"]);
    let ran = home.run(&["ask", "--model", "/no/such.gguf", "x"]);
    let line = ran.err.lines().next().unwrap_or_default().to_owned();
    let line: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
    assert_eq!(line["target"], "paraphym::said");
    let refused = home.run(&["config", "set", "telemetry.log_format=loud"]);
    common::assert_refused(&refused, 2, &["telemetry.log_format", "json"]);
}
