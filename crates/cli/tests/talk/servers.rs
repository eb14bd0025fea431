//! Servers of the settings: their tools are called, nothing of them outlives the command, and they are not started for nothing.

use std::fs;
use std::io::{BufRead, BufReader};

use rustix::process::Signal;
use serde_json::Value;
use testkit::mcp_server;

use crate::common::{Home, signal};
use crate::{caller, events, named, set};

const PART: &str = "PARAPHYM_TEST_SERVER";
/// By this the processes of a server are known.
const MARK: &str = "PARAPHYM_TEST_MARK";
/// So many nonsense calls are waited for until one is whole: their arguments may have any length.
const SEEDS: u32 = 30;

#[test]
#[ignore = "the server of the other tests: they start it, with a part to play"]
fn plays_its_part() {
    let Ok(part) = std::env::var(PART) else {
        panic!("this is the server of the other tests, and they say which part it plays");
    };
    mcp_server::play(part);
}

/// The settings of an agent that has to call a server's tool, and of the server, which plays this part.
fn playing(home: &Home, part: &str) -> Vec<String> {
    let args = mcp_server::again("exec", "servers::plays_its_part");
    let args = serde_json::to_string(&args).unwrap();
    let mark = home.path("").display().to_string();
    [
        "agents.x.tools=[\"s__*\"]".to_owned(),
        "agents.x.tool_choice=required".to_owned(),
        "tools.approval=auto".to_owned(),
        "tools.mcp.s.command=/bin/sh".to_owned(),
        format!("tools.mcp.s.args={args}"),
        format!("tools.mcp.s.env={{{PART} = \"{part}\", {MARK} = \"{mark}\"}}"),
    ]
    .to_vec()
}

fn ask<'a>(settings: &'a [String], seed: &'a str) -> Vec<&'a str> {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let ask = ["ask", "--json", "--agent", "x", "--seed", seed];
    [&ask, &set(&settings)[..], &["Call it."]].concat()
}

/// The living processes of this home's server.
fn living(home: &Home) -> usize {
    let mark = format!("{MARK}={}", home.path("").display());
    let all = fs::read_dir("/proc").unwrap().flatten();
    let environments = all.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    environments
        .filter(|variables| {
            let mut variables = variables.split(|byte| *byte == 0);
            variables.any(|one| one == mark.as_bytes())
        })
        .count()
}

#[test]
fn a_tool_of_a_server_is_called_and_no_process_is_left() {
    let home = caller();
    let well = playing(&home, "well");
    let seeds = (0..SEEDS).map(|seed| seed.to_string());
    let mut calls = seeds.filter_map(|seed| {
        let ran = home.run(&ask(&well, &seed)).well();
        assert_eq!(living(&home), 0);
        let told = events(&ran);
        (!named(&told, "tool_started").is_empty()).then_some((seed, told))
    });
    let (seed, told) = calls.next().expect("some call is whole");
    let (started, ended) = (named(&told, "tool_started"), named(&told, "tool_ended"));
    for event in [started[0], ended[0]] {
        let name = event["name"].as_str().unwrap();
        assert!(name.starts_with("s__"), "{told:?}");
    }
    assert_eq!(started[0]["id"], ended[0]["id"]);
    // The server has a tool that always fails.
    let outcome = ended[0]["outcome"].as_str().unwrap();
    assert!(["ok", "failed"].contains(&outcome), "{told:?}");
    assert_eq!(told.last().unwrap()["event"], "finished");

    // And none that is in the middle of a call when the command is ended.
    let silent = playing(&home, "does not answer calls");
    let mut child = home.command(&ask(&silent, &seed)).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_started = |line: std::io::Result<String>| {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        event["event"] == "tool_started"
    };
    assert!(lines.any(is_started));
    assert!(living(&home) > 0);
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(living(&home), 0);
}

#[test]
fn a_server_is_started_only_for_who_may_call_it() {
    let home = caller();
    let started = home.path("started");
    let script = format!("[\"-c\", \": > '{}'\"]", started.display());
    let args = format!("tools.mcp.s.args={script}");
    let tools = "agents.x.tools=[\"current_time\"]";
    let server = ["tools.mcp.s.command=/bin/sh", &args, tools];
    for agent in ["default", "x"] {
        let ask = [&["ask", "--agent", agent], &set(&server)[..], &["Hi"]].concat();
        home.run(&ask).well();
        assert!(!started.exists(), "{agent}");
    }
    let tools = "agents.x.tools=[\"s__*\"]";
    let server = ["tools.mcp.s.command=/bin/sh", &args, tools];
    let ask = [&["ask", "--agent", "x"], &set(&server)[..], &["Hi"]].concat();
    let ran = home.run(&ask).well();
    assert!(started.exists());
    // It is no server, and that is said.
    let said = "the tools of s are not there: ";
    assert!(ran.err.contains(said), "{}", ran.err);
}
