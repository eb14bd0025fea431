//! What a client says. Each frame is one JSON object; `op` tells which.

use schemars::JsonSchema;
use serde::Serialize;

/// One frame of a client.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ClientFrame {
    /// The first frame of a new session: who it is. Answered with `ready`.
    Identify {
        /// What the person is called by others; 1 to 64 characters. Where tokens are needed, the token's name is taken.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// A bearer token, for clients that cannot send it in a header: a page in a browser.
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    /// The first frame of a client that was cut off: goes on behind `seq`. Answered with the missed frames in order and
    /// `resumed`, or with `invalid_session`.
    Resume {
        /// As `ready` said it.
        session: String,
        /// As `ready` said it; another process has another one.
        epoch: String,
        /// The last `seq` that was received; 0 for none.
        seq: u64,
        /// As in `identify`.
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    /// It is there. Answered with `heartbeat_ack`.
    Heartbeat {
        /// The last `seq` that was received; 0 for none. What is not newer need not be kept any more.
        seq: u64,
    },
    /// Shows a conversation from now on. Answered with `room`.
    Join {
        /// Which; 1 to 128 bytes of letters, digits and `- _ . : @`.
        conversation: String,
        /// The `last` that is known: only messages behind this number come. The newest that fit one frame if absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
    },
    /// Asks for older messages of a conversation that was joined: the newest before a number. Answered with `messages`.
    Messages {
        /// Where.
        conversation: String,
        /// Only messages of lower numbers; one more than the `after` of `room` or `messages`.
        before: u64,
    },
    /// Shows it no more.
    Leave {
        /// Which.
        conversation: String,
    },
    /// Says something in a conversation that was joined; the agent answers. Answered with `said`, or an `error`.
    Say {
        /// Where.
        conversation: String,
        /// What.
        text: String,
        /// A name that the client makes up, 1 to 64 bytes: the same said again, after a reconnect, is not said twice.
        nonce: String,
        /// Which model answers; the default if absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        /// How freely, 0 to 2; the settings' if absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        temperature: Option<f32>,
    },
    /// Stops the answer that is being made, if there is one.
    Stop {
        /// Where.
        conversation: String,
    },
    /// A key was pressed, or the text is gone. Say it at the first key and every few seconds while it is true.
    Typing {
        /// Where.
        conversation: String,
        /// Whether they type.
        typing: bool,
    },
    /// Asks for the conversations there are, newest first. Answered with `conversations`.
    Conversations {
        /// With true it is answered again whenever the list changes, with false no more; as before if absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        watch: Option<bool>,
    },
    /// Shows the supervision tree from now on, or no more. Answered with `tree`, and again whenever it changes.
    Tree {
        /// Whether to show it.
        watch: bool,
    },
}

impl ClientFrame {
    /// Every `op` there is, as clients write them.
    pub const OPS: [&'static str; 11] = [
        "identify",
        "resume",
        "heartbeat",
        "join",
        "messages",
        "leave",
        "say",
        "stop",
        "typing",
        "conversations",
        "tree",
    ];

    /// Its `op`, as clients write it.
    pub fn op(&self) -> &'static str {
        match self {
            Self::Identify { .. } => "identify",
            Self::Resume { .. } => "resume",
            Self::Heartbeat { .. } => "heartbeat",
            Self::Join { .. } => "join",
            Self::Messages { .. } => "messages",
            Self::Leave { .. } => "leave",
            Self::Say { .. } => "say",
            Self::Stop { .. } => "stop",
            Self::Typing { .. } => "typing",
            Self::Conversations { .. } => "conversations",
            Self::Tree { .. } => "tree",
        }
    }

    /// The client's own name for it, where it has one.
    pub fn nonce(&self) -> Option<&str> {
        match self {
            Self::Say { nonce, .. } => Some(nonce),
            _ => None,
        }
    }

    /// The conversation it is about, where it is about one.
    pub fn conversation(&self) -> Option<&str> {
        match self {
            Self::Join { conversation, .. }
            | Self::Messages { conversation, .. }
            | Self::Leave { conversation }
            | Self::Say { conversation, .. }
            | Self::Stop { conversation }
            | Self::Typing { conversation, .. } => Some(conversation),
            _ => None,
        }
    }
}
