//! `paraphym history` from outside: what is exported can be imported and is the same, what is wrong is named and changes
//! nothing, and nothing is removed that nobody agreed to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A home of its own for every test.
struct Home(TempDir);

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paraphym"));
        command
            .arg("history")
            .args(args)
            .env_clear()
            .env("HOME", self.0.path())
            .env("XDG_DATA_HOME", self.0.path().join("data"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    fn say(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        assert!(!ran.out.contains('\u{1b}'), "colours in a pipe: {args:?}");
        ran.out
    }

    fn json(&self, args: &[&str]) -> Value {
        let out = self.say(&[args, &["--json"]].concat());
        assert_eq!(out.lines().count(), 1, "{out}");
        serde_json::from_str(&out).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, value: &Value) -> String {
        let path = self.file(name);
        fs::write(&path, value.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn ids(&self) -> Vec<String> {
        let list = self.json(&["list"]);
        let all = list["conversations"].as_array().unwrap().iter();
        all.map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// One `error:` line, and nothing that only a programmer reads.
fn assert_refused(ran: &Ran, code: i32, parts: &[&str]) {
    let err = &ran.err;
    assert_eq!(ran.code, Some(code), "{err}");
    let errors = err.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{err}");
    for part in parts {
        assert!(err.contains(part), "{part} is missing in: {err}");
    }
    for word in ["panicked", "backtrace", "Err("] {
        assert!(!err.contains(word), "{word} in: {err}");
    }
}

/// Two conversations, one with a tool's call.
fn file() -> Value {
    let said = |role: &str, content: &str, ms: i64| json!({"role": role, "content": content, "said_ms": ms});
    let calling = json!({
        "role": "assistant", "content": "", "said_ms": 1_772_366_402_000_i64,
        "tool_calls": [{"id": "c1", "name": "calculate", "arguments": "{\"expression\":\"6*7\"}"}],
    });
    let result = json!({"role": "tool", "content": "=42", "tool_call_id": "c1", "said_ms": 1_772_366_403_000_i64});
    json!({
        "kind": "paraphym_history",
        "version": 1,
        "conversations": [
            {"id": "whales", "messages": [
                said("user", "How large is a blue whale?", 1_772_366_400_000),
                said("assistant", "About 30 metres, \"give or take\",\nsays the book.", 1_772_366_401_000),
            ]},
            {"id": "sums", "messages": [
                said("user", "What is 6*7?", 1_772_366_401_500),
                calling,
                result,
                said("assistant", "It is 42.", 1_772_366_404_000),
            ]},
        ],
    })
}

#[test]
fn without_a_history_there_is_nothing_and_nothing_is_made() {
    let home = Home::new();
    let ran = home.run(&["list"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("nothing was stored yet"), "{}", ran.err);
    assert_eq!(home.json(&["list"])["conversations"], json!([]));
    assert_eq!(home.json(&["search", "x"])["hits"], json!([]));
    for args in [&["show", "a"][..], &["export", "a"], &["rm", "a", "--yes"]] {
        assert_refused(&home.run(args), 1, &["no conversation a", "history list"]);
    }
    assert!(!home.file("data").exists(), "looking leaves nothing behind");
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let home = Home::new();
    let given = home.write("given.json", &file());
    let stored = home.json(&["import", &given]);
    assert_eq!(
        stored,
        json!({"imported": ["whales", "sums"], "messages": 6})
    );
    assert_eq!(home.ids(), ["sums", "whales"], "the latest first");

    let list = home.say(&["list"]);
    for part in [
        "ID",
        "TITLE",
        "whales",
        "2026-03-01T12:00:04Z",
        "How large is a blue whale?",
    ] {
        assert!(list.contains(part), "{part} is missing in {list}");
    }
    assert_eq!(home.say(&["list", "--limit", "1"]).lines().count(), 2);
    let shown = home.say(&["show", "sums"]);
    assert_eq!(
        shown,
        "you: What is 6*7?\n\nmodel: [calls calculate {\"expression\":\"6*7\"}]\n\ntool: =42\n\nmodel: It is 42.\n"
    );
    assert_eq!(
        home.say(&["show", "sums", "--last", "1"]),
        "model: It is 42.\n"
    );
    assert_eq!(
        home.json(&["show", "sums"])["messages"][2]["tool_call_id"],
        "c1"
    );

    // Out and in again, in another home, is the same byte for byte.
    let all = home.say(&["export", "--all", "--format", "json"]);
    let out = home.file("out.json");
    let told = home.json(&["export", "--all", "--output", out.to_str().unwrap()]);
    assert_eq!(
        (&told["conversations"], &told["messages"]),
        (&2.into(), &6.into())
    );
    assert_eq!(fs::read_to_string(&out).unwrap(), all);
    assert_eq!(
        fs::metadata(&out).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let other = Home::new();
    let mut import = other.command(&["import", "-"]);
    let mut child = import.stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(all.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(other.say(&["export", "--all", "--json"]), all);
    assert_eq!(serde_json::from_str::<Value>(&all).unwrap(), file());
}

#[test]
fn files_for_people_and_spreadsheets() {
    let home = Home::new();
    home.say(&["import", &home.write("given.json", &file())]);
    let markdown = home.say(&["export", "whales"]);
    assert!(
        markdown.starts_with("# How large is a blue whale?\n\nwhales\n"),
        "{markdown}"
    );
    let ran = home.run(&["export", "--all", "--format", "csv"]);
    assert!(
        ran.err.contains("1 cells begin as formulas do"),
        "{}",
        ran.err
    );
    let lines: Vec<&str> = ran.out.split("\r\n").collect();
    assert_eq!(
        lines[2],
        "whales,2,2026-03-01T12:00:01Z,assistant,\"About 30 metres, \"\"give or take\"\",\nsays the book.\",,"
    );
    assert!(ran.out.contains(",tool,'=42,,c1\r\n"), "{}", ran.out);
    let file = home.file("talk.txt");
    let path = file.to_str().unwrap();
    assert!(
        home.say(&["export", "whales", "-o", path])
            .contains("1 conversations with 2 messages")
    );
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .starts_with("you: How large")
    );
    assert_refused(
        &home.run(&["export", "whales", "-o", path]),
        1,
        &["cannot be written", "--force"],
    );
    home.say(&["export", "sums", "-o", path, "--force"]);
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .starts_with("you: What is 6*7?")
    );
}

#[test]
fn what_was_said_is_found_by_its_words() {
    let home = Home::new();
    home.say(&["import", &home.write("given.json", &file())]);
    let hits = home.json(&["search", "blue", "wha"]);
    assert_eq!(hits["hits"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&hits["hits"][0]["id"], &hits["hits"][0]["number"]),
        (&"whales".into(), &1.into())
    );
    let said = home.say(&["search", "metres"]);
    assert!(
        said.contains("whales") && said.contains("model") && said.contains("30 metres"),
        "{said}"
    );
    // Nothing in it is syntax, and what has no word in it is refused.
    for (text, code) in [
        ("AND", 0),
        ("blue OR", 0),
        ("x*", 0),
        ("-- 'x", 0),
        ("\"", 2),
        ("(", 2),
    ] {
        let ran = home.run(&["search", "--", text]);
        assert_eq!(ran.code, Some(code), "{text}: {}", ran.err);
    }
    let none = home.run(&["search", "giraffe"]);
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""));
    assert!(none.err.contains("nothing was found"), "{}", none.err);
}

#[test]
fn a_file_with_a_mistake_stores_nothing() {
    let home = Home::new();
    let mut wrong = file();
    wrong["conversations"][1]["messages"][3]["role"] = "king".into();
    let refused = home.run(&["import", &home.write("wrong.json", &wrong)]);
    assert_refused(
        &refused,
        2,
        &[
            "conversations[1].messages[3].role = \"king\"",
            "nothing of",
            "was stored",
        ],
    );
    assert!(home.ids().is_empty());
    assert_refused(
        &home.run(&["import", "/nowhere.json"]),
        1,
        &["/nowhere.json cannot be read"],
    );

    // A name that is taken: nothing of the rest is stored either.
    let mut one = file();
    one["conversations"].as_array_mut().unwrap().remove(0);
    home.say(&["import", &home.write("one.json", &one)]);
    let refused = home.run(&["import", &home.write("both.json", &file())]);
    assert_refused(&refused, 1, &["there is a conversation sums already"]);
    assert_eq!(home.ids(), ["sums"]);
    let failed = home.run(&["import", &home.write("both.json", &file()), "--json"]);
    let event: Value = serde_json::from_str(failed.out.lines().last().unwrap()).unwrap();
    assert_eq!(event["event"], "failed");
}

#[test]
fn nothing_is_removed_unless_somebody_says_so() {
    let home = Home::new();
    home.say(&["import", &home.write("given.json", &file())]);
    assert_refused(&home.run(&["rm", "sums"]), 2, &["--yes"]);
    assert_refused(
        &home.run(&["rm", "sums", "nobody", "--yes"]),
        1,
        &["no conversation nobody"],
    );
    assert_eq!(home.ids(), ["sums", "whales"]);
    assert_eq!(
        home.json(&["rm", "sums", "--yes"]),
        json!({"removed": ["sums"], "messages": 4})
    );
    assert_eq!(home.ids(), ["whales"]);
    assert!(home.say(&["search", "42"]).is_empty());
}

#[test]
fn a_file_that_is_not_ours_is_left_as_it_is() {
    let home = Home::new();
    let folder = home.file("data/paraphym");
    fs::create_dir_all(&folder).unwrap();
    let database = folder.join("paraphym.db");
    fs::write(&database, "my shopping list").unwrap();
    let given = home.write("given.json", &file());
    for args in [&["list"][..], &["import", &given], &["rm", "a", "--yes"]] {
        assert_refused(&home.run(args), 1, &["paraphym.db", "left as it is"]);
    }
    assert_eq!(fs::read_to_string(&database).unwrap(), "my shopping list");
}
