//! The built binary looks at a running server and steers it: every example of the help is run, in words and as JSON. The
//! server answers with a small made model where one is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use crate::common;
use crate::server;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use common::{Home, assert_refused, finish, signal};
use server::Server;

/// The lines of the help that can be typed, without the program's name.
fn examples(home: &Home) -> Vec<String> {
    let help = home.say(&["ctl", "--help"]);
    let lines = help
        .lines()
        .filter_map(|line| line.strip_prefix("  paraphym ctl "));
    lines.map(str::to_owned).collect()
}

#[test]
fn every_verb_has_an_example() {
    let home = Home::new();
    let help = home.say(&["ctl", "--help"]);
    let verbs = help.split("Commands:\n").nth(1).unwrap();
    let verbs = verbs.split("\n\n").next().unwrap().lines();
    let verbs: Vec<&str> = verbs
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(verbs.len() > 20, "{verbs:?}");
    let examples = examples(&home);
    for verb in verbs.into_iter().filter(|verb| *verb != "help") {
        let shown = examples
            .iter()
            .any(|line| line.split(' ').next() == Some(verb));
        assert!(shown, "no example of {verb}");
        assert!(
            home.say(&["ctl", verb, "--help"]).contains("Usage:"),
            "{verb}"
        );
    }
}

#[test]
fn every_example_is_run_in_words_and_as_json() {
    let server = Server::start();
    let all = examples(&server.home);
    let last = ["drain", "shutdown"];
    let ends = |line: &str| last.iter().any(|word| line.starts_with(word));
    for line in all.iter().filter(|line| !ends(line)) {
        let args: Vec<&str> = line.split(' ').collect();
        if args.contains(&"--follow") {
            follows(&server, &args);
            continue;
        }
        if args[0] == "tap" {
            looks(&server, &args);
            continue;
        }
        let _held = prepare(&server, &args);
        assert!(!server.say(&args).is_empty(), "{line}");
        let _held = prepare(&server, &args);
        let json = server.json(&args);
        assert!(json.is_object(), "{line}: {json}");
        if let Some(done) = json.get("done") {
            assert_eq!(done, !line.contains("--dry-run"), "{line}: {json}");
            assert_eq!(json["audited"], true, "{line}: {json}");
        }
    }
    for line in all.iter().filter(|line| ends(line)) {
        let args: Vec<&str> = line.split(' ').collect();
        let json = server.json(&args);
        assert_eq!(json["done"], true, "{line}: {json}");
    }
    let (code, said) = server.ended();
    assert_eq!(code, Some(0), "{said}");
}

/// Each is run twice, and some can be done only once, or to somebody who is there meanwhile.
fn prepare(server: &Server, args: &[&str]) -> Option<TcpStream> {
    match args {
        // It may be up already.
        ["stop", actor] => drop(server.ctl(&["start", actor])),
        ["start", actor] => drop(server.ctl(&["stop", actor])),
        ["pause", actor] => drop(server.ctl(&["resume", actor])),
        ["resume", actor] => drop(server.ctl(&["pause", actor])),
        // It rests for a moment after a crash.
        ["kill" | "chaos", ..] => {
            while server.json(&["status"])["unwell"] != serde_json::json!([]) {}
        }
        ["unpin", model] => drop(server.say(&["pin", model])),
        ["unload", model] => drop(server.say(&["load", model])),
        ["cancel", .., id] => return Some(half_asked(server, id)),
        ["connections", "kick", .., id] => return Some(numbered(server, id)),
        _ => {}
    }
    None
}

/// A connection to where HTTP is served.
fn connected(server: &Server) -> TcpStream {
    TcpStream::connect(&server.address).unwrap()
}

/// A request of that name for an answer whose body is still to come: it is under way until somebody ends it, or for 30 s.
fn half_asked(server: &Server, id: &str) -> TcpStream {
    let mut stream = connected(server);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: 99\r\nx-request-id: {id}\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).unwrap();
    while server.ctl(&["cancel", "--dry-run", id]).code != Some(0) {}
    stream
}

/// The connection of that number, which is to come: numbers count up.
fn numbered(server: &Server, id: &str) -> TcpStream {
    let stream = connected(server);
    loop {
        let listed = server.json(&["connections"]);
        let mut ids = listed["connections"].as_array().unwrap().iter();
        match ids.next() {
            Some(one) => assert_eq!(one["id"].to_string(), id, "it came and went before"),
            None => continue,
        }
        return stream;
    }
}

