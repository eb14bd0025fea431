//! The built binary in a home of its own: no settings, no network and no terminal of the machine reach it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    clippy::new_without_default,
    reason = "a broken fixture should fail the test at once; another test binary shares it, and uses a part"
)]

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A home of its own for every test.
pub struct Home {
    folder: TempDir,
    /// What every command begins with.
    group: Option<&'static str>,
    environment: Vec<(&'static str, OsString)>,
}

/// What a command did.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        Self {
            folder,
            group: None,
            environment: Vec::new(),
        }
    }

    /// The same for the commands of one group, such as `config`.
    pub fn of(group: &'static str) -> Self {
        Self {
            group: Some(group),
            ..Self::new()
        }
    }

    /// A variable of every command.
    pub fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of the group.
    pub fn command(&self, args: &[&str]) -> Command {
        let group = self.group.as_slice();
        self.paraphym(&[group, args].concat())
    }

    /// Any command. There is no `pip` on the path, and every proxy is a closed port; in a group of its own it is in the
    /// background of the terminal that the tests were started from, and asks nobody there.
    pub fn paraphym(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paraphym"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", self.path("bin"))
            // Where the control socket is: each home has its own.
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("RUST_BACKTRACE", "1")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for proxy in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
            command.env(proxy, "http://127.0.0.1:9");
        }
        let own = self.environment.iter();
        command.envs(own.map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that refuses its input early closes it; that is for the test to judge by what was printed.
        let _ = stdin.write_all(input);
        drop(stdin);
        finish(child)
    }

    /// Succeeds; its standard output.
    #[track_caller]
    pub fn say(&self, args: &[&str]) -> String {
        let out = self.run(args).well().out;
        assert!(!out.contains('\u{1b}'), "colours in a pipe: {args:?}");
        out
    }

    /// Succeeds with one line of JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let out = self.say(&[args, &["--json"]].concat());
        assert_eq!(out.lines().count(), 1, "{out}");
        serde_json::from_str(&out).unwrap()
    }
}

impl Ran {
    /// It succeeded.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self
    }
}

pub fn ran(command: &mut Command) -> Ran {
    finish(command.spawn().unwrap())
}

/// Waits for its end.
pub fn finish(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// One `error:` line, and nothing that only a programmer reads.
#[track_caller]
pub fn assert_refused(ran: &Ran, code: i32, parts: &[&str]) {
    let err = &ran.err;
    assert_eq!(ran.code, Some(code), "{err}");
    let errors: Vec<&str> = err.lines().filter(|l| l.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{err}");
    for part in parts {
        assert!(err.contains(part), "{part} is missing in: {err}");
    }
    for word in ["panicked", "backtrace", "Err(", "{ ", "RUST_"] {
        assert!(!err.contains(word), "{word} in: {err}");
    }
}
