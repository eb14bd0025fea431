//! Each example as its own program, with the real model where it needs one: what it prints, and that it ends by itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::real_model::model;

/// A data folder where the default model lies.
struct Home(TempDir);

impl Home {
    /// Without any model.
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let models = dir.path().join("paraphym").join("models");
        std::fs::create_dir_all(&models).unwrap();
        let model = model();
        let link = models.join(model.file_name().unwrap());
        std::os::unix::fs::symlink(model, link).unwrap();
        Self(dir)
    }

    fn command(&self, example: &str) -> Command {
        let mut command = Command::new(program(example));
        command.env("XDG_DATA_HOME", self.0.path());
        command.env("XDG_CONFIG_HOME", self.0.path());
        command.env("XDG_CACHE_HOME", self.0.path());
        command.current_dir(self.0.path());
        command
    }

    fn run(&self, example: &str, arguments: &[&str]) -> String {
        printed(&self.command(example).args(arguments).output().unwrap())
    }
}

/// Built with the tests, beside them.
fn program(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let program = folder.join("examples").join(example);
    assert!(
        program.is_file(),
        "{} is not built: cargo build --workspace --all-targets",
        program.display()
    );
    program
}

fn printed(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn real_model_answers_in_the_example_of_twenty_lines() {
    let said = Home::new().run("embed", &["What is gravity? Answer in one sentence."]);
    assert!(said.to_lowercase().contains("gravity"), "{said}");
    assert!(said.ends_with('\n'), "{said}");
}

#[test]
fn real_model_and_hand_call_the_tools_of_the_example() {
    let said = Home::new().run("tools", &[]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], r#"menu: ["soup","dumplings"]"#);
    assert_eq!(lines[1], "order: order 1: soup for 2");
    assert!(
        lines[2].starts_with("order: `order` was not called: `people` is"),
        "{said}"
    );
    assert_eq!(
        lines[3],
        "order: `order` failed: there are 12 seats: order for 1 to 12 people"
    );
    assert!(lines.len() > 4, "the model said something: {said}");
}

#[test]
fn an_actor_of_the_app_crashes_and_loses_no_message_that_waited() {
    let said = Home::empty().run("own_actor", &[]);
    let expected = "Ada is number 1\nit crashed\nGrace is number 1\n1 child of the app\n";
    assert_eq!(said, expected);
}

#[test]
fn real_model_answers_from_files_and_cites_them() {
    let home = Home::new();
    let note = home.0.path().join("garden.md");
    std::fs::write(&note, "# Garden\n\nThe gate code of the garden is 4711.\n").unwrap();
    let said = home.run("rag", &["*.md", "What is the gate code of the garden?"]);
    assert!(said.starts_with("1 documents\n["), "{said}");
    assert!(said.contains("garden.md"), "{said}");
}

#[test]
fn real_model_answers_a_file_of_prompts_in_their_order() {
    let home = Home::new();
    let prompts: Vec<String> = (1..=40).map(|n| format!("Count on from {n}.")).collect();
    std::fs::write(home.0.path().join("prompts.txt"), prompts.join("\n")).unwrap();
    let said = home.run("batch", &["prompts.txt"]);
    let answers: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let order: Vec<u64> = answers
        .iter()
        .map(|one| one["prompt"].as_u64().unwrap())
        .collect();
    assert_eq!(order, (0..40).collect::<Vec<u64>>());
    assert!(
        answers
            .iter()
            .all(|one| !one["answer"].as_str().unwrap().is_empty())
    );
}

/// Ends it however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn real_model_answers_on_the_routes_of_an_app_and_beside_them() {
    let home = Home::new();
    let mut command = home.command("axum_app");
    command
        .args(["127.0.0.1:0", "127.0.0.1:0"])
        .stdout(Stdio::piped());
    let mut app = Running(command.spawn().unwrap());
    let mut out = BufReader::new(app.0.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    let addresses: Vec<&str> = first
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("http://"))
        .collect();
    assert_eq!(addresses.len(), 2, "{first}");

    let own = request(addresses[0], "GET / HTTP/1.0", "");
    assert!(own.ends_with("An app of its own."), "{own}");
    let answer = request(addresses[0], "POST /ask HTTP/1.0", "What is gravity?");
    assert!(answer.to_lowercase().contains("gravity"), "{answer}");
    let ours = request(addresses[1], "GET /v1/models HTTP/1.0", "");
    assert!(ours.contains(r#""object":"list""#), "{ours}");

    let pid = app.0.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(told.success());
    assert!(app.0.wait().unwrap().success());
    let mut last = String::new();
    out.read_to_string(&mut last).unwrap();
    assert_eq!(last, "ended, 0 left unfinished\n");
}

/// The whole response to one request on a connection of its own; 1.0, so that it comes in one piece.
fn request(address: &str, line: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{line}\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}
