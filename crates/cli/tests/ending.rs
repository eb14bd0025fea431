//! How the built server begins and ends, as a service manager, a monitor and an operator see it: a datagram socket in
//! `NOTIFY_SOCKET`, `/readyz` with its reasons, the phases of a shutdown, the exit status and the page that lists them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use crate::common;
use crate::server;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use common::Home;
use server::{Server, tiny};

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
    let home = tiny(home)
        .with("NOTIFY_SOCKET", path)
        .with("WATCHDOG_USEC", "400000");
    let server = Server::with(home, &[]);
    let begun = hear(&manager, "WATCHDOG=1");
    assert_eq!(begun[0].trim(), "READY=1", "before all else: {begun:?}");
    let words = hear(&manager, "STATUS=");
    let words = words.last().unwrap();
    assert!(
        words.contains("ready; smollm2-135m-instruct answers by default"),
        "{words}"
    );
    hear(&manager, "WATCHDOG=1");
    server.signal(Signal::TERM);
    let end = hear(&manager, "STOPPING=1");
    assert!(
        end.last().unwrap().contains("EXTEND_TIMEOUT_USEC="),
        "{end:?}"
    );
    hear(&manager, "STATUS=ending: ");
    let (code, log) = server.ended();
    assert_eq!(code, Some(143), "{log}");
}

#[test]
fn a_server_that_nobody_watches_says_no_watchdog() {
    let home = Home::new();
    let path = home.path("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    let server = Server::with(tiny(home).with("NOTIFY_SOCKET", path), &[]);
    hear(&manager, "STATUS=");
    server.signal(Signal::TERM);
    let all = hear(&manager, "STATUS=ending: ");
    assert!(!all.iter().any(|said| said.contains("WATCHDOG")), "{all:?}");
    assert_eq!(server.ended().0, Some(143));
}

#[test]
fn a_monitor_is_told_why_it_is_not_ready() {
    let server = Server::with(tiny(Home::new()), &[]);
    let ready = server.answer("GET /readyz", "");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    server.end();
    let server = Server::with(Home::new(), &["--model", "/nowhere/model.gguf"]);
    let ready = server.answer("GET /readyz", "");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    let reason = r#""reasons":[{"part":"model","reason":"it is not here"#;
    assert!(ready.contains(reason), "{ready}");
    assert!(
        server
            .answer("GET /healthz", "")
            .starts_with("HTTP/1.1 200")
    );
    server.end();
}

#[test]
fn a_shutdown_is_watched_to_its_end_and_logged_by_phase() {
    let server = Server::with(tiny(Home::new()), &[]);
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

/// A server with an actor that does not stop: it is stalled by a fault on purpose.
fn stalled() -> Server {
    let server = Server::start();
    server.say(&["chaos", "stall", "memory_governor", "--for", "1m"]);
    server
}

/// Its status, and what it says was killed.
fn killed(server: Server) -> (Option<i32>, Vec<String>) {
    let (code, said) = server.ended();
    let killed = said
        .lines()
        .filter_map(|line| line.strip_prefix("killed: "));
    let killed = killed.map(|line| line.split(':').next().unwrap().to_owned());
    (code, killed.collect())
}

const GOVERNOR: &str = "root/memory_governor";

#[test]
fn an_actor_that_does_not_stop_in_its_time_is_listed_by_both() {
    let server = stalled();
    let told = server.ctl(&["shutdown", "--deadline", "1m"]);
    assert_eq!(told.code, Some(4), "{}{}", told.out, told.err);
    for part in [
        "runtime: all actors have stopped",
        &format!("killed: {GOVERNOR}"),
        "the server is gone",
    ] {
        assert!(told.out.contains(part), "{part} in {}", told.out);
    }
    assert!(!told.out.contains("cut off"), "{}", told.out);
    assert_eq!(killed(server), (Some(4), vec![GOVERNOR.to_owned()]));
}

#[test]
fn a_server_that_its_deadline_cuts_off_is_not_taken_for_finished() {
    let server = stalled();
    let told = server.ctl(&["shutdown", "--deadline", "1s", "--json"]);
    assert_eq!(told.code, Some(4), "{}{}", told.out, told.err);
    let mut lines = told.out.lines();
    let said: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((&said["done"], &said["gone"]), (&true.into(), &true.into()));
    let cut_off = said["cut_off"].as_array().unwrap();
    assert!(cut_off.contains(&GOVERNOR.into()), "{said}");
    assert_eq!(lines.clone().count(), 1, "the failure, last: {}", told.out);
    assert!(lines.next().unwrap().contains("something was not finished"));
    let (code, killed) = killed(server);
    assert!(killed.contains(&GOVERNOR.to_owned()), "{killed:?}");
    assert_eq!(code, Some(4));
}

#[test]
fn a_server_that_is_killed_is_not_taken_for_finished() {
    let server = stalled();
    let mut ctl = server.home.paraphym(&["ctl", "shutdown"]).spawn().unwrap();
    // Before it has heard that the end has begun, it knows nothing that could be cut off.
    let mut heard = BufReader::new(ctl.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("actors: ") {
        assert_ne!(heard.read_line(&mut said).unwrap(), 0, "{said}");
    }
    server.signal(Signal::KILL);
    heard.read_to_string(&mut said).unwrap();
    let told = common::finish(ctl);
    assert_eq!(told.code, Some(4), "{said}{}", told.err);
    assert!(said.contains("cut off before its last word: "), "{said}");
}

#[test]
fn a_second_signal_cuts_off_what_the_first_one_waits_for_and_a_third_leaves_at_once() {
    let mut server = stalled();
    // As GNU `timeout` says it.
    server.signal(Signal::TERM);
    server.signal(Signal::TERM);
    server.hear("phase=\"actors\"");
    server.insist();
    server.hear("in a hurry");
    let said = server.said();
    let hurries = said.matches("in a hurry").count();
    assert_eq!(hurries, 1, "twice at once is once: {said}");
    let (code, killed) = killed(server);
    assert_eq!(code, Some(4));
    assert!(killed.contains(&GOVERNOR.to_owned()), "{killed:?}");
    let mut server = stalled();
    server.signal(Signal::INT);
    server.hear("phase=\"actors\"");
    server.signal(Signal::INT);
    server.hear("in a hurry");
    server.signal(Signal::INT);
    let (code, said) = server.ended();
    assert_eq!(code, Some(130), "{said}");
    assert!(!said.contains("killed: "), "nothing was waited for: {said}");
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
        "RestartPreventExitStatus=4",
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
