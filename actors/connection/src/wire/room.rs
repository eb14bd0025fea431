//! What both sides call the things in a conversation.

use schemars::JsonSchema;
use serde::Serialize;

/// One connection that shows a conversation. A person who has two windows is there twice, and typing once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Member {
    /// Its id.
    pub connection: String,
    /// Whose.
    pub user: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RoomMessage {
    /// Its number in the conversation, ascending; what `after` takes.
    pub number: u64,
    /// Who said it: `user` or `assistant`.
    pub role: String,
    /// Which person, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What, as it was said.
    pub text: String,
    /// Whether that is only its beginning: it is longer than one frame takes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// The same as safe HTML, made from Markdown: no script, no style, no event, no address but of http, https and mailto.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The turn that added it: it takes the place of what was seen of that turn while it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<String>,
    /// The name that the `say` had which said it, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// An answer that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LiveTurn {
    /// Its name.
    pub turn: String,
    /// Who asked.
    pub asked_by: String,
    /// What was asked; of a long question only the beginning. It is not among the messages before the answer has ended.
    pub asked: String,
    /// The name that the `say` had which asked.
    pub nonce: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Which model answers.
    pub model: String,
    /// What it has said up to now, of a long answer only the end; the next `delta` begins behind it.
    pub text: String,
    /// How many characters (Unicode scalar values) of the answer stand before `text` and are not in it: 0 unless it is long. Who
    /// has them keeps them, and the others come with `kept`.
    pub left_out: u64,
    /// What it does now.
    pub activity: Activity,
}

/// What the agent does. Each is a lease of who does it: it ends with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "doing", rename_all = "snake_case")]
pub enum Activity {
    /// It waits for its turn.
    Queued {
        /// How many are before it.
        position: u64,
    },
    /// The model is being read.
    Loading {
        /// 0 to 100.
        percent: u8,
    },
    /// The prompt is being read.
    Prefill {
        /// 0 to 100.
        percent: u8,
    },
    /// A tool runs.
    Tool {
        /// Which.
        name: String,
    },
    /// It writes.
    Typing,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ending {
    /// It is complete, or as long as it may be.
    Finished {
        /// `stop`, `length` or another of the API's reasons.
        reason: String,
        /// Tokens of the prompt.
        prompt_tokens: u64,
        /// Tokens of the answer.
        answer_tokens: u64,
    },
    /// Somebody stopped it, or nobody looked any more.
    Stopped,
    /// It failed.
    Failed {
        /// What failed, and the way out.
        message: String,
    },
}

/// A conversation in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConversationLine {
    /// Its id.
    pub conversation: String,
    /// Its first words.
    pub title: String,
    /// How many messages.
    pub messages: u64,
    /// When it changed last, in milliseconds since 1970.
    pub changed_ms: u64,
}

/// One child of the supervision tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TreeNode {
    /// Its path.
    pub path: String,
    /// How it is: starting, up, `backing_off`, stuck, draining, down.
    pub state: String,
    /// Messages that wait.
    pub queued: u64,
    /// How many may; 0 for what has no mailbox.
    pub capacity: u64,
    /// How often it was started again.
    pub restarts: u64,
    /// Bytes it has leased; 0 for none.
    pub leased_bytes: u64,
}