#[test]
fn an_answer_is_ended_by_its_requests_name_and_by_its_own() {
    let server = Server::start();
    for by_its_own in [false, true] {
        let mut client = half_asked(&server, "mine");
        let would = server.say(&["cancel", "--dry-run", "mine"]);
        let (own, rest) = would
            .strip_prefix("would end ")
            .and_then(|rest| rest.split_once(' '))
            .unwrap();
        assert!(own.starts_with("chatcmpl-"), "{would}");
        assert_eq!(rest, "(request mine)\n");
        let name = if by_its_own { own } else { "mine" };
        let ended = server.say(&["cancel", name]);
        assert_eq!(ended, format!("ended: {own} (request mine)\n"));
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 499 "), "{answer}");
        assert!(answer.contains(r#""code":"cancelled""#), "{answer}");
        let again = server.ctl(&["cancel", name]);
        assert_refused(&again, 1, &[&format!("id = {name} "), "x-request-id"]);
    }
    server.end();
}

/// What happened and what happens now, until Ctrl-C.
fn follows(server: &Server, args: &[&str]) {
    let mut child = server
        .home
        .paraphym(&[&["ctl"], args].concat())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut heard = String::new();
    while !heard.contains("root/control was ready") {
        assert_ne!(out.read_line(&mut heard).unwrap(), 0, "{heard}");
    }
    server.say(&["restart", "cache_janitor"]);
    while !heard.contains("root/cache_janitor stopped") {
        assert_ne!(out.read_line(&mut heard).unwrap(), 0, "{heard}");
    }
    signal(&child, Signal::INT);
    assert_eq!(finish(child).code, Some(130));
}

/// The messages that an actor handles meanwhile, in words and as JSON; what is asked of it is among them.
fn looks(server: &Server, args: &[&str]) {
    for words in [true, false] {
        let json: &[&str] = if words { &[] } else { &["--json"] };
        let seen = server.home.path("seen");
        let child = server
            .home
            .paraphym(&[&["ctl"], args, json].concat())
            .stdout(fs::File::create(&seen).unwrap())
            .spawn()
            .unwrap();
        // When the look begins is not told, so it is asked until the look has seen it.
        let first = loop {
            let text = fs::read_to_string(&seen).unwrap();
            if let Some((first, _)) = text.split_once('\n') {
                break first.to_owned();
            }
            server.say(&["status"]);
        };
        let said = finish(child);
        assert_eq!(said.code, Some(0), "{}", said.err);
        if words {
            assert!(first.contains("Status handled in "), "{first}");
        } else {
            let first: Value = serde_json::from_str(&first).unwrap();
            assert_eq!(
                (&first["message"], &first["outcome"]),
                (&"Status".into(), &"handled".into())
            );
        }
    }
}

#[test]
fn faults_on_purpose_are_off_unless_the_server_was_told() {
    let server = Server::with(Home::new(), &[]);
    let args = ["chaos", "crash", "memory_governor"];
    assert_refused(&server.ctl(&args), 1, &["--allow-chaos"]);
    assert_refused(
        &server.ctl(&["chaos", "dance", "memory_governor"]),
        2,
        &["dance"],
    );
    let args = ["chaos", "crash", "memory_governor", "--by", "1s"];
    assert_refused(&server.ctl(&args), 2, &["delay_ms"]);
    assert_eq!(server.json(&["status"])["unwell"], serde_json::json!([]));
    server.end();
}

#[test]
fn connections_are_shown_closed_and_limited_and_the_limit_outlives_the_listener() {
    let server = Server::start();
    assert_eq!(server.say(&["connections"]), "0 of 256 open, 0 sent away\n");
    let mut client = half_asked(&server, "mine");
    let mut silent = connected(&server);
    let said = server.say(&["connections"]);
    let lines: Vec<Vec<&str>> = said
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0].join(" "), "2 of 256 open, 0 sent away");
    assert_eq!(lines[1][..4], ["ID", "KIND", "PEER", "OPEN"]);
    let peer = client.local_addr().unwrap().to_string();
    assert_eq!(lines[2][..3], ["1", "http", &peer]);
    assert!(lines[2].last().unwrap().starts_with("chatcmpl-"), "{said}");
    assert!(said.contains("silent yet"), "{said}");
    let json = server.json(&["connections"]);
    let own = json["connections"][0]["answers"][0].as_str().unwrap();
    let what = format!("connection 1 of {peer}");
    let would = server.say(&["connections", "kick", "1", "--dry-run"]);
    assert_eq!(would, format!("would close {what}, and with it {own}\n"));
    assert_eq!(server.json(&["connections"])["open"], 2);
    let did = server.say(&["connections", "kick", "1"]);
    assert_eq!(did, format!("{what} is closed, and with it {own}\n"));
    let mut heard = String::new();
    // Its half a request was not read to its end, so the end may be abrupt.
    let _ = client.read_to_string(&mut heard);
    assert_eq!(heard, "");
    while server.json(&["connections"])["open"] != 1 {}
    for args in [&["connections", "kick", "1"][..], &["cancel", own]] {
        assert_refused(&server.ctl(args), 1, &["id = "]);
    }
    let said = server.say(&["limit", "connections", "1"]);
    assert_eq!(said, "connections are limited to 1: 1 are open\n");
    let mut refused = connected(&server);
    refused.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    refused.read_to_string(&mut heard).unwrap();
    assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
    assert!(heard.contains("too_many_connections"), "{heard}");
    server.say(&["restart", "gateway"]);
    silent.read_to_string(&mut heard).unwrap();
    let after = server.json(&["connections"]);
    assert_eq!((&after["limit"], &after["refused"]), (&1.into(), &1.into()));
    server.say(&["config", "set", "limits.connections=7"]);
    while server.json(&["connections"])["limit"] != 7 {}
    for value in ["0", "100001"] {
        assert_refused(
            &server.ctl(&["limit", "connections", value]),
            2,
            &["value ="],
        );
    }
    server.end();
}

