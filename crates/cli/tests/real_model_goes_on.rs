//! A process that is killed while the real model answers: the next one goes on with the same answer.
//!
//! The model is the one that `PARAPHYM_TEST_MODEL` names, or the default model in the XDG data folder; `cargo xtask test`
//! brings it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

use model_store::{DEFAULT_MODEL, Store, StoreConfig};
use serde_json::Value;
use tempfile::TempDir;

const STORY: &str = "Write a long story about a dragon, a princess and a castle.";

/// A data folder with nothing in it; the model is named by its path.
struct Home {
    dir: TempDir,
    model: String,
}

impl Home {
    fn new() -> Self {
        let model = std::env::var("PARAPHYM_TEST_MODEL").unwrap_or_else(|_| {
            let store = Store::open(StoreConfig::at(None)).unwrap();
            let found = store.resolve(&domain::ModelName::new(DEFAULT_MODEL));
            let path =
                found.unwrap_or_else(|error| panic!("{error}; `cargo xtask test` brings it"));
            path.to_str().unwrap().to_owned()
        });
        let dir = tempfile::tempdir().unwrap();
        Self { dir, model }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paraphym"));
        command
            .args(args)
            .env("PARAPHYM_MODEL", &self.model)
            .env("XDG_DATA_HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.dir.path())
            .env("XDG_CACHE_HOME", self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What it prints, if all is well.
    fn says(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        Self::said(output)
    }

    fn said(output: Output) -> String {
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Begins to answer, and is killed once it has.
    fn kill_during(&self, args: &[&str]) {
        let mut child = self.command(args).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 20]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn messages(&self, conversation: &str) -> Vec<(String, String)> {
        let shown: Value =
            serde_json::from_str(&self.says(&["history", "show", conversation, "--json"])).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let messages = shown["messages"].as_array().unwrap().iter();
        messages
            .map(|message| (text(&message["role"]), text(&message["content"])))
            .collect()
    }
}

#[test]
fn real_model_that_is_killed_while_it_answers_is_gone_on_with() {
    let home = Home::new();
    let how = ["--greedy", "--max-tokens", "60"];
    let with = |words: &[&'static str]| -> Vec<&'static str> {
        words.iter().chain(&how).copied().collect()
    };
    let whole = home.says(&with(&["ask", STORY]));

    home.kill_during(&with(&["ask", "--conversation", "story", STORY]));
    assert_eq!(home.messages("story"), [], "no answer, no exchange");
    assert_eq!(home.says(&with(&["ask", "--continue"])), whole);
    let expected = [
        ("user".to_owned(), STORY.to_owned()),
        ("assistant".to_owned(), whole.trim_end().to_owned()),
    ];
    let there = home.messages("story");
    let there: Vec<_> = there
        .into_iter()
        .map(|(role, content)| (role, content.trim_end().to_owned()))
        .collect();
    assert_eq!(there, expected);

    // It is over: there is nothing more to go on with.
    let again = home
        .command(&with(&["ask", "--continue"]))
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(2));

    // At the prompt it goes on by itself.
    home.kill_during(&with(&["ask", "--conversation", "tale", STORY]));
    let mut chat = home
        .command(&with(&["chat", "--continue"]))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = chat.stdin.take().unwrap();
    input.write_all(b"/exit\n").unwrap();
    drop(input);
    let said = Home::said(chat.wait_with_output().unwrap());
    assert_eq!(said, whole);
    assert_eq!(home.messages("tale").len(), 2);
}
