//! The page of every command is made from the definitions; this is where, and where it is noticed that it was not.

use std::fmt::Write;
use std::path::Path;

use clap::{Command, CommandFactory};

use crate::args::Cli;

const FRONT: &str = "\
# Every command

This page is made from the code by `cargo xtask docs`. The same on a terminal: `paraphym COMMAND --help`, `paraphym man COMMAND`;
`paraphym completions bash` for a shell. What every command takes is said once, with the first.
";

/// Columns of a line of help.
const WIDTH: usize = 120;

fn page() -> String {
    let mut command = Cli::command().term_width(WIDTH);
    command.build();
    let mut page = FRONT.to_owned();
    write(&command, "paraphym", &mut page);
    page
}

fn write(command: &Command, name: &str, page: &mut String) {
    let is_top = !name.contains(' ');
    let mut shown = command.clone().bin_name(name).term_width(WIDTH);
    // The version is not the page's business, and help is always there.
    shown = shown.mut_args(|one| {
        let known = one.is_global_set() && !is_top;
        let hidden = known || ["help", "version"].contains(&one.get_id().as_str());
        one.hide(hidden).hide_env_values(true)
    });
    let help = shown.render_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    writeln!(
        page,
        "\n## {name}\n\n```text\n{}\n```",
        lines.join("\n").trim()
    )
    .unwrap();
    for inner in command.get_subcommands() {
        if inner.get_name() != "help" && !inner.is_hide_set() {
            write(inner, &format!("{name} {}", inner.get_name()), page);
        }
    }
}

#[test]
fn the_page_is_what_can_be_typed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let made = page();
    if std::env::var_os("PARAPHYM_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == made,
        "docs/cli.md is not what the code says; `cargo xtask docs` writes it anew"
    );
}

#[test]
fn each_command_has_its_place_and_what_all_take_is_said_once() {
    let page = page();
    for name in [
        "paraphym",
        "paraphym ask",
        "paraphym ctl restart",
        "paraphym token new",
    ] {
        assert!(page.contains(&format!("\n## {name}\n")), "{name}");
    }
    assert_eq!(page.matches("--models-dir <DIR>").count(), 1);
    assert!(!page.contains("--version"));
}
