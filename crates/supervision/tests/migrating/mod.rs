//! The snippets of `docs/migrating.md`, whole and running: one file for each of the nine threads that became actors. Whatever
//! the page shows as Rust stands here word for word, or the test below fails.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod agent;
mod cache;
mod command_line;
mod connection;
mod governor;
mod lane;
mod prompt;
mod settings;
mod typing;

use std::fs;
use std::path::Path;

/// The Rust that a page shows, block by block.
fn shown(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<Vec<&str>> = None;
    for line in page.lines() {
        match &mut block {
            None if line == "```rust" => block = Some(Vec::new()),
            None => {}
            Some(lines) if line == "```" => {
                blocks.push(plain(lines.iter().copied()));
                block = None;
            }
            Some(lines) => lines.push(line),
        }
    }
    blocks
}

/// Lines without their indentation: a snippet stands at another depth than its file.
fn plain<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(str::trim).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_the_page_of_migrating_shows_is_what_runs_here() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(here.join("../../docs/migrating.md")).unwrap();
    let files = fs::read_dir(here.join("tests/migrating")).unwrap();
    let code: Vec<String> = files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .map(|text| plain(text.lines()))
        .collect();
    let blocks = shown(&page);
    assert!(blocks.len() >= 9, "{} snippets", blocks.len());
    for block in blocks {
        let found = code.iter().any(|text| text.contains(&block));
        assert!(found, "this runs nowhere in tests/migrating:\n{block}");
    }
}

#[test]
fn a_block_ends_at_its_fence_and_other_languages_are_none() {
    let page = "a\n```rust\nfn f() {\n    g();\n}\n```\n```text\nx\n```\n```rust\nh();\n```\n";
    assert_eq!(shown(page), ["fn f() {\ng();\n}", "h();"]);
}