#[test]
fn people_see_tables() {
    let server = Server::start();
    let status = server.say(&["status"]);
    for part in [
        "paraphym 0.1.0, process ",
        "all well",
        "leased of",
        "0 in memory",
        "main 1",
    ] {
        assert!(status.contains(part), "{part} in {status}");
    }
    let tree = server.say(&["tree"]);
    for part in ["ACTOR", "\n  model_host ", "\n  gateway ", "\n  control "] {
        assert!(tree.contains(part), "{part} in {tree}");
    }
    assert!(server.say(&["ps"]).contains("no model is in memory"));
    server.say(&["load", "smollm2-135m-instruct"]);
    let ps = server.say(&["ps"]);
    for part in [
        "MODEL",
        "LEAVES",
        "smollm2-135m-instruct  ready",
        "in 4 min",
    ] {
        assert!(ps.contains(part), "{part} in {ps}");
    }
    let columns: Vec<&str> = ps.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(columns.len(), 10, "{ps}");
    let inspected = server.say(&["inspect", "memory_governor"]);
    for part in [
        "root/memory_governor",
        "permanent",
        "may stop for",
        "was ready after",
    ] {
        assert!(inspected.contains(part), "{part} in {inspected}");
    }
    let acted = server.say(&["restart", "memory_governor"]);
    assert_eq!(
        acted,
        "root/memory_governor was stopped and started again\n"
    );
    let why = server.say(&["why", "memory_governor"]);
    for part in [
        "supervision",
        "control",
        "control.restart by paraphym ctl (uid ",
    ] {
        assert!(why.contains(part), "{part} in {why}");
    }
    let audit = server.say(&["audit", "--limit", "2"]);
    assert!(audit.contains("control.restart"), "{audit}");
    server.end();
}

#[test]
fn settings_and_the_log_change_while_it_runs() {
    let server = Server::start();
    server.say(&["config", "set", "model.temperature=0.3"]);
    let held = server.json(&["config", "get", "model.temperature"]);
    assert_eq!(held["settings"][0]["value"], 0.3);
    let file = server.home.say(&["config", "get", "model.temperature"]);
    assert!(file.contains("model.temperature = 0.3"), "{file}");
    let refused = server.ctl(&["config", "set", "model.temperature=9"]);
    assert_refused(&refused, 2, &["model.temperature", "hint:"]);
    // Its lines are there while it is louder, and not before or after.
    server.say(&["log", "root", "info", "--for", "0s"]);
    server.say(&["restart", "cache_janitor"]);
    server.say(&["log", "root", "reset"]);
    server.say(&["restart", "memory_governor"]);
    server.say(&["shutdown"]);
    let (code, said) = server.ended();
    let stopping = |child: &str| said.contains(&format!("stopping child=\"root/{child}\""));
    assert!(
        stopping("cache_janitor") && !stopping("memory_governor"),
        "{said}"
    );
    assert_eq!(code, Some(0));
}

