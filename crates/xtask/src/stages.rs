//! Why: "does it all work?" must be one command with one answer, the same on a fresh machine and on an old one.
//!
//! Stages run one after the other and the first that fails ends the run. Nothing is retried.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cargo_metadata::Metadata;

use crate::test_model;
use crate::tidy;

/// Whether the tests get a real model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// The default model, fetched where it is missing.
    Real,
    /// None: tests that need one say that they were left out.
    None,
}

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
    let path = match model {
        Model::Real => Some(run.stage("test model", || {
            test_model::fetch(
                &workspace
                    .target_directory
                    .join("debug")
                    .join("paraphym")
                    .into_std_path_buf(),
            )
        })?),
        Model::None => None,
    };
    let path = path.as_deref();
    if has_nextest() {
        run.stage("tests", || {
            cargo(&["nextest", "run", "--locked", "--workspace"], path)
        })?;
    } else {
        let targets = [
            "test",
            "--locked",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
        ];
        run.stage("tests", || cargo(&targets, path))?;
    }
    run.stage("documentation's examples", || {
        cargo(&["test", "--locked", "--workspace", "--doc"], path)
    })?;
    run.stage("the facade by itself", || {
        cargo(&["check", "--locked", "--package", "paraphym_candle"], None)
    })?;
    run.summary();
    Ok(())
}

/// Runs cargo, the one that runs this program, with its output shown.
fn cargo(arguments: &[&str], model: Option<&Path>) -> Result<(), String> {
    let mut command = Command::new(cargo_program());
    command.args(arguments);
    if let Some(model) = model {
        command.env(test_model::VARIABLE, model);
    } else {
        command.env_remove(test_model::VARIABLE);
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

fn cargo_program() -> std::ffi::OsString {
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
