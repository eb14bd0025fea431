//! How the built server begins and ends, as a service manager, a monitor and an operator see it: a datagram socket in
//! `NOTIFY_SOCKET`, `/readyz` with its reasons, the phases of a shutdown, the exit status and the page that lists them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStderr};
use std::time::Duration;

use inference::fixture::TinyModel;
use rustix::process::Signal;

use common::{Home, signal};

struct Server {
    home: Home,
    child: Child,
    err: BufReader<ChildStderr>,
    address: String,
}

impl Server {
    fn start(home: Home, args: &[&str]) -> Self {
        let args = [&["serve", "--bind", "127.0.0.1:0"], args].concat();
        let mut child = home.paraphym(&args).spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert_ne!(err.read_line(&mut line).unwrap(), 0, "it ended");
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().to_owned();
            }
        };
        Self {
            home,
            child,
            err,
            address,
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.err.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

fn with_model(home: Home) -> Home {
    let models = home.path(".local/share/paraphym/models");
    fs::create_dir_all(&models).unwrap();
    let model = models.join("smollm2-135m-instruct.gguf");
    TinyModel::qwen2().write(&model).unwrap();
    home
}

/// Hears until something that was said contains this; all of it.
fn hear(manager: &UnixDatagram, until: &str) -> Vec<String> {
    let mut heard = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let read = manager.recv(&mut bytes);
        let read = read.unwrap_or_else(|error| panic!("{error}: no {until} in {heard:?}"));
        heard.push(String::from_utf8(bytes[..read].to_vec()).unwrap());
        if heard.last().unwrap().contains(until) {
            return heard;
        }
    }
}

#[test]
fn a_service_manager_hears_ready_alive_and_stopping_and_the_words() {
    let home = Home::new();
    let path = home.path("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    let home = with_model(home)
        .with("NOTIFY_SOCKET", path)
        .with("WATCHDOG_USEC", "400000");
    let server = Server::start(home, &[]);
    let begun = hear(&manager, "WATCHDOG=1");
    assert_eq!(begun[0].trim(), "READY=1", "before all else: {begun:?}");
    let words = hear(&manager, "STATUS=");
    let words = words.last().unwrap();
    assert!(
        words.contains("ready; smollm2-135m-instruct answers by default"),
        "{words}"
    );
    hear(&manager, "WATCHDOG=1");
    signal(&server.child, Signal::TERM);
    let end = hear(&manager, "STOPPING=1");
    assert!(
        end.last().unwrap().contains("EXTEND_TIMEOUT_USEC="),
        "{end:?}"
    );
    hear(&manager, "STATUS=ending: ");
    assert_eq!(server.ended().0, Some(143));
}

#[test]
fn a_server_that_nobody_watches_says_no_watchdog() {
    let home = Home::new();
    let path = home.path("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    let server = Server::start(with_model(home).with("NOTIFY_SOCKET", path), &[]);
    hear(&manager, "STATUS=");
    signal(&server.child, Signal::TERM);
    let all = hear(&manager, "STATUS=ending: ");
    assert!(!all.iter().any(|said| said.contains("WATCHDOG")), "{all:?}");
    assert_eq!(server.ended().0, Some(143));
}

#[test]
fn a_monitor_is_told_why_it_is_not_ready() {
    let server = Server::start(with_model(Home::new()), &[]);
    let ready = server.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    signal(&server.child, Signal::TERM);
    assert_eq!(server.ended().0, Some(143));
    let server = Server::start(Home::new(), &["--model", "/nowhere/model.gguf"]);
    let ready = server.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    let reason = r#""reasons":[{"part":"model","reason":"it is not here"#;
    assert!(ready.contains(reason), "{ready}");
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"));
    signal(&server.child, Signal::TERM);
    assert_eq!(server.ended().0, Some(143));
}

#[test]
fn a_shutdown_is_watched_to_its_end_and_logged_by_phase() {
    let server = Server::start(with_model(Home::new()), &[]);
    let said = server.home.say(&["ctl", "shutdown", "--deadline", "10s"]);
    let (code, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
    let mut from = 0;
    for part in ["the server ends within", "actors: ", "the server is gone"] {
        let at = said[from..].find(part);
        from += at.unwrap_or_else(|| panic!("{part} in its place in {said}"));
    }
    let mut from = 0;
    for phase in ["draining", "answers", "actors", "runtime"] {
        let at = log[from..].find(&format!("phase=\"{phase}\""));
        from += at.unwrap_or_else(|| panic!("{phase} in its place in {log}"));
    }
}

fn page(name: &str) -> String {
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/");
    fs::read_to_string(format!("{top}{name}")).unwrap()
}

#[test]
fn every_exit_status_is_on_the_page_and_in_the_help() {
    let page = page("operating.md");
    let table = page.split("### Exit status").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let home = Home::new();
    let help = home.say(&["--help"]);
    let listed = help.split("Exit status:").nth(1).unwrap();
    let number = |word: &str| word.parse::<u8>().ok();
    let in_help: Vec<u8> = listed
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(number)
        .collect();
    let on_page: Vec<u8> = table
        .lines()
        .filter_map(|line| number(line.split('|').nth(1)?.trim()))
        .collect();
    assert_eq!(on_page, in_help);
    for (args, code) in [
        (&["--help"][..], 0),
        (&["model", "show", "/nowhere.gguf"], 1),
        (&["sing"], 2),
        (&["ctl", "status"], 3),
    ] {
        assert_eq!(home.run(args).code, Some(code), "{args:?}");
        assert!(on_page.contains(&u8::try_from(code).unwrap()), "{args:?}");
    }
}

#[test]
fn the_flags_of_the_unit_and_of_the_container_exist() {
    let home = Home::new();
    let help = home.say(&["serve", "--help"]);
    let unit = page("operating/paraphym.service");
    let container = page("operating/Containerfile");
    let started = unit
        .lines()
        .find(|line| line.starts_with("ExecStart="))
        .unwrap();
    let command = container
        .lines()
        .find(|line| line.starts_with("CMD"))
        .unwrap();
    let mut flags = 0;
    for word in started.split_whitespace().chain(command.split('"')) {
        if word.starts_with("--") {
            assert!(help.contains(&format!("{word} <")), "{word}");
            flags += 1;
        }
    }
    assert_eq!(flags, 4);
    let after = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name));
    assert_eq!(after("Type="), Some("notify"));
    for name in [
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "DynamicUser=yes",
    ] {
        assert!(unit.contains(name), "{name}");
    }
    // Ours is below the kernel's, so that we say what is wrong before it kills.
    let ours = started.split("--memory-limit ").nth(1).unwrap();
    assert!(ours.starts_with("6GiB") && after("MemoryMax=") == Some("8G"));
}
