//! One conversation that several look at: who is there, and which answers are under way, each with what it has said.
//!
//! A room is a value. What changes in it is an event, and whoever has seen the room and every event since knows the room.
//!
//! Invariants: an answer that began ends, once; its pieces follow each other without a gap; what was written down of it is
//! told behind its end; what was said twice with one name is said once; nobody is there twice with one connection.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use domain::{ConnectionId, ModelName, RequestId, TurnEvent, UserId};

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;

/// Answers under way or waiting in one conversation, in all; the worker lets fewer wait.
pub const TURNS: usize = 16;
/// Connections in one room: each hears every piece.
pub const MEMBERS: usize = 10_000;
/// What was said lately, so that the same said again is known: more than any client repeats after a cut.
const REMEMBERED: usize = 256;

/// One connection that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub connection: ConnectionId,
    /// Whose.
    pub user: UserId,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
}

/// What an agent does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It waits; 1 is next.
    Queued(usize),
    /// The model is being read, in hundredths.
    Loading(u8),
    /// The prompt is being read, in hundredths.
    Prefill(u8),
    /// A tool runs.
    Tool(String),
    /// It writes.
    Typing,
}

/// What somebody said, to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The turn that answers it.
    pub turn: RequestId,
    /// Who said it.
    pub by: UserId,
    /// What.
    pub text: String,
    /// Their client's name for it: the same name is the same question.
    pub nonce: String,
    /// Who answers.
    pub model: ModelName,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// An answer under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTurn {
    /// What it answers.
    pub question: Question,
    /// What it has said.
    pub text: String,
    /// Characters (Unicode scalar values) of that.
    pub chars: u64,
    /// What it does.
    pub activity: Activity,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is complete, or as long as it may be.
    Finished {
        /// Why it ended there.
        reason: domain::FinishReason,
        /// What it cost.
        usage: domain::Usage,
    },
    /// Somebody stopped it.
    Stopped,
    /// It failed: what, and the way out.
    Failed(String),
}

/// Whose words they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// A person.
    Person,
    /// The agent.
    Agent,
}

/// A message as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the conversation, ascending, from 1; there may be gaps.
    pub number: u64,
    /// Whose words.
    pub speaker: Speaker,
    /// Which person, where one is known.
    pub by: Option<UserId>,
    /// Their client's name for it, where one is known.
    pub nonce: Option<String>,
    /// What was said.
    pub text: Arc<str>,
    /// The same as safe HTML, where it was Markdown.
    pub html: Option<Arc<str>>,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The turn that added it, if one did.
    pub turn: Option<RequestId>,
}

/// What was written down of a turn; nothing, where nothing is kept or nothing was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The number of whatever stands before the first; whoever knows less has missed something. 0 for nothing.
    pub before: u64,
    /// The number of the last, though it may not be one to be shown.
    pub last: u64,
    /// What is to be shown, oldest first.
    pub entries: Vec<Entry>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomEvent {
    /// Somebody came.
    Joined(Member),
    /// A connection went.
    Left(ConnectionId),
    /// A question was taken; its answer is under way.
    Began(LiveTurn),
    /// The agent does something else.
    Does {
        /// Which turn.
        turn: RequestId,
        /// What.
        activity: Activity,
    },
    /// More of the answer.
    Text {
        /// Which turn.
        turn: RequestId,
        /// Characters before it.
        at: u64,
        /// The piece.
        text: String,
    },
    /// The answer is over.
    Ended {
        /// Which turn.
        turn: RequestId,
        /// How.
        ending: Ending,
        /// All that it said.
        text: String,
    },
    /// What was written down of an answer that is over, once.
    Kept {
        /// Which turn.
        turn: RequestId,
        /// The name that its asker's client had for the question.
        nonce: String,
        /// It.
        kept: Kept,
    },
}

impl RoomEvent {
    /// The turn it is about, if about one.
    pub fn turn(&self) -> Option<&RequestId> {
        match self {
            Self::Joined(_) | Self::Left(_) => None,
            Self::Began(live) => Some(&live.question.turn),
            Self::Does { turn, .. }
            | Self::Text { turn, .. }
            | Self::Ended { turn, .. }
            | Self::Kept { turn, .. } => Some(turn),
        }
    }
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is taken.
    New(RoomEvent),
    /// It was taken before, and this turn answers it, or did.
    Again(RequestId),
}

/// Why something was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// Too many answers are under way.
    #[error(
        "{TURNS} answers of this conversation are under way or wait: say it again when one has ended"
    )]
    TooManyTurns,
    /// Too many are there.
    #[error("{MEMBERS} connections show this conversation: try again in a while")]
    TooManyMembers,
}

/// One room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    members: BTreeMap<ConnectionId, Member>,
    turns: Vec<LiveTurn>,
    said: VecDeque<(UserId, String, RequestId)>,
}

impl Room {
    /// Who is there.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The answers under way, oldest first.
    pub fn turns(&self) -> &[LiveTurn] {
        &self.turns
    }

    /// Whether that answer is under way.
    pub fn is_under_way(&self, turn: &RequestId) -> bool {
        self.turns.iter().any(|live| live.question.turn == *turn)
    }

