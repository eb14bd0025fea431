//! A server of the built binary in a home of its own, with a small made model under the name of the usual one.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::ops::{Deref, DerefMut};
use std::process::{Child, ChildStderr, Command};

use inference::fixture::TinyModel;
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Home, Ran, signal};

/// A process that ends with its test, whatever becomes of that.
pub struct Running(Child);

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Server {
    pub home: Home,
    pub child: Running,
    pub err: BufReader<ChildStderr>,
    /// What it said before it listened.
    pub said: String,
}

impl Server {
    /// Serves a made model, and lets itself be broken on purpose.
    pub fn start() -> Self {
        let home = Home::new();
        let models = home.path(".local/share/paraphym/models");
        fs::create_dir_all(&models).unwrap();
        let model = models.join("smollm2-135m-instruct.gguf");
        TinyModel::qwen2().write(&model).unwrap();
        Self::with(home, &["--allow-chaos"])
    }

    pub fn with(home: Home, args: &[&str]) -> Self {
        let args = [&["serve", "--bind", "127.0.0.1:0"], args].concat();
        let command = home.paraphym(&args);
        Self::of(home, command)
    }

    /// As that command starts it.
    pub fn of(home: Home, mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("listening on http://") {
            let read = err.read_line(&mut said).unwrap();
            assert_ne!(read, 0, "it ended: {said}");
        }
        Self {
            home,
            child: Running(child),
            err,
            said,
        }
    }

    pub fn ctl(&self, args: &[&str]) -> Ran {
        self.home.run(&[&["ctl"], args].concat())
    }

    #[track_caller]
    pub fn say(&self, args: &[&str]) -> String {
        self.home.say(&[&["ctl"], args].concat())
    }

    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        self.home.json(&[&["ctl"], args].concat())
    }

    /// Its status, once it has ended by itself, and what it said last.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.err.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }

    pub fn end(self) {
        signal(&self.child, Signal::TERM);
        assert_eq!(self.ended().0, Some(143));
    }
}
