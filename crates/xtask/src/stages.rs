//! Why: "does it all work?" must be one command with one answer, the same on a fresh machine and on an old one.
//!
//! Stages run one after the other and the first that fails ends the run. Nothing is retried.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cargo_metadata::Metadata;

use crate::deny;
use crate::features;
use crate::official_client;
use crate::packages;
use crate::page_tests;
use crate::programs;
use crate::promtool;
use crate::test_model::{self, TestModels};
use crate::tidy;

/// Whether the tests get a real model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// The default models, fetched where they are missing.
    Real,
    /// None: the tests that need one are left out, by name.
    None,
}

/// What is in the name of every test that needs something brought: a real model (`.config/nextest.toml` knows those by it,
/// too), Prometheus' own tool, or a browser.
const NEED_MORE: [&str; 4] = ["golden", "real_model", "real_browser", "promtool"];

/// The stages so far and how long they took.
#[derive(Debug, Default)]
struct Run {
    done: Vec<(&'static str, Duration)>,
}

impl Run {
    /// Runs one stage and prints its name and its time.
    #[allow(
        clippy::disallowed_methods,
        reason = "a tool on the wall clock: how long a stage took is what it reports"
    )]
    fn stage<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        println!("── {name}");
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        match result {
            Ok(value) => {
                println!("── {name}: ok, {:.1} s", took.as_secs_f64());
                self.done.push((name, took));
                Ok(value)
            }
            Err(reason) => Err(format!(
                "── {name}: FAILED after {:.1} s: {reason}\nxtask test stopped at the stage \"{name}\"; later stages did not run",
                took.as_secs_f64()
            )),
        }
    }

    fn summary(&self) {
        println!("\nall {} stages passed", self.done.len());
        for (name, took) in &self.done {
            println!("  {:>7.1} s  {name}", took.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, took)| *took).sum();
        println!("  {:>7.1} s  in all", total.as_secs_f64());
    }
}

