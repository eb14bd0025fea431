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

/// Writes every page, or says which is stale. Each test does its own; all are run before the first failure is told.
pub(crate) fn docs(task: Task) -> Result<(), String> {
    let mut stale = Vec::new();
    for made in MADE {
        let mut command = Command::new(cargo_program());
        command.args(words(&made));
        match task {
            Task::Write => command.env(VARIABLE, "1"),
            Task::Check => command.env_remove(VARIABLE),
        };
        if let Err(error) = run(&mut command) {
            stale.push(format!("{}: {error}", made.pages.join(", ")));
        }
    }
    match (stale.is_empty(), task) {
        (true, Task::Write) => {
            println!("docs: written; `git diff docs` shows what changed");
            Ok(())
        }
        (true, Task::Check) => Ok(()),
        (false, _) => Err(format!(
            "docs: not what the code says, `cargo xtask docs` writes them anew:\n  {}",
            stale.join("\n  ")
        )),
    }
}

fn words(made: &Made) -> Vec<&'static str> {
    let mut words = vec!["test", "--quiet", "--locked", "--package", made.package];
    words.extend(made.target);
    words.push("--");
    words.extend(made.tests);
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
        for made in MADE {
            let line = words(&made).join(" ");
            assert!(line.starts_with("test --quiet --locked --package paraphym_"));
            let (_, filters) = line.split_once(" -- ").unwrap();
            assert_eq!(filters.split(' ').count(), made.tests.len(), "{line}");
        }
    }
}
