//! A server that hangs, dies, floods or speaks nonsense is a tool's error and never more, and no process is left. Real
//! processes, so the clock is real: nothing here says how long something takes, only what comes of it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed expectation fails its test"
)]

mod common;

use std::time::Duration;

use common::server::{behind_shell, playing};
use common::{PATIENCE, Stage, calling, processes, wide};
use paraphym_mcp_client::{ChangeError, ServerConfig, ServerState, ServersError, children};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use toolbox::{ToolError, ToolSource, Toolbox};

const SHORT: Duration = Duration::from_millis(500);

fn pid(stage: &Stage) -> u32 {
    stage.status().pid.unwrap()
}

#[tokio::test]
async fn a_good_server_answers_and_ends_with_the_tree() {
    let stage = Stage::up(playing("well")).await;
    let status = stage.status();
    assert_eq!(status.tools, ["s__echo", "s__fails", "s__environment"]);
    assert_eq!(
        status.skipped,
        ["\"odd name!\": only letters, digits, _ and - can be in a name"]
    );
    let group = status.pid.unwrap();
    // It leads a group of its own, so that a signal to ours does not reach it, and one to it reaches its children.
    assert!(
        processes::of_group(group)
            .iter()
            .any(|(pid, ..)| *pid == group)
    );
    let said = stage.call("s__echo", "{\"a\": 1}").await.unwrap();
    assert_eq!(said.text, "{\"a\":1} (call 1)");
    let failed = stage.call("s__fails", "{}").await.unwrap_err();
    assert_eq!(failed.to_string(), "`s__fails` failed: no such file: a.txt");
    let calls = (0..40).map(|_| stage.call("s__echo", "{}"));
    let many = futures_util::future::join_all(calls).await;
    assert!(many.iter().all(Result::is_ok), "{many:?}");
    stage.stop(&[group]).await;
}

#[tokio::test]
async fn a_server_learns_of_our_environment_only_what_it_needs() {
    let stage = Stage::up(playing("well")).await;
    let names = stage.call("s__environment", "").await.unwrap().text;
    let names: Vec<&str> = names.split(' ').collect();
    assert!(names.contains(&"PATH") && names.contains(&"PARAPHYM_TEST_SERVER"));
    // Cargo gives the tests this one.
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok());
    assert!(
        !names.iter().any(|name| name.starts_with("CARGO")),
        "{names:?}"
    );
    let group = pid(&stage);
    stage.stop(&[group]).await;
}

