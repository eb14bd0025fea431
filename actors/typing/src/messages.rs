//! What can be asked of the typing actor: the whole inbox in one file.

use std::time::Duration;

use domain::{ConnectionId, ConversationId, UserId};
use kameo::Reply;

use crate::typists::{IN_ALL, IN_ONE, Refused};

/// A keystroke: they type in this conversation, until they stop, leave, or are silent for the expiry. Say it again every
/// few seconds while it is true. Reply: `()`; one too many is not shown, and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
    /// Through which of their connections.
    pub connection: ConnectionId,
}

/// They sent it, or thought better of it. Reply: `()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
    /// Through which of their connections.
    pub connection: ConnectionId,
}

/// A connection ended: nobody types through it any more. Reply: `()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub connection: ConnectionId,
}

/// Shows somebody as typing for as long as the reply lives: an agent that answers. Reply:
/// `Result<TypingLease, TypingError>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lend {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
}

/// Asks to see who types in a conversation, now and from now on. Reply: a [`tokio::sync::watch::Receiver`] of
/// [`crate::TypingSet`], which goes on through restarts of the actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Which.
    pub conversation: ConversationId,
}

/// From now on a keystroke counts for so long: [`crate::typists::EXPIRY_MIN`] to [`crate::typists::EXPIRY_MAX`]. Reply:
/// `Result<(), FieldError>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetExpiry(
    /// For how long.
    pub Duration,
);

/// Asks what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status;

/// What is known of typing, as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Reply)]
pub struct TypingStatus {
    /// People who type now; one counts once for each conversation.
    pub typing: usize,
    /// Conversations that somebody looks at.
    pub watched: usize,
    /// How long a keystroke counts.
    pub expiry: Duration,
    /// What was counted since the tree began.
    pub tally: Tally,
}

/// What was counted since the tree began, through all lives of the actor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often somebody began to type.
    pub began: u64,
    /// How often somebody ended, by themselves or not.
    pub ended: u64,
    /// Those of them who fell silent.
    pub expired: u64,
    /// How long all of them typed, from the first keystroke to the end.
    pub typed: Duration,
    /// The longest of these times.
    pub longest: Duration,
    /// Those who were not shown, because there were too many.
    pub refused: u64,
}

/// Why nobody is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypingError {
    /// Too many type there.
    #[error(
        "{user} is not shown as typing in {conversation}: {IN_ONE} are already, and more names nobody reads"
    )]
    Conversation {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// Too many type.
    #[error(
        "{user} is not shown as typing in {conversation}: {IN_ALL} are already in all; try again in a while"
    )]
    All {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
}

impl TypingError {
    pub(crate) fn new(refused: &Refused, conversation: ConversationId, user: UserId) -> Self {
        match refused {
            Refused::Conversation => Self::Conversation { conversation, user },
            Refused::All => Self::All { conversation, user },
        }
    }
}
