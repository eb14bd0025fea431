//! The audit log of the built binary's server: it outlives a kill, one server has it at a time, and what needs the level
//! admin is not done where it cannot be written.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use crate::common;
use crate::server;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use common::{Home, assert_refused, signal};
use server::Server;

const FILE: &str = ".local/share/paraphym/server.db";

const CONVERSATION: &str = r#"{"kind":"paraphym_history","version":1,"conversations":[{"id":"whales",
    "messages":[{"role":"user","content":"How large is a blue whale?","said_ms":1772366400000}]}]}"#;

/// The log's entries of one action, the latest first.
fn entries(server: &Server, action: &str) -> Vec<Value> {
    let audit = server.json(&["audit"]);
    let acts = audit["acts"].as_array().unwrap().iter();
    let acts = acts.filter(|act| act["action"] == action);
    acts.cloned().collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_log_outlives_a_kill_and_lies_in_a_file_of_the_servers_own() {
    let server = Server::with(Home::new(), &[]);
    assert!(!server.said().contains("in memory"), "{}", server.said());
    server.say(&["config", "set", "model.temperature=0.7"]);
    let pid = server.child.id();
    let Server {
        home, mut child, ..
    } = server;
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    let file = home.path(FILE);
    assert_eq!(mode(&file), 0o600);
    // The user's own conversations are elsewhere.
    assert!(!file.with_file_name("paraphym.db").exists());

    let again = Server::with(home, &[]);
    assert_ne!(again.child.id(), pid);
    let done = entries(&again, "control.config.set");
    assert_eq!(done.len(), 2, "{done:?}");
    for (entry, part) in done.iter().zip(["revision 2 holds", "model.temperature"]) {
        let detail = entry["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{detail}");
        assert!(
            entry["who"]
                .as_str()
                .unwrap()
                .starts_with("paraphym ctl (uid ")
        );
    }
    // The user's own conversations go on beside a running server, and are none of its own.
    let given = again.home.path("given.json");
    fs::write(&given, CONVERSATION).unwrap();
    again
        .home
        .say(&["history", "import", given.to_str().unwrap()]);
    assert!(file.with_file_name("paraphym.db").exists());
    let listed = again.json(&["conversations"]);
    assert_eq!(listed["kept"], serde_json::json!([]), "{listed}");
    again.end();
}

#[test]
fn a_second_server_is_kept_from_the_file_by_the_firsts_number() {
    let first = Server::with(Home::new(), &[]);
    let data = first.home.path(".local/share");
    let beside = || Home::new().with("XDG_DATA_HOME", &data);
    let second = beside().run(&["serve", "--bind", "127.0.0.1:0"]);
    let held = format!("server.db is held by process {}", first.child.id());
    let way_out = "hint: --store PATH keeps the audit log elsewhere, --store off in memory";
    assert_refused(&second, 2, &[&held, way_out]);
    // Another name of the same file is no way out; these are.
    let link = first.home.path("link.db");
    std::os::unix::fs::symlink(first.home.path(FILE), &link).unwrap();
    let linked = [
        "serve",
        "--bind",
        "127.0.0.1:0",
        "--store",
        link.to_str().unwrap(),
    ];
    assert_refused(&beside().run(&linked), 2, &["is held by process"]);
    let other = first.home.path("folder/other.db");
    for (store, keeps) in [(other.to_str().unwrap(), true), ("off", false)] {
        let second = Server::with(beside(), &["--store", store]);
        let in_memory = "the audit log is kept in memory, and ends with this server";
        assert_eq!(
            second.said().contains(in_memory),
            !keeps,
            "{}",
            second.said()
        );
        let done = second.json(&["restart", "cache_janitor"]);
        assert_eq!(done["audited"], true, "{done}");
        second.end();
    }
    assert_eq!(mode(&other), 0o600);
    assert_eq!(mode(other.parent().unwrap()), 0o700);
    assert!(entries(&first, "control.restart").is_empty());
    first.end();
}

#[test]
fn a_file_that_is_not_ours_is_left_as_it_is_and_the_server_says_how_to_go_on() {
    let home = Home::new();
    let file = home.path("notes.txt");
    fs::write(&file, "not a database, but somebody's words").unwrap();
    let store = file.to_str().unwrap();
    let ran = home.run(&["serve", "--bind", "127.0.0.1:0", "--store", store]);
    assert_refused(&ran, 1, &["notes.txt", "--store off in memory"]);
    let words = fs::read_to_string(&file).unwrap();
    assert_eq!(words, "not a database, but somebody's words");
}

/// The file may not grow: what a full disk is to whoever writes. Only Linux sets limits of another process.
#[cfg(target_os = "linux")]
#[test]
fn where_the_disk_takes_nothing_admin_is_refused_and_operate_goes_on_and_says_so() {
    use std::process::{Command, Stdio};

    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

    let home = Home::new();
    let serve = home.paraphym(&[]);
    let mut command = Command::new("/bin/sh");
    // A process is killed for a file that is too large, unless it says otherwise.
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" serve --bind 127.0.0.1:0"])
        .arg(serve.get_program())
        .env_clear()
        .envs(
            serve
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let server = Server::spawn(home, command);
    server.say(&["config", "set", "model.temperature=0.7"]);
    let settings = server.home.path(".config/paraphym/config.toml");
    let before = fs::read_to_string(&settings).unwrap();

    let log = server.home.path(&format!("{FILE}-wal"));
    let largest = fs::metadata(&log).unwrap().len();
    let unlimited = getrlimit(Resource::Fsize);
    let limited = Rlimit {
        current: Some(largest),
        maximum: unlimited.maximum,
    };
    let process = Pid::from_child(&server.child);
    let limit = |limit: Rlimit| prlimit(Some(process), Resource::Fsize, limit).unwrap();
    limit(limited);
    let refused = server.ctl(&["config", "set", "model.temperature=0.1"]);
    let part = "config.set is not done, because it cannot be written into the audit log first";
    assert_refused(&refused, 1, &[part, "server.db"]);
    let refused = server.ctl(&["shutdown"]);
    let part = format!("send SIGTERM to process {}", server.child.id());
    assert_refused(&refused, 1, &[&part]);
    assert_eq!(fs::read_to_string(&settings).unwrap(), before);
    let done = server.ctl(&["restart", "cache_janitor"]).well();
    assert!(done.err.contains("not in the audit log"), "{}", done.err);
    assert!(!done.out.contains("audit"), "{}", done.out);
    let done = server.json(&["restart", "cache_janitor"]);
    assert_eq!(
        (&done["done"], &done["audited"]),
        (&true.into(), &false.into())
    );

    limit(unlimited);
    let set = server.json(&["config", "set", "model.temperature=0.1"]);
    assert_eq!(
        (&set["done"], &set["audited"]),
        (&true.into(), &true.into())
    );
    assert_eq!(entries(&server, "control.config.set").len(), 4);
    assert_eq!(entries(&server, "control.restart").len(), 0);
    server.end();
}
