//! Why: a page that is made from the code is true only as long as it is made anew, and nobody remembers how each is made.
//!
//! Each such page is written and compared by a test beside the code it is made from. Here is the list of them: one command writes
//! all, and tidy sees to it that no test writes a page that is not on the list.

use std::process::Command;

use crate::stages::{cargo_program, run};

/// Set to have pages written instead of compared.
pub(crate) const VARIABLE: &str = concat!("PARAPHYM_WRITE", "_DOCS");

/// Pages, and what makes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    /// Relative to the workspace.
    pub(crate) pages: &'static [&'static str],
    /// The test's file.
    pub(crate) by: &'static str,
    /// Its package.
    package: &'static str,
    /// The target of cargo that it is in.
    target: &'static [&'static str],
    /// The names of the tests.
    pub(crate) tests: &'static [&'static str],
}

/// All of them. The pictures of `docs/img` are not among them: a browser and a model make those, and no two are the same.
pub(crate) const MADE: [Made; 5] = [
    Made {
        pages: &["docs/metrics.md"],
        by: "crates/metric_names/tests/list.rs",
        package: "paraphym_metric_names",
        target: &["--test", "list"],
        tests: &["the_page_is_what_is_counted"],
    },
    Made {
        pages: &["docs/protocol/control.md"],
        by: "crates/control/tests/page.rs",
        package: "paraphym_control",
        target: &["--test", "all"],
        tests: &["the_page_is_what_is_spoken"],
    },
    Made {
        pages: &[
            "docs/protocol/websocket.md",
            "docs/protocol/websocket.schema.json",
        ],
        by: "actors/connection/tests/page.rs",
        package: "paraphym_connection",
        target: &["--test", "page"],
        tests: &["the_page_is_what_is_spoken", "the_schema_is_what_is_spoken"],
    },
    Made {
        pages: &["docs/settings_reference.md"],
        by: "actors/chat_config/tests/page.rs",
        package: "paraphym_chat_config",
        target: &["--test", "all"],
        tests: &["the_page_is_what_can_be_set"],
    },
    Made {
        pages: &["docs/cli.md"],
        by: "crates/cli/src/manual_tests.rs",
        package: "paraphym_cli",
        target: &["--bin", "paraphym"],
        tests: &["the_page_is_what_can_be_typed"],
    },
];

/// Files that write what no other machine would write alike.
pub(crate) const PICTURES: [&str; 1] = ["crates/cli/tests/browser/pictures.rs"];

/// What is done with the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Made anew.
    Write,
    /// Compared with what would be made.
    Check,
}

/// Writes every page, or says which are stale. Each test does its own, and all are run before a failure is told.
pub(crate) fn docs(task: Task) -> Result<(), String> {
    let mut command = Command::new(cargo_program());
    command.args(words(&MADE));
    match task {
        Task::Write => command.env(VARIABLE, "1"),
        Task::Check => command.env_remove(VARIABLE),
    };
    run(&mut command).map_err(|error| {
        format!("docs: {error}; what is stale is named above, `cargo xtask docs` writes it anew")
    })?;
    if task == Task::Write {
        println!("docs: written; `git diff docs` shows what changed");
    }
    Ok(())
}

/// One command for all, so that nothing is compiled twice with other features.
fn words(list: &[Made]) -> Vec<&'static str> {
    let mut words = vec!["test", "--quiet", "--locked", "--no-fail-fast"];
    for made in list {
        words.extend(["--package", made.package]);
    }
    let mut targets: Vec<&[&str]> = list.iter().map(|made| made.target).collect();
    targets.sort_unstable();
    targets.dedup();
    words.extend(targets.concat());
    words.push("--");
    let mut tests: Vec<&str> = list.iter().flat_map(|made| made.tests).copied().collect();
    tests.sort_unstable();
    tests.dedup();
    words.extend(tests);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_is_made_once_by_a_named_test() {
        let mut pages: Vec<&str> = MADE.iter().flat_map(|made| made.pages).copied().collect();
        let count = pages.len();
        pages.sort_unstable();
        pages.dedup();
        assert_eq!(pages.len(), count);
        let line = words(&MADE).join(" ");
        let (cargo, filters) = line.split_once(" -- ").unwrap();
        for made in MADE {
            assert!(
                cargo.contains(&format!("--package {}", made.package)),
                "{line}"
            );
            assert!(cargo.contains(&made.target.join(" ")), "{line}");
            let mut tests = made.tests.iter();
            assert!(tests.all(|test| filters.contains(test)), "{line}");
        }
        assert_eq!(cargo.matches("--test all").count(), 1, "{line}");
    }
}
