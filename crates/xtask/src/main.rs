//! Why: the rules of docs/style.md hold because a program checks them, and a newcomer needs one command to know that
//! everything works.
//!
//! `cargo xtask tidy` prints each breach of a rule; `cargo xtask test [--fast]` runs every check there is; `cargo xtask docs` writes
//! what is made from the code. Nothing here is part of the product, and no other crate may depend on it.
#![allow(
    clippy::print_stdout,
    reason = "a command line tool speaks on standard output"
)]

mod deny;
mod docs;
mod features;
mod official_client;
mod packages;
mod page_tests;
mod programs;
mod promtool;
mod stages;
mod test_model;
mod tidy;

use std::process::ExitCode;

use cargo_metadata::{Metadata, MetadataCommand};

const USAGE: &str = "\
usage: cargo xtask tidy            check the rules of docs/style.md
       cargo xtask docs [--check]  write the pages that are made from the code, or say which are stale
       cargo xtask packages        what would be in each package, and whether it could be made
       cargo xtask deny            licences, bans and sources of what we depend on (.deny.toml)
       cargo xtask features        check the facade with each of its features
       cargo xtask test [--fast]   formats, lints, tidies, builds, runs all tests;
                                   first installs what tests run and is missing (Debian: chromium, tmux, …);
                                   --fast leaves out the tests that need a real model (golden, real_model),
                                   a browser (real_browser) or Prometheus' own tool (promtool), and deny,
                                   whose program is fetched";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let work: fn(&Metadata) -> Result<(), String> = match arguments.as_slice() {
        ["tidy"] => tidy::tidy,
        ["docs"] => |_| docs::docs(docs::Task::Write),
        ["docs", "--check"] => |_| docs::docs(docs::Task::Check),
        ["packages"] => packages::check,
        ["deny"] => deny::check,
        ["features"] => stages::feature_by_feature,
        ["test"] => |workspace| stages::test(workspace, stages::Model::Real),
        ["test", "--fast"] => |workspace| stages::test(workspace, stages::Model::None),
        _ => {
            println!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = MetadataCommand::new()
        .no_deps()
        .exec()
        .map_err(|error| format!("the workspace could not be read: {error}"))
        .and_then(|workspace| work(&workspace));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("{reason}");
            ExitCode::FAILURE
        }
    }
}
