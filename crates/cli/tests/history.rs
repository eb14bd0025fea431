//! `paraphym history` from outside: what is exported can be imported and is the same, what is wrong is named and changes
//! nothing, and nothing is removed that nobody agreed to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use crate::common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use common::{Home, assert_refused};

fn home() -> Home {
    let home = Home::of("history");
    let data = home.path("data");
    home.with("XDG_DATA_HOME", data)
}

fn write(home: &Home, name: &str, value: &Value) -> String {
    let path = home.path(name);
    fs::write(&path, value.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn ids(home: &Home) -> Vec<String> {
    let list = home.json(&["list"]);
    let all = list["conversations"].as_array().unwrap().iter();
    all.map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
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
    let home = home();
    let ran = home.run(&["list"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("nothing was stored yet"), "{}", ran.err);
    assert_eq!(home.json(&["list"])["conversations"], json!([]));
    assert_eq!(home.json(&["search", "x"])["hits"], json!([]));
    for args in [&["show", "a"][..], &["export", "a"], &["rm", "a", "--yes"]] {
        assert_refused(&home.run(args), 1, &["no conversation a", "history list"]);
    }
    assert!(!home.path("data").exists(), "looking leaves nothing behind");
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let home = home();
    let given = write(&home, "given.json", &file());
    let stored = home.json(&["import", &given]);
    assert_eq!(
        stored,
        json!({"imported": ["whales", "sums"], "messages": 6})
    );
    assert_eq!(ids(&home), ["sums", "whales"], "the latest first");

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
    let out = home.path("out.json");
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
    let other = self::home();
    let imported = other.run_with_input(&["import", "-"], all.as_bytes());
    assert_eq!(imported.code, Some(0), "{}", imported.err);
    assert_eq!(other.say(&["export", "--all", "--json"]), all);
    assert_eq!(serde_json::from_str::<Value>(&all).unwrap(), file());
}

#[test]
fn files_for_people_and_spreadsheets() {
    let home = home();
    home.say(&["import", &write(&home, "given.json", &file())]);
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
    let file = home.path("talk.txt");
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
    let home = home();
    home.say(&["import", &write(&home, "given.json", &file())]);
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
    let home = home();
    let mut wrong = file();
    wrong["conversations"][1]["messages"][3]["role"] = "king".into();
    let refused = home.run(&["import", &write(&home, "wrong.json", &wrong)]);
    assert_refused(
        &refused,
        2,
        &[
            "conversations[1].messages[3].role = \"king\"",
            "nothing of",
            "was stored",
        ],
    );
    assert!(ids(&home).is_empty());
    assert_refused(
        &home.run(&["import", "/nowhere.json"]),
        1,
        &["/nowhere.json cannot be read"],
    );

    // A name that is taken: nothing of the rest is stored either.
    let mut one = file();
    one["conversations"].as_array_mut().unwrap().remove(0);
    home.say(&["import", &write(&home, "one.json", &one)]);
    let refused = home.run(&["import", &write(&home, "both.json", &file())]);
    assert_refused(&refused, 1, &["there is a conversation sums already"]);
    assert_eq!(ids(&home), ["sums"]);
    let failed = home.run(&["import", &write(&home, "both.json", &file()), "--json"]);
    let event: Value = serde_json::from_str(failed.out.lines().last().unwrap()).unwrap();
    assert_eq!(event["event"], "failed");
}

#[test]
fn nothing_is_removed_unless_somebody_says_so() {
    let home = home();
    home.say(&["import", &write(&home, "given.json", &file())]);
    assert_refused(&home.run(&["rm", "sums"]), 2, &["--yes"]);
    assert_refused(
        &home.run(&["rm", "sums", "nobody", "--yes"]),
        1,
        &["no conversation nobody"],
    );
    assert_eq!(ids(&home), ["sums", "whales"]);
    assert_eq!(
        home.json(&["rm", "sums", "--yes"]),
        json!({"removed": ["sums"], "messages": 4})
    );
    assert_eq!(ids(&home), ["whales"]);
    assert!(home.say(&["search", "42"]).is_empty());
}

#[test]
fn a_file_that_is_not_ours_is_left_as_it_is() {
    let home = home();
    let folder = home.path("data/paraphym");
    fs::create_dir_all(&folder).unwrap();
    let database = folder.join("paraphym.db");
    fs::write(&database, "my shopping list").unwrap();
    let given = write(&home, "given.json", &file());
    for args in [&["list"][..], &["import", &given], &["rm", "a", "--yes"]] {
        assert_refused(&home.run(args), 1, &["paraphym.db", "left as it is"]);
    }
    assert_eq!(fs::read_to_string(&database).unwrap(), "my shopping list");
}