#[tokio::test]
async fn a_hint_counts_only_if_the_server_is_trusted() {
    for trusts_hints in [false, true] {
        let mut config = playing("well");
        config.trusts_hints = trusts_hints;
        config.allow = Some(vec!["env*".to_owned()]);
        let stage = Stage::up(config).await;
        let tools = stage.servers.tools();
        assert_eq!(tools.len(), 1);
        assert_eq!(tools[0].is_read_only(), trusts_hints);
        assert_eq!(tools[0].is_idempotent(), trusts_hints);
        let group = pid(&stage);
        stage.stop(&[group]).await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_a_timeout_and_is_started_again() {
    let mut config = playing("hangs");
    config.call_timeout = Some(SHORT);
    let stage = Stage::up(config).await;
    let first = pid(&stage);
    let error = stage.call("s__echo", "{}").await.unwrap_err();
    assert_eq!(
        error,
        ToolError::TimedOut {
            tool: "s__echo".into(),
            after: SHORT
        }
    );
    // Somebody has given up on it, so it is asked whether it lives, and does not answer.
    let again = stage
        .until(|status| status.starts == 2 && status.pid.is_some())
        .await;
    processes::gone(first).await;
    stage.stop(&[first, again.pid.unwrap()]).await;
}

#[tokio::test]
async fn a_slow_call_costs_a_living_server_nothing() {
    let mut config = playing("does not answer calls");
    config.call_timeout = Some(SHORT);
    let stage = Stage::up(config).await;
    let group = pid(&stage);
    for _ in 0..3 {
        let error = stage.call("s__echo", "{}").await.unwrap_err();
        assert_eq!(error.kind(), "timed_out");
    }
    assert_eq!((stage.status().starts, pid(&stage)), (1, group));
    stage.stop(&[group]).await;
}

#[tokio::test]
async fn a_cancelled_call_leaves_no_process_behind_when_the_tree_ends() {
    let stage = Stage::up(playing("does not answer calls")).await;
    let group = pid(&stage);
    let cancelled = CancellationToken::new();
    let toolbox = stage.toolbox();
    let call = calling("s__echo", "{}");
    let (ended, ()) = tokio::join!(toolbox.call(&call, &cancelled), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancelled.cancel();
    });
    assert_eq!(ended.unwrap_err().kind(), "cancelled");
    stage.stop(&[group]).await;
}

/// What each does in the middle of a call, and what the model reads.
#[tokio::test]
async fn whoever_dies_floods_or_babbles_during_a_call_is_a_typed_error() {
    let cases = [
        ("dies", "interrupted", "the server `s` was lost: it"),
        (
            "dies half way",
            "interrupted",
            "the server `s` was lost: it",
        ),
        (
            "floods",
            "interrupted",
            "it sent a message longer than 1048576 bytes",
        ),
        ("floods with lines", "interrupted", "no messages"),
        (
            "floods with news",
            "interrupted",
            "it floods: more than 1000 lines within a second",
        ),
        (
            "asks endlessly",
            "interrupted",
            "the server `s` was lost: it",
        ),
        (
            "speaks garbage",
            "interrupted",
            "it does not speak MCP: 50 lines in a row were no messages",
        ),
        ("answers nonsense", "interrupted", "gave no result"),
    ];
    for (part, kind, text) in cases {
        let mut config = playing(part);
        config.max_message_bytes = 1 << 20;
        let stage = Stage::up(config).await;
        let group = pid(&stage);
        let error = timeout(PATIENCE, stage.call("s__echo", "{}"))
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{part}: {error}");
        assert!(error.to_string().contains(text), "{part}: {error}");
        let advice = "Whether it took effect is unknown: look before you call it again";
        assert!(error.to_string().contains(advice), "{part}: {error}");
        if part != "answers nonsense" {
            // Why it ended is what happened, and nothing of ours crashed over it.
            let ended = stage.until(|status| status.last_error.is_some()).await;
            let why = ended.last_error.unwrap();
            assert!(!why.contains("bug"), "{part}: {why}");
            let again = stage.until(|status| status.starts >= 2).await;
            assert!(again.starts >= 2, "{part}");
            processes::gone(group).await;
        }
        let now = stage.status().pid;
        let groups: Vec<u32> = now.into_iter().chain([group]).collect();
        stage.stop(&groups).await;
    }
}

#[tokio::test]
async fn a_call_that_finds_the_server_down_waits_for_it_and_is_made_once() {
    let stage = Stage::up(playing("well")).await;
    let first = pid(&stage);
    let handle = rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    rustix::process::kill_process(handle, rustix::process::Signal::KILL).unwrap();
    stage.until(|status| status.state != ServerState::Up).await;
    // The tools are still known, and the call goes to the next life, once.
    let said = stage.call("s__echo", "{}").await.unwrap();
    assert_eq!(said.text, "{} (call 1)");
    let status = stage.status();
    assert_eq!((status.starts, status.last_error), (2, None));
    processes::gone(first).await;
    let second = status.pid.unwrap();
    stage.stop(&[first, second]).await;
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_and_holds_up_nobody() {
    let missing = ServerConfig::stdio("s", "/no/such/program", ["x"]);
    let mut never = playing("never ready");
    never.start_timeout = SHORT;
    let cases = [
        (missing, "/no/such/program cannot be started: No such file"),
        (never, "it was not ready within 500ms"),
        (
            playing("dies at once"),
            "it said last: I cannot find my configuration",
        ),
        (playing("garbage at once"), "it does not speak MCP"),
    ];
    for (config, text) in cases {
        let stage = Stage::start(vec![config]).await;
        assert!(stage.servers.settled(PATIENCE).await);
        let status = stage.until(|status| status.last_error.is_some()).await;
        let why = status.last_error.unwrap();
        assert!(why.contains(text), "{why}");
        assert!(stage.servers.tools().is_empty());
        stage.until(|status| status.starts >= 2).await;
        let now = stage.status().pid;
        stage.stop(now.as_slice()).await;
    }
}

#[tokio::test]
async fn nobody_outlives_a_stop_by_not_listening() {
    let children = "sleep 1000 & sleep 1000 & true";
    let deaf_children = "trap '' TERM; sleep 1000 & sleep 1000 & true";
    for (first, part, count) in [
        ("true", "well", 1),
        ("true", "stays", 1),
        ("trap '' TERM", "stays", 1),
        (children, "well", 3),
        (deaf_children, "well", 3),
        (deaf_children, "stays", 3),
    ] {
        let stage = Stage::up(behind_shell(first, part)).await;
        let group = pid(&stage);
        assert_eq!(processes::of_group(group).len(), count, "{first}");
        stage.stop(&[group]).await;
    }
}

#[tokio::test]
async fn nobody_of_a_group_outlives_its_leader() {
    let stage = Stage::up(behind_shell("trap '' TERM; sleep 1000 & true", "dies")).await;
    let group = pid(&stage);
    assert_eq!(processes::of_group(group).len(), 2);
    let error = stage.call("s__echo", "{}").await.unwrap_err();
    assert_eq!(error.kind(), "interrupted");
    processes::gone(group).await;
    let again = stage.until(|status| status.state == ServerState::Up).await;
    stage.stop(&[group, again.pid.unwrap()]).await;
}

#[tokio::test]
async fn a_tree_that_is_stopped_during_a_start_leaves_nobody() {
    let stage = Stage::start(vec![playing("never ready")]).await;
    let group = stage
        .until(|status| status.pid.is_some())
        .await
        .pid
        .unwrap();
    stage.stop(&[group]).await;
}

#[tokio::test]
async fn long_lists_are_bounded_and_said_so() {
    for (part, rest) in [("has many", "936 more"), ("has endless pages", "1936 more")] {
        let stage = Stage::up(playing(part)).await;
        let status = stage.status();
        assert_eq!(status.tools.len(), 64);
        assert!(status.skipped[0].starts_with(rest), "{:?}", status.skipped);
        stage.stop(&[status.pid.unwrap()]).await;
    }
}

#[tokio::test]
async fn a_list_that_changes_is_read_again() {
    let stage = Stage::up(playing("grows")).await;
    assert_eq!(stage.status().tools, ["s__t0"]);
    let before = stage.toolbox();
    stage.call("s__t0", "{}").await.unwrap();
    let after = stage.until(|status| status.tools.len() == 2).await;
    assert_eq!(after.tools, ["s__t0", "s__t1"]);
    // A toolbox that was taken before stays as it was.
    assert_eq!((before.len(), stage.toolbox().len()), (1, 2));
    stage.stop(&[after.pid.unwrap()]).await;
}

#[tokio::test]
async fn what_a_server_says_beside_the_protocol_never_stops_it() {
    let stage = Stage::up(playing("floods beside")).await;
    let group = pid(&stage);
    let said = wide(&stage.toolbox())
        .call(&calling("s__echo", "{}"), &CancellationToken::new())
        .await;
    assert_eq!(said.unwrap().text, "done");
    stage.stop(&[group]).await;
}

#[tokio::test]
async fn servers_come_and_go_while_the_tree_runs() {
    let stage = Stage::start(Vec::new()).await;
    assert!(stage.servers.status().is_empty());
    stage.servers.add(playing("well")).await.unwrap();
    let group = stage
        .until(|status| status.state == ServerState::Up)
        .await
        .pid
        .unwrap();
    let twice = stage.servers.add(playing("well")).await.unwrap_err();
    assert_eq!(
        twice.to_string(),
        "there are two MCP servers \"s\": rename one"
    );
    let kept = stage.toolbox();
    stage.servers.reconnect("s").unwrap();
    let again = stage
        .until(|status| status.starts == 2 && status.state == ServerState::Up)
        .await;
    assert_eq!(processes::of_group(group), []);
    let second = again.pid.unwrap();
    stage.servers.remove("s").await.unwrap();
    assert_eq!(processes::of_group(second), []);
    assert!(stage.servers.status().is_empty() && stage.servers.tools().is_empty());
    // Somebody who still has the tool hears that its server is no more.
    let never = CancellationToken::new();
    let error = kept
        .call(&calling("s__echo", "{}"), &never)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`s__echo` was not called: the server `s` was stopped. Go on without it, or try it again later"
    );
    let unknown = stage.servers.remove("s").await.unwrap_err();
    assert!(matches!(unknown, ChangeError::Unknown { .. }));
    stage.stop(&[group, second]).await;
}

#[test]
fn servers_that_are_not_accepted_are_refused_before_anything_runs() {
    let twice = children(vec![playing("well"), playing("well")]);
    assert_eq!(
        twice.err(),
        Some(ServersError::Duplicate { name: "s".into() })
    );
    let many = (0..33).map(|n| ServerConfig::stdio(format!("s{n}"), "x", ["y"]));
    assert_eq!(
        children(many.collect()).err(),
        Some(ServersError::TooMany { count: 33 })
    );
    let bad = children(vec![ServerConfig::http("s", "no address")]);
    assert!(
        bad.err()
            .unwrap()
            .to_string()
            .contains("url = no address is not accepted")
    );
    assert!(Toolbox::default().is_empty());
}
