//! The two clients of thirty lines that the protocol's page shows, over real sockets: each reads a whole answer.
#![allow(
    clippy::unwrap_used,
    reason = "a broken fixture should fail the test at once"
)]

use crate::support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::Scene;
use support::live::Bounds;
use testkit::scripted::Answer;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Asks over it, and what it printed is the answer.
async fn asks(mut client: Command) {
    let scene = Scene::live(Answer::Counting, Bounds::default(), |_| {}).await;
    let url = format!("ws://{}/ws", scene.address);
    client.args([&url, "c", "hi"]);
    let ran = tokio::task::spawn_blocking(move || client.output());
    let ran = ran.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(said, Answer::counting(0, 50), "{ran:?}");
    assert!(ran.status.success(), "{ran:?}");
    scene.end().await;
}

fn short(path: &str) {
    let text = std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let lines = text.lines().count();
    assert!(lines <= 30, "{path} has {lines} lines");
}

/// Built with the tests, or now where only some of them were.
fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let beside = tests.parent().unwrap().with_file_name("examples");
    let example = beside.join("websocket_client");
    if !example.exists() {
        let build = ["build", "--locked", "-p", "paraphym_gateway", "--example"];
        let cargo = Command::new(env!("CARGO"))
            .current_dir(ROOT)
            .args(build)
            .arg("websocket_client")
            .status();
        assert!(cargo.unwrap().success());
    }
    example
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_rust_reads_a_whole_answer() {
    short("crates/gateway/examples/websocket_client.rs");
    asks(Command::new(example())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_node_reads_a_whole_answer() {
    short("docs/protocol/client.mjs");
    let mut node = Command::new("node");
    // Node 20 has it behind this; later ones know the word still.
    node.arg("--experimental-websocket");
    node.arg(Path::new(ROOT).join("docs/protocol/client.mjs"));
    asks(node).await;
}
