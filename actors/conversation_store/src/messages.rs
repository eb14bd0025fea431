//! What the store can be asked: the whole inbox in one file, so that callers compile against it alone.
//!
//! Every answer is a `Result<_, StoreError>`. A write is answered when it is on the disk and not before. What is written of a
//! turn (begin, step, end, resume) changes nothing when it is asked again just as it was, so whoever heard
//! [`StoreError::Unknown`] may ask again; other writes may be done twice, so look first.

use domain::{
    ConversationId, FinishReason, Message, RequestId, Role, ToolCall, ToolCallId, Usage, UserId,
};

#[allow(unused_imports, reason = "named by the documentation")]
use crate::error::StoreError;

/// Writes down that a turn begins, and makes its conversation if there is none of that name. Answered with nothing.
///
/// The user's message becomes part of the history when the turn ends; until then it is the turn's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginTurn {
    /// Whose turn.
    pub conversation: ConversationId,
    /// Its name, never used before.
    pub turn: RequestId,
    /// What was said.
    pub user: Message,
    /// The asker's wall clock, in milliseconds since 1970-01-01 UTC; so in every message.
    pub now_ms: i64,
}

/// Writes a step of a running turn down. Answered with nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordStep {
    /// Which turn.
    pub turn: RequestId,
    /// What happened.
    pub step: StepRecord,
    /// The asker's wall clock.
    pub now_ms: i64,
}

/// What can happen in a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepRecord {
    /// The model answered. Each `number` once.
    ModelCalled {
        /// Which call of the model in this turn, from 1.
        number: u32,
        /// How many of the turn's [`StepRecord::Steered`] it was shown, or that stood before an earlier call.
        steered: u32,
        /// What it said.
        text: String,
        /// Which tools it calls.
        tool_calls: Vec<ToolCall>,
        /// What it cost.
        usage: Usage,
        /// Why it ended.
        reason: FinishReason,
    },
    /// A tool is about to run. Each call once.
    ToolStarted {
        /// Which call.
        call_id: ToolCallId,
        /// Whether running it twice is harmless.
        idempotent: bool,
    },
    /// A tool ended. Each call once, after it started.
    ToolEnded {
        /// Which call.
        call_id: ToolCallId,
        /// What came of it, as the asker writes it.
        outcome_json: String,
    },
    /// Somebody, or a rule, has decided whether a tool may run. Each call once.
    Approved {
        /// Which call.
        call_id: ToolCallId,
        /// Whether it may.
        granted: bool,
    },
    /// Somebody said something to the running turn. Each `number` once. The next call of the model that begins is shown it.
    Steered {
        /// Which of the texts that this turn was told, from 1.
        number: u32,
        /// What was said.
        text: String,
    },
}

/// Ends a turn, and adds its messages to the conversation in the same transaction. Answered with an [`Appended`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTurn {
    /// Which turn.
    pub turn: RequestId,
    /// How it ended; not `Running`.
    pub state: TurnState,
    /// By how much the history grows, in order; the user's message first if it is to be kept.
    pub messages: Vec<Message>,
    /// The asker's wall clock.
    pub now_ms: i64,
}

/// Where a turn stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TurnState {
    /// A living process works on it.
    Running,
    /// It ended well.
    Done,
    /// It ended with an error.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// Its process ended first. [`ResumeTurn`] takes it up again.
    Interrupted,
}

impl TurnState {
    /// The word in the file and in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Takes an interrupted turn up again: it runs from now on, and is this process's. Answered with its [`TurnRecord`]. A turn
/// that runs in this process already is answered as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeTurn {
    /// Which turn.
    pub turn: RequestId,
    /// The asker's wall clock.
    pub now_ms: i64,
}

/// Asks for a turn and all its steps. Answered with a [`TurnRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadTurn {
    /// Which turn.
    pub turn: RequestId,
}

