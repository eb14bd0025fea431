//! What the server says. Each frame is one JSON object; `op` tells which. What has a `seq` is repeated to a client that
//! resumes; what has none is about the connection itself.

use schemars::JsonSchema;
use serde::Serialize;

use super::room::{Activity, Ending, LiveTurn, Member, RoomMessage, TreeNode};

/// The version of the protocol, told in `hello`. It grows when a client of before would misunderstand a server.
pub const PROTOCOL: u32 = 1;

/// One frame of the server, without its number.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The first frame of every connection.
    Hello {
        /// The version of this protocol.
        protocol: u32,
        /// How often a client says `heartbeat`, in milliseconds; the first after a random part of it, so that those who
        /// come together do not beat together.
        heartbeat_ms: u64,
        /// Within how many milliseconds `identify` or `resume` must come.
        identify_ms: u64,
        /// The most bytes of one frame of a client.
        frame_bytes: usize,
    },
    /// The session has begun.
    Ready {
        /// What `resume` takes.
        session: String,
        /// What `resume` takes, too: another process of the server has another one, and knows nothing of this session.
        epoch: String,
        /// This connection, as others see it.
        connection: String,
        /// Who it is, as others see them.
        user: String,
        /// For how many milliseconds a session that was cut off can be resumed.
        resume_ms: u64,
    },
    /// All that was missed has been said again; from here on it is new.
    Resumed {
        /// How many frames were said again.
        replayed: u64,
    },
    /// The session cannot be resumed: `identify` anew, and `join` again with `after`.
    InvalidSession {
        /// Whether the same `resume` may succeed later.
        resumable: bool,
        /// Why not.
        reason: String,
    },
    /// The heartbeat was heard.
    HeartbeatAck {
        /// The last `seq` that was sent; a client that is behind by more than what is on its way has lost something.
        last: u64,
    },
    /// Nothing was heard for long: a `heartbeat` is wanted at once.
    HeartbeatWanted {
        /// Which attempt this is.
        attempt: u32,
        /// After how many the connection is given up.
        of: u32,
    },
    /// Something was not accepted. The connection goes on, unless a close follows.
    Error {
        /// A word for programs.
        code: String,
        /// For people: what, and the way out.
        message: String,
        /// The field that is wrong.
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<String>,
        /// The `op` it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        about: Option<String>,
        /// The conversation it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        conversation: Option<String>,
        /// The `nonce` of the `say` it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<String>,
        /// When to try again, in milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// A conversation as it is: what was said, who is there, who types, what is being answered. It replaces all that was
    /// known of it, but for messages up to `after`, where whoever hears it knows all of those up to there.
    Room {
        /// Which.
        conversation: String,
        /// The newest of what was said, oldest first: all that has a number behind `after`.
        messages: Vec<RoomMessage>,
        /// All behind this number are there. 0: there are none before. Else those up to it are asked for with `messages`, or
        /// are known, as `join` said.
        after: u64,
        /// The number of the last message there is, though it may not be one to be shown: what `join` takes next. Less than
        /// what was known before: that was another conversation, and is to be forgotten.
        last: u64,
        /// Who is there, one entry a connection; of very many only some.
        members: Vec<Member>,
        /// Who types.
        typing: Vec<String>,
        /// The answers that are being made or wait, oldest first.
        turns: Vec<LiveTurn>,
    },
    /// Somebody came or went.
    Presence {
        /// Where.
        conversation: String,
        /// Connections that came.
        joins: Vec<Member>,
        /// Connections that went, by their ids.
        leaves: Vec<String>,
    },
    /// Who types now: the whole set, which replaces the one before.
    Typing {
        /// Where.
        conversation: String,
        /// Everybody who does.
        users: Vec<String>,
    },
    /// Older messages, as `messages` asked for them.
    Messages {
        /// Where.
        conversation: String,
        /// As it was asked: all of them have lower numbers.
        before: u64,
        /// The newest of those, oldest first: all that has a number behind `after`.
        messages: Vec<RoomMessage>,
        /// All behind this number, and before `before`, are there; 0: there are none before.
        after: u64,
    },
    /// What a `say` came to.
    Said {
        /// Where.
        conversation: String,
        /// The client's own name for it.
        nonce: String,
        /// The turn that answers.
        turn: String,
    },
    /// An answer begins.
    Turn {
        /// Where.
        conversation: String,
        /// Which.
        turn: LiveTurn,
    },
    /// What the agent does before and between its words. Only the latest counts.
    Activity {
        /// Where.
        conversation: String,
        /// Which turn.
        turn: String,
        /// What it does.
        activity: Activity,
    },
    /// More of the answer. Pieces may have been joined on the way to a slow reader, and none is left out.
    Delta {
        /// Where.
        conversation: String,
        /// Which turn.
        turn: String,
        /// How many characters (Unicode scalar values) of the answer stand before it.
        at: u64,
        /// The text.
        text: String,
    },
    /// The answer has ended, well or not. Exactly one of a turn.
    Ended {
        /// Where.
        conversation: String,
        /// Which turn.
        turn: String,
        /// How.
        ending: Ending,
    },
    /// What was written down of a turn that has ended, behind its `ended`. It takes the place of all that was seen of the
    /// turn while it ran, and has the numbers that `join` takes. Without messages nothing was written down, and what was
    /// seen is all there is.
    Kept {
        /// Where.
        conversation: String,
        /// Which turn.
        turn: String,
        /// The name that the `say` had which asked.
        nonce: String,
        /// The number of what stands before the first of them. Who does not know all up to it has missed something, and
        /// joins again.
        before: u64,
        /// The number of the last message of the turn, though it may not be one to be shown; 0 if there is none.
        last: u64,
        /// The question and what the agent said, oldest first.
        messages: Vec<RoomMessage>,
    },
    /// The conversations there are, newest first: at most 200. Only the latest counts.
    Conversations {
        /// They.
        conversations: Vec<super::room::ConversationLine>,
    },
    /// The supervision tree as it is, depth first. Only the latest counts.
    Tree {
        /// Its nodes.
        nodes: Vec<TreeNode>,
    },
}

/// A frame as it is sent: numbered, if it is to be repeated to a client that resumes.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Numbered {
    /// Its number: one more than that of the numbered frame before, in this session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The frame.
    #[serde(flatten)]
    pub frame: ServerFrame,
}

impl ServerFrame {
    /// About the connection itself: never repeated, and never waits behind what is.
    pub fn is_control(&self) -> bool {
        matches!(
            self,
            Self::Hello { .. }
                | Self::Ready { .. }
                | Self::Resumed { .. }
                | Self::InvalidSession { .. }
                | Self::HeartbeatAck { .. }
                | Self::HeartbeatWanted { .. }
                | Self::Error { .. }
        )
    }
}