/// Every check there is, the quick ones first.
pub(crate) fn test(workspace: &Metadata, model: Model) -> Result<(), String> {
    let mut run = Run::default();
    run.stage("format", || cargo(&["fmt", "--all", "--check"], None))?;
    run.stage("tidy", || tidy::tidy(workspace))?;
    run.stage("lints", || {
        cargo(
            &[
                "clippy",
                "--locked",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
            None,
        )
    })?;
    // With the targets and features the tests have, so that nothing is compiled twice.
    run.stage("build", || {
        cargo(&["build", "--locked", "--workspace", "--all-targets"], None)
    })?;
    let brought = match model {
        Model::Real => Some(bring(&mut run, workspace)?),
        Model::None => None,
    };
    let brought = brought.as_ref();
    if model == Model::None {
        println!(
            "── left out, because what they need is not brought: tests named {}",
            NEED_MORE.join(" or ")
        );
    }
    run.stage("documentation", documentation)?;
    run.stage("packages", || packages::check(workspace))?;
    run.stage("the page's own tests", || page_tests::test(workspace))?;
    let arguments = tests(has_nextest(), model);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run.stage("tests", || cargo(&arguments, brought))?;
    run.stage("documentation's examples", || {
        cargo(&["test", "--locked", "--workspace", "--doc"], brought)
    })?;
    run.stage("who else listens, where it is built in", listeners)?;
    run.stage("the facade, feature by feature", || {
        feature_by_feature(workspace)
    })?;
    run.summary();
    if model == Model::None {
        println!(
            "without the tests that need a real model, a browser or promtool: `cargo xtask test` runs them too"
        );
    }
    Ok(())
}

/// What tells a collector or tokio-console, which is built in on request. Its other tests want a process each.
fn listeners() -> Result<(), String> {
    cargo(
        &[
            "test",
            "--locked",
            "--package",
            "paraphym_telemetry",
            "--features",
            "otlp,console",
            "--test",
            "traces",
            "--test",
            "console",
        ],
        None,
    )
}

/// Every public item's page, where a link that leads nowhere, or to what nobody outside can see, is an error.
fn documentation() -> Result<(), String> {
    let mut command = Command::new(cargo_program());
    command
        .args(["doc", "--locked", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    run(&mut command)
}

/// Checks the facade with each of its features that is built here, and says which are not.
pub(crate) fn feature_by_feature(workspace: &Metadata) -> Result<(), String> {
    let plan = features::plan(workspace)?;
    for combination in &plan.combinations {
        println!(
            "with {}",
            if combination.is_empty() {
                "none"
            } else {
                combination
            }
        );
        cargo(&features::words(combination), None)?;
    }
    for (feature, why) in &plan.left_out {
        println!("not built here: {feature}, because {why}");
    }
    Ok(())
}

/// What tests of a real answer need, beside what is built.
#[derive(Debug)]
struct Brought {
    models: TestModels,
    /// The folder with an official client of the API.
    official: PathBuf,
    /// Prometheus' own checks.
    promtool: PathBuf,
}

fn bring(run: &mut Run, workspace: &Metadata) -> Result<Brought, String> {
    let target = workspace.target_directory.as_std_path();
    run.stage("programs that tests run", programs::install)?;
    let models = run.stage("test models", || {
        test_model::fetch(&target.join("debug").join("paraphym"))
    })?;
    let official = run.stage("official client", || {
        official_client::fetch(workspace.workspace_root.as_std_path(), target)
    })?;
    let promtool = run.stage("promtool", || promtool::fetch(target))?;
    run.stage("licences, bans and sources", || deny::check(workspace))?;
    Ok(Brought {
        models,
        official,
        promtool,
    })
}

/// What cargo is told to run all tests, or all but those that need a model.
fn tests(nextest: bool, model: Model) -> Vec<String> {
    let words: &[&str] = if nextest {
        &["nextest", "run", "--locked", "--workspace"]
    } else {
        &[
            "test",
            "--locked",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
        ]
    };
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    match (model, nextest) {
        (Model::Real, _) => {}
        (Model::None, true) => {
            let named = NEED_MORE.map(|part| format!("test(~{part})"));
            words.extend(["-E".to_owned(), format!("not ({})", named.join(" | "))]);
        }
        (Model::None, false) => {
            words.push("--".to_owned());
            words.extend(NEED_MORE.map(|part| format!("--skip={part}")));
        }
    }
    words
}

/// Runs cargo, the one that runs this program, with its output shown.
fn cargo(arguments: &[&str], brought: Option<&Brought>) -> Result<(), String> {
    let mut command = Command::new(cargo_program());
    command.args(arguments);
    for (variable, path) in [
        (
            test_model::VARIABLE,
            brought.map(|brought| &brought.models.chat),
        ),
        (
            test_model::EMBEDDER_VARIABLE,
            brought.map(|brought| &brought.models.embedder),
        ),
        (
            official_client::VARIABLE,
            brought.map(|brought| &brought.official),
        ),
        (promtool::VARIABLE, brought.map(|brought| &brought.promtool)),
    ] {
        match path {
            Some(path) => command.env(variable, path),
            None => command.env_remove(variable),
        };
    }
    run(&mut command)
}

/// Runs a program to its end, with its output shown.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` ended with {status}")),
        Err(error) => Err(format!("`{line}` could not be started: {error}")),
    }
}

fn has_nextest() -> bool {
    let mut command = Command::new(cargo_program());
    command
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

pub(crate) fn cargo_program() -> std::ffi::OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stage_that_fails_ends_the_run_by_name() {
        let mut stages = Run::default();
        assert_eq!(stages.stage("one", || Ok(7)), Ok(7));
        let error = stages
            .stage("two", || Err::<(), _>("because".to_owned()))
            .unwrap_err();
        assert!(
            error.contains("\"two\"") && error.contains("because"),
            "{error}"
        );
        assert_eq!(stages.done.len(), 1);
    }

    #[test]
    fn without_a_model_the_tests_that_need_one_are_left_out_by_name() {
        let line = |nextest, model| tests(nextest, model).join(" ");
        let all = "nextest run --locked --workspace";
        assert_eq!(line(true, Model::Real), all);
        assert_eq!(
            line(true, Model::None),
            format!(
                "{all} -E not (test(~golden) | test(~real_model) | test(~real_browser) | test(~promtool))"
            )
        );
        assert!(line(false, Model::Real).ends_with("--examples"));
        assert!(line(false, Model::None).ends_with(
            "--examples -- --skip=golden --skip=real_model --skip=real_browser --skip=promtool"
        ));
    }

    #[test]
    fn a_program_that_fails_is_named_with_its_arguments() {
        assert_eq!(run(&mut Command::new("true")), Ok(()));
        let error = run(Command::new("false").arg("now")).unwrap_err();
        assert!(error.starts_with("`false now` ended with"), "{error}");
        assert!(
            run(&mut Command::new("/no/such/program"))
                .unwrap_err()
                .contains("could not be started")
        );
    }
}