/// Asks for the turns of a conversation that are running or interrupted, oldest first, at most [`OPEN_TURNS`]. Answered
/// with [`TurnRecord`]s; none if there is no such conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTurns {
    /// Which conversation.
    pub conversation: ConversationId,
}

/// The most turns that [`OpenTurns`] tells: a conversation has one at a time, and a few that crashes left.
pub const OPEN_TURNS: usize = 16;

/// A turn, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnRecord {
    /// Its name.
    pub turn: RequestId,
    /// Whose it is.
    pub conversation: ConversationId,
    /// What was said.
    pub user: Message,
    /// By whom, where [`NameAsker`] wrote it down.
    pub asker: Option<Asker>,
    /// Where it stands.
    pub state: TurnState,
    /// When it began.
    pub begun_ms: i64,
    /// When it ended, or was found interrupted.
    pub ended_ms: Option<i64>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// A step of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it was recorded.
    pub at_ms: i64,
    /// What happened.
    pub record: StepRecord,
}

/// Asks for the end of a conversation. Answered with [`StoredMessage`]s, oldest first; none if there is no such
/// conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadHistory {
    /// Which conversation.
    pub conversation: ConversationId,
    /// How many messages at most, counted from the end: 1 to [`PAGE`]. Fewer come if together they have more than
    /// [`PAGE_BYTES`].
    pub last: usize,
}

/// The most messages in one answer: a page of a long history.
pub const PAGE: usize = 10_000;
/// The most bytes of text in one answer; a single message may have more.
pub const PAGE_BYTES: usize = 32 << 20;

/// A message, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its place in the conversation, from 1. A place is never given twice, so numbers may have gaps.
    pub number: u64,
    /// What was said.
    pub message: Message,
    /// The turn that added it, if one did.
    pub turn: Option<RequestId>,
    /// When.
    pub said_ms: i64,
}

/// Asks for the newest messages of a part of a conversation. Answered with a [`Newest`]; an empty one if there is no such
/// conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadNewest {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Only messages behind this number; 0 for all.
    pub after: u64,
    /// Only messages before this number; `None` for all.
    pub before: Option<u64>,
    /// How many at most: 1 to [`PAGE`].
    pub limit: usize,
    /// How many bytes of text at most: 1 to [`PAGE_BYTES`]; the newest message comes in any case.
    pub bytes: usize,
}

/// The newest messages of a part of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// They, oldest first.
    pub messages: Vec<Attributed>,
    /// There are more in that part, before the first.
    pub more: bool,
    /// The highest number that was given in the conversation, in that part or not; 0 if none was.
    pub last: u64,
}

/// A message, and who said it where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributed {
    /// The message.
    pub stored: StoredMessage,
    /// As [`NameAsker`] wrote it down; of a user's messages alone.
    pub asker: Option<Asker>,
}

/// Who asked a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Who.
    pub user: UserId,
    /// Their client's name for what they said.
    pub nonce: String,
}

/// Writes down who asked a turn. Answered with whether there is such a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAsker {
    /// Which turn.
    pub turn: RequestId,
    /// Who; names of at most 200 bytes.
    pub asker: Asker,
}

/// Asks for a page of a conversation, oldest first. Answered with a [`Page`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadMessages {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Only messages behind this number; 0 for the first page.
    pub after: u64,
    /// How many at most: 1 to [`PAGE`].
    pub limit: usize,
}

/// A part of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Messages, oldest first.
    pub messages: Vec<StoredMessage>,
    /// There are more behind the last one.
    pub more: bool,
}

/// Puts other messages in the place of a conversation's, and makes it if there is none of that name. Answered with an
/// [`Appended`]. Turns stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaceHistory {
    /// Which conversation.
    pub conversation: ConversationId,
    /// The whole new history, in order.
    pub messages: Vec<Message>,
    /// The asker's wall clock.
    pub now_ms: i64,
}

/// Where messages were put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The number of the first.
    pub first: u64,
    /// How many.
    pub count: usize,
}

