//! The page of every setting is made from the catalogue; this is where, and where it is noticed that it was not.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fmt::Write;
use std::path::Path;

use paraphym_chat_config::{Catalogue, Entry};

const FRONT: &str = "\
# Every setting

This page is made from the code by `cargo xtask docs`. How settings are given, changed and refused: [settings](settings.md). What a
running process has: `paraphym config show`; `paraphym config show NAME` says where a value comes from.

In the environment `limits.answers` is `PARAPHYM_LIMITS__ANSWERS`. A `*` stands for a name that you choose.
";

fn page() -> String {
    let catalogue = Catalogue::new();
    let mut all: Vec<(&str, &Entry)> = catalogue.iter().chain(catalogue.patterns()).collect();
    all.sort_by_key(|(path, _)| *path);
    let mut page = FRONT.to_owned();
    let mut section = "";
    for (path, entry) in all {
        let (first, _) = path.split_once('.').unwrap_or((path, ""));
        if first != section {
            section = first;
            let head = "| setting | what | accepted | default | felt |\n|---|---|---|---|---|\n";
            write!(page, "\n## {section}\n\n{head}").unwrap();
        }
        let default = match &entry.default {
            serde_json::Value::Null => String::new(),
            value => format!("`{value}`"),
        };
        let secret = if entry.secret { " Secret." } else { "" };
        let cells = [
            format!("`{path}`"),
            format!("{}{secret}", entry.help),
            entry.allowed.clone(),
            default,
            entry.effect.to_string(),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        writeln!(page, "| {} |", cells.join(" | ")).unwrap();
    }
    page
}

#[test]
fn the_page_is_what_can_be_set() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings_reference.md");
    let made = page();
    if std::env::var_os("PARAPHYM_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == made,
        "docs/settings_reference.md is not what the code says; `cargo xtask docs` writes it anew"
    );
}

#[test]
fn each_setting_has_a_row_with_its_help() {
    let page = page();
    let catalogue = Catalogue::new();
    for (path, entry) in catalogue.iter().chain(catalogue.patterns()) {
        assert!(page.contains(&format!("| `{path}` | ")), "{path}");
        assert!(!entry.help.is_empty(), "{path} says nothing");
    }
}
