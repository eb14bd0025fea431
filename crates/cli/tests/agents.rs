//! The built binary talks with a small made model as the agent that was chosen. What the model says is nonsense.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use inference::fixture::TinyModel;
use tempfile::TempDir;

/// A home with a model.
struct Home(TempDir);

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("bin")).unwrap();
        TinyModel::qwen2()
            .write(&home.path().join("tiny.gguf"))
            .unwrap();
        Self(home)
    }

    fn run(&self, args: &[&str], input: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paraphym"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.0.path())
            .env("PATH", self.0.path().join("bin"))
            .env("PARAPHYM_MODEL", self.0.path().join("tiny.gguf"))
            .env("PARAPHYM_MAX_TOKENS", "4")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Nothing here reaches the network.
        for proxy in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
            command.env(proxy, "http://127.0.0.1:9");
        }
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that refuses its input early closes it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn say(&self, args: &[&str], input: &str) -> String {
        let ran = self.run(args, input);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        ran.out
    }
}

#[test]
fn agents_are_chosen_at_the_prompt() {
    let home = Home::new();
    home.say(
        &["config", "set", "agents.coder.system", "You write Rust."],
        "",
    );
    let said = home.say(
        &["chat"],
        "/agent\n/agent coder\n/agent\n/system\n/agent nobody\n",
    );
    for part in [
        "the agent is default; there are default, coder",
        "the next answer comes from the agent coder",
        "the agent is coder;",
        "the instructions are: You write Rust.",
        "there is no agent nobody: there are default, coder",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    home.say(&["ask", "--agent", "coder", "Hi"], "");
}

#[test]
fn an_agent_that_is_not_there_is_refused_before_anything_is_loaded() {
    let home = Home::new();
    let nobody = home.run(&["ask", "--agent", "nobody", "Hi"], "");
    assert_eq!(nobody.code, Some(2), "{}", nobody.err);
    for part in [
        "there is no agent nobody: there are default",
        "config set agents.nobody.system",
    ] {
        assert!(nobody.err.contains(part), "{part} is not in {}", nobody.err);
    }
}