/// Asks which conversations there are, the latest first. Answered with a [`Conversations`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListConversations {
    /// How many at most: 1 to [`LISTED`].
    pub limit: usize,
    /// Where the list before this one ended; `None` for the first.
    pub before: Option<ListCursor>,
}

/// The most conversations in one answer.
pub const LISTED: usize = 1000;

/// Where a list ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListCursor {
    pub(crate) updated_ms: i64,
    pub(crate) row: i64,
}

/// A part of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversations {
    /// The latest first.
    pub conversations: Vec<Overview>,
    /// For the next list; `None` if this was the last.
    pub next: Option<ListCursor>,
}

/// A conversation from afar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Its name.
    pub conversation: ConversationId,
    /// The first line of the first thing the user said, cut to [`TITLE`] characters; empty if nothing was said.
    pub title: String,
    /// Its messages.
    pub messages: u64,
    /// When it began.
    pub created_ms: i64,
    /// When it grew last.
    pub updated_ms: i64,
}

/// The longest title, in characters.
pub const TITLE: usize = 80;

/// Asks for one conversation from afar. Answered with an [`Overview`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadConversation {
    /// Which.
    pub conversation: ConversationId,
}

/// Searches what was said, by words. Answered with [`Hit`]s, the best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Words; all must be there, the last may be the beginning of one. Nothing in it is syntax.
    pub text: String,
    /// How many at most: 1 to [`HITS`].
    pub limit: usize,
}

/// The most finds in one answer.
pub const HITS: usize = 1000;

/// A message that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// In which conversation.
    pub conversation: ConversationId,
    /// Its number there.
    pub number: u64,
    /// Who said it.
    pub role: Role,
    /// When.
    pub said_ms: i64,
    /// A part of it around the words.
    pub snippet: Snippet,
    /// How well it fits, by BM25: higher is better. Only the order of one answer means anything.
    pub score: f64,
}

/// A part of a text, and where in it the words are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snippet {
    /// The text; `…` where something is left out.
    pub text: String,
    /// The words, as ranges of bytes of the text.
    pub words: Vec<std::ops::Range<usize>>,
}

/// Removes a conversation with its messages and turns. Answered with a [`Removed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveConversation {
    /// Which.
    pub conversation: ConversationId,
}

/// What was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Messages.
    pub messages: u64,
}

/// Asks for a whole conversation. Answered with an [`Exported`]; one of more than [`PAGE_BYTES`] is refused, and read in
/// pages by [`ReadMessages`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Which.
    pub conversation: ConversationId,
}

/// A whole conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// What it is.
    pub overview: Overview,
    /// All its messages, oldest first.
    pub messages: Vec<StoredMessage>,
}

/// Adds a whole conversation. Answered with an [`Appended`]; refused if there is one of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name.
    pub conversation: ConversationId,
    /// Its messages, oldest first, at most [`PAGE`].
    pub messages: Vec<Imported>,
    /// The asker's wall clock.
    pub now_ms: i64,
}

/// A message from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// What was said.
    pub message: Message,
    /// When.
    pub said_ms: i64,
}

/// Writes an act of control down: who changed what while the process ran. Answered with nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogControl {
    /// Who: 1 to 200 bytes.
    pub actor: String,
    /// What: 1 to 200 bytes, `settings.update` for example.
    pub action: String,
    /// In which form; at most 64 KiB.
    pub detail: String,
    /// The asker's wall clock.
    pub now_ms: i64,
}

/// Asks for acts of control, the latest first. Answered with [`ControlRecord`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadControlLog {
    /// How many at most: 1 to [`LISTED`].
    pub limit: usize,
    /// Only those before this number; `None` for the latest.
    pub before: Option<u64>,
}

/// An act of control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// Counts up; never given twice.
    pub number: u64,
    /// When.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// In which form.
    pub detail: String,
}