    /// Whether nobody is there and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.members.is_empty() && self.turns.is_empty()
    }

    /// A connection comes; one that is there already is no event.
    ///
    /// # Errors
    /// `TooManyMembers`.
    pub fn join(&mut self, member: Member) -> Result<Option<RoomEvent>, RoomError> {
        if self.members.contains_key(&member.connection) {
            return Ok(None);
        }
        if self.members.len() >= MEMBERS {
            return Err(RoomError::TooManyMembers);
        }
        self.members
            .insert(member.connection.clone(), member.clone());
        Ok(Some(RoomEvent::Joined(member)))
    }

    /// A connection goes.
    pub fn leave(&mut self, connection: &ConnectionId) -> Option<RoomEvent> {
        let member = self.members.remove(connection)?;
        Some(RoomEvent::Left(member.connection))
    }

    /// The turn of what they said under this name, if they did lately.
    pub fn asked(&self, by: &UserId, nonce: &str) -> Option<&RequestId> {
        let same = |(of, known, _): &&(UserId, String, RequestId)| of == by && known == nonce;
        self.said.iter().find(same).map(|(_, _, turn)| turn)
    }

    /// Somebody says something.
    ///
    /// # Errors
    /// `TooManyTurns`; what was taken before is never refused.
    pub fn ask(&mut self, question: Question) -> Result<Asked, RoomError> {
        if let Some(turn) = self.asked(&question.by, &question.nonce) {
            return Ok(Asked::Again(turn.clone()));
        }
        if self.turns.len() >= TURNS {
            return Err(RoomError::TooManyTurns);
        }
        if self.said.len() >= REMEMBERED {
            self.said.pop_front();
        }
        let Question {
            by, nonce, turn, ..
        } = &question;
        self.said
            .push_back((by.clone(), nonce.clone(), turn.clone()));
        let position = self.turns.len() + 1;
        let live = LiveTurn {
            question,
            text: String::new(),
            chars: 0,
            activity: Activity::Queued(position),
        };
        self.turns.push(live.clone());
        Ok(Asked::New(RoomEvent::Began(live)))
    }

    /// A question that could not be handed on: it was not said, and may be said again. Its answer ends with this error.
    pub fn refused(&mut self, turn: &RequestId, error: String) -> Option<RoomEvent> {
        self.said.retain(|(_, _, of)| of != turn);
        self.end(turn, Ending::Failed(error))
    }

    /// The agent did something. Nothing of a turn that is not under way, or of which nothing changed.
    pub fn hear(&mut self, turn: &RequestId, event: TurnEvent) -> Option<RoomEvent> {
        let activity = match event {
            TurnEvent::Finished { reason, usage } => {
                return self.end(turn, Ending::Finished { reason, usage });
            }
            TurnEvent::Failed(error) => return self.end(turn, ending(&error)),
            TurnEvent::Text(text) => return self.say(turn, text),
            TurnEvent::Queued { position } => Activity::Queued(position),
            TurnEvent::Loading { fraction } => Activity::Loading(hundredths(fraction)),
            TurnEvent::Prefill { done, total } => Activity::Prefill(share(done, total)),
            TurnEvent::ToolStarted { call } => Activity::Tool(call.name),
            TurnEvent::ToolEnded { .. } | TurnEvent::ModelCalled { .. } => Activity::Prefill(0),
            TurnEvent::Recalled { .. }
            | TurnEvent::Compacted { .. }
            | TurnEvent::Steered { .. }
            | TurnEvent::ApprovalNeeded { .. } => return None,
        };
        self.does(turn, activity)
    }

    /// The answer is over. Nothing if it is already.
    pub fn end(&mut self, turn: &RequestId, ending: Ending) -> Option<RoomEvent> {
        let at = self
            .turns
            .iter()
            .position(|live| live.question.turn == *turn)?;
        let live = self.turns.remove(at);
        Some(RoomEvent::Ended {
            turn: turn.clone(),
            ending,
            text: live.text,
        })
    }

    /// What was written down of an answer is known. Nothing while it is under way: it is not all yet.
    pub fn kept(&self, turn: &RequestId, nonce: String, kept: Kept) -> Option<RoomEvent> {
        let turn = turn.clone();
        (!self.is_under_way(&turn)).then_some(RoomEvent::Kept { turn, nonce, kept })
    }

    fn live(&mut self, turn: &RequestId) -> Option<&mut LiveTurn> {
        self.turns
            .iter_mut()
            .find(|live| live.question.turn == *turn)
    }

    fn does(&mut self, turn: &RequestId, activity: Activity) -> Option<RoomEvent> {
        let live = self.live(turn)?;
        if live.activity == activity {
            return None;
        }
        live.activity = activity.clone();
        let turn = turn.clone();
        Some(RoomEvent::Does { turn, activity })
    }

    fn say(&mut self, turn: &RequestId, text: String) -> Option<RoomEvent> {
        let live = self.live(turn)?;
        let at = live.chars;
        live.text.push_str(&text);
        live.chars += text.chars().count() as u64;
        live.activity = Activity::Typing;
        let turn = turn.clone();
        Some(RoomEvent::Text { turn, at, text })
    }
}

fn ending(error: &domain::TurnError) -> Ending {
    match error {
        domain::TurnError::Generation(domain::GenerationError::Cancelled) => Ending::Stopped,
        other => Ending::Failed(other.to_string()),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 0 and 100"
)]
fn hundredths(fraction: f32) -> u8 {
    (fraction.clamp(0.0, 1.0) * 100.0) as u8
}

fn share(done: u32, total: u32) -> u8 {
    let hundredths = u64::from(done) * 100 / u64::from(total.max(1));
    u8::try_from(hundredths.min(100)).unwrap_or(100)
}
