//! A command that a person runs at a terminal: `script` of util-linux gives it one, shows what stands on its screen, and passes
//! on what is typed. Nothing is typed before its question is seen.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::common::Home;

/// Longer than anything here takes on a busy machine; a test that is right never waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a question ends.
const QUESTION: &str = "May it run? [y]es, [a]lways, [N]o: ";

pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    shown: Vec<u8>,
}

/// What happened at a terminal.
pub(crate) struct Seen {
    pub(crate) code: Option<i32>,
    pub(crate) screen: String,
    pub(crate) questions: usize,
}

impl Terminal {
    /// Runs a command whose standard input is the terminal, or this file.
    pub(crate) fn open(home: &Home, args: &[&str], input: Option<&Path>) -> Self {
        let paraphym = home.paraphym(args);
        let words = [paraphym.get_program()]
            .into_iter()
            .chain(paraphym.get_args())
            .map(|word| quoted(word.to_str().unwrap()));
        let words: Vec<String> = words.collect();
        let input = input.map(|file| format!(" < {}", quoted(file.to_str().unwrap())));
        let line = format!("exec {}{}", words.join(" "), input.unwrap_or_default());
        let environment = paraphym.get_envs();
        let mut command = Command::new(script());
        command
            .args(["-qec", &line, "/dev/null"])
            .env_clear()
            .envs(environment.filter_map(|(name, value)| Some((name, value?))))
            .env("TERM", "dumb")
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            keys: child.stdin.take().unwrap(),
            screen: child.stdout.take().unwrap(),
            child,
            shown: Vec::new(),
        }
    }

    /// Answers each question with the next of these, and all that come after with the last; then waits for the end.
    pub(crate) async fn answering(mut self, answers: &[&str]) -> Seen {
        let mut questions = 0;
        while self.look().await {
            while questions < self.text().matches(QUESTION).count() {
                questions += 1;
                if let Some(keys) = answers.get(questions - 1).or(answers.last()) {
                    self.keys.write_all(keys.as_bytes()).await.unwrap();
                }
            }
        }
        let ended = timeout(PATIENCE, self.child.wait()).await;
        Seen {
            code: ended.unwrap().unwrap().code(),
            screen: self.text(),
            questions,
        }
    }

    /// Waits for more on the screen; false at its end.
    async fn look(&mut self) -> bool {
        let read = timeout(PATIENCE, self.screen.read_buf(&mut self.shown)).await;
        let read = read.unwrap_or_else(|_| panic!("nothing more comes after: {}", self.text()));
        read.unwrap() > 0
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown).replace("\r\n", "\n")
    }
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn script() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join("script"));
    let found = places.find(|place| place.is_file());
    found.expect("`script` of util-linux is on the path")
}
