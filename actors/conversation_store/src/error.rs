//! Why the store refuses: by name and value, with the way out. Nothing that is refused has changed the file.

use std::path::PathBuf;

use domain::{ConversationId, FieldError, RequestId};

use crate::messages::TurnState;

/// Why something was not stored, read or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A field out of its range.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// Neither `XDG_DATA_HOME` nor `HOME` says where the file lies.
    #[error(
        "there is no folder for conversations: neither XDG_DATA_HOME nor HOME is an absolute path"
    )]
    NoFolder,
    /// It is not a file of ours.
    #[error(
        "{path} is not a file of Paraphym's ({reason}), and was left as it is: move it aside, or name another file"
    )]
    Foreign {
        /// Where it lies.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// It was written by a newer Paraphym.
    #[error(
        "{path} has form {found}, and this Paraphym knows forms up to {known}; it was left as it is: upgrade Paraphym, or \
         name another file"
    )]
    Newer {
        /// Where it lies.
        path: PathBuf,
        /// Its form.
        found: i64,
        /// The newest form that is known here.
        known: i64,
    },
    /// It is damaged.
    #[error(
        "{path} is damaged ({reason}), and was left as it is: put a copy of it back, or move it aside together with its -wal \
         and -shm files, and a new one is begun"
    )]
    Damaged {
        /// Where it lies.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// It may be read and not written.
    #[error(
        "{path} cannot be written ({reason}): give this user the right to write the file and its folder, or name another file"
    )]
    ReadOnly {
        /// Where it lies.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The disk, or the file's allowance, is full.
    #[error("there is no room for {path}: free some of the disk; nothing was stored")]
    Full {
        /// Where it lies.
        path: PathBuf,
    },
    /// There are as many as there may be; the disk has room.
    #[error("{what} has room for {limit}: {way_out}; nothing was stored")]
    NoRoom {
        /// What is full.
        what: &'static str,
        /// How many it takes.
        limit: usize,
        /// How to make room.
        way_out: &'static str,
    },
    /// Another wants it alone, as we do.
    #[error(
        "{path} is held by {}: end that one, or name another file; nothing was changed",
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Taken {
        /// Where it lies.
        path: PathBuf,
        /// Which process, if it says so and is seen.
        pid: Option<u32>,
    },
    /// Another process writes for longer than is waited for.
    #[error(
        "{path} is being written by another process: try again in a moment; nothing was stored"
    )]
    Locked {
        /// Where it lies.
        path: PathBuf,
    },
    /// The disk failed in another way.
    #[error("{path} could not be used: {reason}")]
    Disk {
        /// Where it lies.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Too much waits for the disk.
    #[error("{waiting} requests wait for the disk: try again in a moment")]
    Busy {
        /// Requests that wait.
        waiting: usize,
    },
    /// No conversation of that name.
    #[error("there is no conversation {0}: `paraphym history list` tells which there are")]
    NoConversation(ConversationId),
    /// There is a conversation of that name already.
    #[error("there is a conversation {0} already: remove it first, or give this one another name")]
    ConversationExists(ConversationId),
    /// No turn of that name.
    #[error("there is no turn {0}: begin it first")]
    NoTurn(RequestId),
    /// A turn of that name was begun already, with other words.
    #[error("there is a turn {0} already, begun with other words: give this one another name")]
    TurnExists(RequestId),
    /// The turn is not running.
    #[error("turn {turn} is {}, not running: resume it if it is interrupted, else begin another", state.as_str())]
    TurnNotRunning {
        /// Which.
        turn: RequestId,
        /// Where it stands.
        state: TurnState,
    },
    /// Another living process works on the turn.
    #[error("turn {0} is being worked on by another process: end it there")]
    TurnElsewhere(RequestId),
    /// The turn's log says something else already.
    #[error(
        "turn {turn} has another record of {step} already, and a log is not changed: record each step once"
    )]
    StepExists {
        /// Which turn.
        turn: RequestId,
        /// Which step.
        step: String,
    },
    /// A tool ended that had not started.
    #[error("turn {turn} has no start of the call {call}: record that it starts before it ends")]
    ToolNotStarted {
        /// Which turn.
        turn: RequestId,
        /// Which call.
        call: String,
    },
    /// The answer would be too long.
    #[error("conversation {conversation} has more than {most} bytes: read it in pages")]
    TooLarge {
        /// Which.
        conversation: ConversationId,
        /// How many bytes of text one answer may have.
        most: usize,
    },
    /// The store is going or gone, or too many wait for it; the request was not carried out.
    #[error("the conversation store is not available: {reason}; nothing was stored")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The store ended, or the time was over, while it held the request.
    #[error(
        "it is not known whether this was stored ({reason}): ask again just as it was, which changes nothing if it was stored, \
         or look"
    )]
    Unknown {
        /// Why.
        reason: String,
    },
    /// A fault of the program's own. The request was not carried out; others were.
    #[error(
        "the conversation store failed at {what} ({reason}); nothing of it was stored: please report this"
    )]
    Fault {
        /// At which request.
        what: String,
        /// The panic's words, or what the file said.
        reason: String,
    },
}
