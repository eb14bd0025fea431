//! Where lines come from: an editor with history on a terminal, plain reading from anything else.
//!
//! Both read on a blocking thread, one call at a time; the editor travels there and comes home with its line. A read
//! that is dropped goes on in vain, because nothing can end it: then `is_stuck` says so and the process has to leave
//! without waiting for that thread.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Stdin};

use crate::failure::Failure;

/// The longest line taken from a pipe: the longest text of a turn, with room for four-byte characters.
const LINE_MAX: u64 = 400_000;

/// Lines remembered between conversations.
const HISTORY_MAX: usize = 1000;

/// What reading gave.
pub(super) enum Read {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// Ctrl-D, or the end of the input.
    End,
    /// It cannot be read.
    Failed(Failure),
}

/// Where lines come from.
pub(super) enum Lines {
    Editor(Box<Editor>),
    Plain(Plain),
}

/// A line editor; away while it reads.
pub(super) struct Editor {
    at_home: Option<DefaultEditor>,
    history: Option<PathBuf>,
    /// How the terminal was before; an editor that never came home cannot put it back.
    before: Option<Termios>,
}

/// Lines as they come.
pub(super) struct Plain {
    input: BufReader<Stdin>,
    reading: bool,
}

impl Lines {
    /// An editor where a person types, plain reading otherwise, or where the editor cannot be had. `kept`: what is typed is
    /// remembered for the next conversation.
    pub(super) fn open(kept: bool) -> Self {
        let person = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        match person.then(|| Editor::open(kept)).flatten() {
            Some(editor) => Self::Editor(Box::new(editor)),
            None => Self::Plain(Plain {
                input: BufReader::new(tokio::io::stdin()),
                reading: false,
            }),
        }
    }

    /// Whether a person types at a prompt.
    pub(super) const fn is_interactive(&self) -> bool {
        matches!(self, Self::Editor(_))
    }

    /// The next line. Once dropped, never to be called again.
    pub(super) async fn next(&mut self, prompt: &str) -> Read {
        match self {
            Self::Editor(editor) => editor.next(prompt).await,
            Self::Plain(plain) => plain.next().await,
        }
    }

    /// Whether a thread still waits for input that nobody wants.
    pub(super) const fn is_stuck(&self) -> bool {
        match self {
            Self::Editor(editor) => editor.at_home.is_none(),
            Self::Plain(plain) => plain.reading,
        }
    }

    /// Puts the terminal back to how it was.
    pub(super) fn restore_terminal(&self) {
        if let Self::Editor(editor) = self
            && let Some(before) = &editor.before
        {
            // Where it fails the terminal is gone. The editor turns bracketed paste on while it reads.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
            let _ = std::io::stdout().write_all(b"\x1b[?2004l\n");
        }
    }
}

impl Editor {
    fn open(kept: bool) -> Option<Self> {
        let config = Config::builder()
            .max_history_size(HISTORY_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .ok()?
            .auto_add_history(true)
            .build();
        let mut editor = DefaultEditor::with_config(config).ok()?;
        let folder = kept.then(|| state_folder(|name| std::env::var_os(name)));
        let history = folder.flatten().map(|dir| dir.join("history"));
        if let Some(path) = &history {
            // Before the first conversation there is none.
            let _ = editor.load_history(path);
        }
        Some(Self {
            at_home: Some(editor),
            history,
            before: tcgetattr(std::io::stdin()).ok(),
        })
    }

    async fn next(&mut self, prompt: &str) -> Read {
        let Some(mut editor) = self.at_home.take() else {
            return Read::End;
        };
        let (prompt, history) = (prompt.to_owned(), self.history.clone());
        let work = move || {
            let read = editor.readline(&prompt);
            if let (Ok(_), Some(path)) = (&read, history) {
                keep_history(&mut editor, &path);
            }
            (editor, read)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((editor, read)) => {
                self.at_home = Some(editor);
                meaning(read)
            }
            Err(error) => Read::Failed(unreadable(error)),
        }
    }
}

/// Adds the last line to the history file. A history that cannot be kept is no reason to stop talking.
fn keep_history(editor: &mut DefaultEditor, path: &std::path::Path) {
    let folder = path.parent().map(std::fs::create_dir_all);
    if let Some(Ok(())) = folder
        && let Err(error) = editor.append_history(path)
    {
        tracing::debug!(%error, path = %path.display(), "the history was not kept");
    }
}

fn meaning(read: Result<String, ReadlineError>) -> Read {
    match read {
        Ok(line) => Read::Line(line),
        Err(ReadlineError::Interrupted) => Read::Interrupted,
        Err(ReadlineError::Eof) => Read::End,
        Err(error) => Read::Failed(unreadable(error)),
    }
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::failed(
        format_args!("standard input cannot be read: {error}"),
        "check where it comes from",
    )
}

impl Plain {
    async fn next(&mut self) -> Read {
        self.reading = true;
        let mut line = Vec::new();
        let read = (&mut self.input)
            .take(LINE_MAX)
            .read_until(b'\n', &mut line)
            .await;
        self.reading = false;
        match read {
            Err(error) => Read::Failed(unreadable(error)),
            Ok(0) => Read::End,
            Ok(_) if line.len() as u64 == LINE_MAX && !line.ends_with(b"\n") => {
                Read::Failed(Failure::usage(
                    format_args!("a line has more than {LINE_MAX} bytes"),
                    "say less at a time",
                ))
            }
            Ok(_) => Read::Line(String::from_utf8_lossy(&line).trim_end().to_owned()),
        }
    }
}

/// `$XDG_STATE_HOME/paraphym`, or `$HOME/.local/state/paraphym`.
fn state_folder(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("state")))?;
    Some(state.join("paraphym"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_lies_in_the_state_folder() {
        for (xdg, home, expected) in [
            (Some("/s"), Some("/h"), Some("/s/paraphym")),
            (None, Some("/h"), Some("/h/.local/state/paraphym")),
            (Some("rel"), Some("/h"), Some("/h/.local/state/paraphym")),
            (None, None, None),
        ] {
            let env = |name: &str| match name {
                "XDG_STATE_HOME" => xdg.map(OsString::from),
                _ => home.map(OsString::from),
            };
            assert_eq!(state_folder(env), expected.map(PathBuf::from));
        }
    }
}
