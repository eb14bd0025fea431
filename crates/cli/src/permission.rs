//! Calls of tools that somebody has to allow: asked at the terminal, wherever standard input comes from, one after the other.
//! Where nobody is there to ask, the answer is no, at once.
//!
//! Invariant: nothing here blocks or holds a thread: a question that is taken away leaves nothing behind that would read the
//! next line.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use domain::{ToolCall, ToolCallId};
use rustix::fs::OFlags;
use rustix::process::getpgrp;
use rustix::termios::{QueueSelector, tcflush, tcgetpgrp};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::history::safe;
use crate::out::note;

/// The longest call that is asked about, in bytes: what is allowed has to be seen whole, and a screen has an end.
const SHOWN: usize = 4000;
/// The longest answer that is looked at.
const LONGEST: usize = 16;

/// Whoever allows calls.
pub(crate) struct Desk {
    terminal: Option<AsyncFd<File>>,
    waiting: VecDeque<ToolCall>,
    typed: Vec<u8>,
    /// Tools that were allowed for as long as this process lives.
    always: BTreeSet<String>,
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Once,
    Always,
    No,
}

impl Desk {
    /// At the terminal this process is in the foreground of, if there is one.
    pub(crate) fn open() -> Self {
        Self {
            terminal: terminal().ok(),
            waiting: VecDeque::new(),
            typed: Vec::new(),
            always: BTreeSet::new(),
        }
    }

    /// A call wants to be allowed. `Some` is an answer without a question.
    pub(crate) fn ask(&mut self, call: ToolCall) -> Option<bool> {
        if self.always.contains(&call.name) {
            return Some(true);
        }
        let Some(terminal) = &self.terminal else {
            refuse(&call, "nobody is here to allow it");
            return Some(false);
        };
        if call.arguments.len() > SHOWN {
            refuse(
                &call,
                "what it is called with is too long to be shown whole",
            );
            return Some(false);
        }
        // Asked again after a crash of the worker.
        if self.waiting.iter().any(|waiting| waiting.id == call.id) {
            return None;
        }
        self.waiting.push_back(call);
        if let ([call], []) = self.waiting.as_slices() {
            put(terminal, call);
        }
        None
    }

    /// A call is over: nobody needs to be asked any more.
    pub(crate) fn over(&mut self, id: &ToolCallId) {
        let is_asked = self.waiting.front().is_some_and(|call| call.id == *id);
        self.waiting.retain(|call| call.id != *id);
        if is_asked {
            self.say("(too late)\n");
            self.next();
        }
    }

    /// Nobody waits for an answer any more: the turn ended, or was left.
    pub(crate) fn clear(&mut self) {
        if !self.waiting.is_empty() {
            self.say("\n");
        }
        self.waiting.clear();
        self.typed.clear();
    }

    /// Which call is answered, and how. Never, where nothing is asked.
    pub(crate) async fn answer(&mut self) -> (ToolCall, Verdict) {
        let is_allowed = |call: &ToolCall| self.always.contains(&call.name);
        let verdict = match &self.terminal {
            Some(_) if self.waiting.front().is_some_and(is_allowed) => Verdict::Always,
            Some(terminal) if !self.waiting.is_empty() => line(terminal, &mut self.typed).await,
            _ => std::future::pending().await,
        };
        let Some(call) = self.waiting.pop_front() else {
            return std::future::pending().await;
        };
        if verdict == Verdict::Always {
            self.always.insert(call.name.clone());
        }
        self.next();
        (call, verdict)
    }

    fn next(&mut self) {
        self.typed.clear();
        if let (Some(terminal), Some(call)) = (&self.terminal, self.waiting.front())
            && !self.always.contains(&call.name)
        {
            put(terminal, call);
        }
    }

    fn say(&self, text: &str) {
        if let Some(terminal) = &self.terminal {
            // A terminal that is gone is heard of as a signal.
            let _ = terminal.get_ref().write_all(text.as_bytes());
        }
    }
}