#[test]
fn what_is_refused_says_why_and_has_a_status() {
    let server = Server::start();
    for (args, code, parts) in [
        (
            &["inspect", "nobody"][..],
            1,
            &["actor = nobody is not in the tree"][..],
        ),
        (&["stop", "root"], 1, &["use shutdown"]),
        (&["start", "gateway"], 1, &["up, not down"]),
        (&["unload", "smollm2-135m-instruct"], 1, &["is not loaded"]),
        (&["cancel", "nothing"], 1, &["id = nothing"]),
        (&["load", "unheard-of"], 1, &["unheard-of is not here"]),
        (
            &["config", "get", "model.temprature"],
            1,
            &["did you mean model.temperature?"],
        ),
        (&["limit", "queue", "0"], 2, &["value ="]),
        (
            &["events", "--filter", "event=dead"],
            2,
            &["event=dead", "crashed"],
        ),
        (&["log", "loud"], 2, &["loud is no level"]),
    ] {
        assert_refused(&server.ctl(args), code, parts);
        let json = server.ctl(&[args, &["--json"]].concat());
        let last: Value = serde_json::from_str(json.out.lines().last().unwrap()).unwrap();
        assert_eq!(
            (last["event"].as_str(), json.code),
            (Some("failed"), Some(code))
        );
    }
    server.end();
}

#[test]
fn without_a_server_it_says_how_to_start_one() {
    let home = Home::new();
    let socket = home.path("run/paraphym/control.sock");
    let shown = format!("no server listens at {}", socket.display());
    let parts = [shown.as_str(), "hint: start one with `paraphym serve`"];
    assert_refused(&home.run(&["ctl", "status"]), 3, &parts);
    let elsewhere = home.path("elsewhere.sock");
    let ran = home.run(&[
        "ctl",
        "--socket",
        elsewhere.to_str().unwrap(),
        "ps",
        "--json",
    ]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    let failed: Value = serde_json::from_str(ran.out.trim()).unwrap();
    assert!(failed["error"].as_str().unwrap().contains("elsewhere.sock"));
}

#[test]
fn the_socket_is_the_users_alone_and_speaks_plain_lines() {
    let server = Server::start();
    let socket = server.home.path("run/paraphym/control.sock");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&socket), mode(socket.parent().unwrap())),
        (0o600, 0o700)
    );
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream
        .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n")
        .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let hello: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(hello["params"]["pid"], server.child.id());
    let answer: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(answer["result"]["version"], env!("CARGO_PKG_VERSION"));
    server.end();
    assert!(!socket.exists());
}

#[test]
fn two_servers_and_one_that_was_killed() {
    let first = Server::start();
    let socket = first.home.path("run/paraphym/control.sock");
    let socket = socket.to_str().unwrap();
    let pid = format!("taken by process {}", first.child.id());
    // Told to use it, the second one does not start; else it goes without.
    let told = Home::new().run(&["serve", "--bind", "127.0.0.1:0", "--control", socket]);
    assert_eq!(told.code, Some(1), "{}", told.err);
    for part in [pid.as_str(), "hint: --control off"] {
        assert!(told.err.contains(part), "{part} in {}", told.err);
    }
    let run = first.home.path("run");
    let second = Server::with(Home::new().with("XDG_RUNTIME_DIR", run), &[]);
    assert!(second.said().contains(&pid), "{}", second.said());
    second.end();
    let off = Server::with(Home::new(), &["--control", "off"]);
    assert_refused(&off.ctl(&["status"]), 3, &["no server listens"]);
    off.end();
    let Server {
        home, mut child, ..
    } = first;
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    assert!(fs::exists(socket).unwrap());
    let third = Server::with(home, &[]);
    assert_eq!(third.json(&["status"])["pid"], third.child.id());
    third.end();
}

#[test]
fn a_settings_file_that_is_wrong_does_not_keep_anybody_from_a_server() {
    let server = Server::start();
    let file = server.home.path("wrong.toml");
    fs::write(&file, "[[[").unwrap();
    let args = ["--config", file.to_str().unwrap(), "ctl", "status"];
    assert!(server.home.say(&args).contains("all well"));
    server.end();
}

#[test]
fn shells_and_man_know_the_verbs() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = home.say(&["completions", shell]);
        for word in ["ctl", "restart", "shutdown"] {
            assert!(said.contains(word), "{word} for {shell}");
        }
    }
    assert_refused(&home.run(&["completions", "csh"]), 2, &["csh"]);
    let page = home.say(&["man"]);
    assert!(page.contains(".TH") && page.contains("ctl"), "{page}");
    let page = home.say(&["man", "ctl", "restart"]);
    assert!(page.contains("paraphym") && page.contains("dry"), "{page}");
    assert_refused(
        &home.run(&["man", "sing"]),
        2,
        &["paraphym has no command sing"],
    );
    // Nobody reads to the end: no error.
    let mut child = home
        .paraphym(&["completions", "bash"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(finish(child).code, Some(0));
}