/// The terminal of this process, where it is the one that is typed to.
#[allow(
    deprecated,
    reason = "deprecated for types that may answer with another descriptor later; a `File` owns one, and keeps it"
)]
fn terminal() -> io::Result<AsyncFd<File>> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open("/dev/tty")?;
    // Who reads in the background is stopped.
    if tcgetpgrp(&file)? != getpgrp() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    AsyncFd::with_interest(file, Interest::READABLE)
}

/// Puts a question. What was typed before it was seen is no answer to it.
fn put(terminal: &AsyncFd<File>, call: &ToolCall) {
    let _ = tcflush(terminal.get_ref(), QueueSelector::IFlush);
    let _ = terminal.get_ref().write_all(question(call).as_bytes());
}

/// Says that a call may not run, and how it would.
fn refuse(call: &ToolCall, why: &str) {
    let name = safe(&call.name);
    note(&format!(
        "{name} may not run: {why}. It is allowed with `paraphym config set tools.overrides.{name}=auto`"
    ));
}

/// On a line of its own, whatever a model wrote before.
fn question(call: &ToolCall) -> String {
    let shown = safe(&call.arguments);
    format!(
        "\r{} {shown}\nMay it run? [y]es, [a]lways, [N]o: ",
        safe(&call.name)
    )
}

/// The next line, understood. The end of the input, and a terminal that fails, is a no.
async fn line(terminal: &AsyncFd<File>, typed: &mut Vec<u8>) -> Verdict {
    loop {
        let Ok(mut ready) = terminal.readable().await else {
            return Verdict::No;
        };
        let mut bytes = [0_u8; 64];
        match ready.try_io(|terminal| terminal.get_ref().read(&mut bytes)) {
            Ok(Ok(0) | Err(_)) => {
                // No line break was typed.
                let _ = terminal.get_ref().write_all(b"\n");
                return Verdict::No;
            }
            Ok(Ok(count)) => {
                for byte in bytes.iter().take(count) {
                    if *byte == b'\n' {
                        return meaning(typed);
                    }
                    if typed.len() <= LONGEST {
                        typed.push(*byte);
                    }
                }
            }
            // Not ready after all.
            Err(_) => {}
        }
    }
}

/// Everything but a clear yes is a no; so is a line with more behind what was looked at.
fn meaning(line: &[u8]) -> Verdict {
    if line.len() > LONGEST {
        return Verdict::No;
    }
    match line.trim_ascii().to_ascii_lowercase().as_slice() {
        b"y" | b"yes" => Verdict::Once,
        b"a" | b"always" => Verdict::Always,
        _ => Verdict::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &str) -> ToolCall {
        ToolCall {
            id: ToolCallId::new("call-1-1"),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        }
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        for (line, verdict) in [
            (&b"y"[..], Verdict::Once),
            (b" YES \r", Verdict::Once),
            (b"a", Verdict::Always),
            (b"Always", Verdict::Always),
            (b"", Verdict::No),
            (b"n", Verdict::No),
            (b"yellow", Verdict::No),
            (b"ya", Verdict::No),
            (b"y               n", Verdict::No),
        ] {
            assert_eq!(meaning(line), verdict, "{line:?}");
        }
    }

    #[test]
    fn all_of_a_call_is_shown_and_nothing_in_it_is_obeyed() {
        let shown = question(&call("shell__run", "{\"c\":\"\u{1b}[2Jrm\"}"));
        assert!(shown.starts_with("\rshell__run {\"c\":\""), "{shown}");
        assert!(
            !shown.contains('\u{1b}') && shown.contains("rm\"}\n"),
            "{shown}"
        );
    }

    #[test]
    fn where_nobody_is_there_the_answer_is_no_at_once() {
        let mut desk = Desk {
            terminal: None,
            waiting: VecDeque::new(),
            typed: Vec::new(),
            always: BTreeSet::from(["safe".to_owned()]),
        };
        assert_eq!(desk.ask(call("t", "{}")), Some(false));
        assert_eq!(desk.ask(call("safe", "{}")), Some(true));
        assert!(desk.waiting.is_empty());
    }
}
