//! What waits to be written to one client, within a bound of bytes.
//!
//! Text of an answer that waits is joined with what comes behind it; of who types, of what the agent does, of the list of
//! conversations and of the tree only the latest waits; what is about the connection itself goes first. So a slow reader gets fewer and larger frames,
//! and all of the text.
//!
//! Invariants: joined text is the text, character for character; nothing overtakes the end of its turn; past the bound
//! nothing is dropped: the client is too slow, and is told so.

use std::collections::{BTreeMap, VecDeque};

use crate::wire::ServerFrame;
use crate::wire::room::{ConversationLine, Member, RoomMessage};

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;

/// The most bytes that wait for one client, as in centrifugo's `queue_max_size`.
pub const WAITING_BYTES: usize = 1 << 20;
/// What a frame costs beside its texts, in bytes: its op, the names of its fields, its place here.
const FRAME_BYTES: usize = 96;

/// Empty places beyond half of all before they are closed up.
const EMPTY: usize = 16;

/// The client reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} bytes wait for this client, {limit} may: it reads too slowly")]
pub struct TooSlow {
    /// Bytes that would wait.
    pub waiting: usize,
    /// Bytes that may.
    pub limit: usize,
}

/// What is joined with, or replaced by, the next of its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Text { conversation: String, turn: String },
    Activity { conversation: String },
    Typing { conversation: String },
    Conversations,
    Tree,
}

/// What waits for one client.
#[derive(Debug)]
pub struct Outbox {
    limit: usize,
    control: VecDeque<ServerFrame>,
    /// A place whose frame was replaced is empty. There are not more of them than of the others, and a few.
    waiting: VecDeque<Option<ServerFrame>>,
    empty: usize,
    /// How many were taken from the front since the beginning: places count from there.
    taken: u64,
    places: BTreeMap<Place, u64>,
    bytes: usize,
    joined: u64,
}

impl Outbox {
    /// Nothing waits; so many bytes may.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            control: VecDeque::new(),
            waiting: VecDeque::new(),
            empty: 0,
            taken: 0,
            places: BTreeMap::new(),
            bytes: 0,
            joined: 0,
        }
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// [`TooSlow`]: the client has to be closed; what waits is of no use to it any more.
    pub fn push(&mut self, frame: ServerFrame) -> Result<(), TooSlow> {
        if frame.is_control() {
            self.bytes += weight(&frame);
            self.control.push_back(frame);
        } else {
            self.put(frame);
        }
        if self.bytes > self.limit {
            return Err(TooSlow {
                waiting: self.bytes,
                limit: self.limit,
            });
        }
        Ok(())
    }

    /// The next frame to write, and whether it is about the connection itself.
    pub fn pop(&mut self) -> Option<ServerFrame> {
        let next = self.control.pop_front().or_else(|| self.next_waiting())?;
        self.bytes = self.bytes.saturating_sub(weight(&next));
        if self.is_empty() {
            self.control.shrink_to_fit();
            self.waiting.shrink_to_fit();
        }
        Some(next)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.control.is_empty() && self.waiting.is_empty()
    }

    /// Bytes that wait, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames that were joined with one that waited, or replaced it, since the beginning.
    pub fn joined(&self) -> u64 {
        self.joined
    }

    /// Forgets what is about the connection itself: it was about the one before.
    pub fn forget_control(&mut self) {
        for frame in self.control.drain(..) {
            self.bytes = self.bytes.saturating_sub(weight(&frame));
        }
    }

    fn put(&mut self, frame: ServerFrame) {
        let Some(place) = place(&frame) else {
            self.close_places(&frame);
            self.bytes += weight(&frame);
            self.waiting.push_back(Some(frame));
            return;
        };
        let waiting = self.places.get(&place).copied();
        let slot = waiting.and_then(|at| self.slot(at));
        match (slot, frame) {
            (
                Some(Some(ServerFrame::Delta { text, .. })),
                ServerFrame::Delta { text: more, .. },
            ) => {
                text.push_str(&more);
                self.bytes += more.len();
                self.joined += 1;
            }
            (Some(old), frame) => {
                // The latest counts, at the place of the latest.
                let before = old.take();
                self.bytes = self.bytes.saturating_sub(before.as_ref().map_or(0, weight));
                self.joined += u64::from(before.is_some());
                self.empty += usize::from(before.is_some());
                self.append(place, frame);
                self.close_up();
            }
            (None, frame) => self.append(place, frame),
        }
    }

    fn append(&mut self, place: Place, frame: ServerFrame) {
        self.bytes += weight(&frame);
        self.places
            .insert(place, self.taken + self.waiting.len() as u64);
        self.waiting.push_back(Some(frame));
    }

    /// Who reads nothing while the latest is replaced again and again would have a row of empty places.
    fn close_up(&mut self) {
        if self.empty <= self.waiting.len() / 2 + EMPTY {
            return;
        }
        let before = self.taken;
        let mut full = 0;
        let moved: Vec<u64> = self
            .waiting
            .iter()
            .map(|slot| {
                let at = full;
                full += u64::from(slot.is_some());
                before + at
            })
            .collect();
        for at in self.places.values_mut() {
            let index = at
                .checked_sub(before)
                .and_then(|at| usize::try_from(at).ok());
            if let Some(now) = index.and_then(|index| moved.get(index)) {
                *at = *now;
            }
        }
        self.waiting.retain(Option::is_some);
        self.empty = 0;
    }

    fn slot(&mut self, at: u64) -> Option<&mut Option<ServerFrame>> {
        let index = usize::try_from(at.checked_sub(self.taken)?).ok()?;
        self.waiting.get_mut(index)
    }

    fn next_waiting(&mut self) -> Option<ServerFrame> {
        loop {
            let slot = self.waiting.pop_front()?;
            self.taken += 1;
            self.empty -= usize::from(slot.is_none());
            if let Some(frame) = slot {
                let own = self.taken - 1;
                if let Some(place) = place(&frame)
                    && self.places.get(&place) == Some(&own)
                {
                    self.places.remove(&place);
                }
                return Some(frame);
            }
        }
    }

    /// What comes behind the end of a turn, or behind a whole conversation, must not be joined with what stands before it.
    fn close_places(&mut self, frame: &ServerFrame) {
        match frame {
            ServerFrame::Room { conversation, .. } => self.places.retain(|place, _| match place {
                Place::Text {
                    conversation: of, ..
                }
                | Place::Activity { conversation: of }
                | Place::Typing { conversation: of } => of != conversation,
                Place::Conversations | Place::Tree => true,
            }),
            ServerFrame::Turn { conversation, .. } | ServerFrame::Ended { conversation, .. } => {
                self.places.retain(|place, _| match place {
                    Place::Text {
                        conversation: of, ..
                    }
                    | Place::Activity { conversation: of } => of != conversation,
                    Place::Typing { .. } | Place::Conversations | Place::Tree => true,
                });
            }
            _ => {}
        }
    }
}

fn place(frame: &ServerFrame) -> Option<Place> {
    let conversation = |of: &String| of.clone();
    match frame {
        ServerFrame::Delta {
            conversation: of,
            turn,
            ..
        } => Some(Place::Text {
            conversation: conversation(of),
            turn: turn.clone(),
        }),
        ServerFrame::Activity {
            conversation: of, ..
        } => Some(Place::Activity {
            conversation: conversation(of),
        }),
        ServerFrame::Typing {
            conversation: of, ..
        } => Some(Place::Typing {
            conversation: conversation(of),
        }),
        ServerFrame::Conversations { .. } => Some(Place::Conversations),
        ServerFrame::Tree { .. } => Some(Place::Tree),
        _ => None,
    }
}

/// What a frame weighs, in bytes, about: its texts, and a share for the rest.
fn weight(frame: &ServerFrame) -> usize {
    let texts = match frame {
        ServerFrame::Delta { text, .. } => text.len(),
        ServerFrame::Room {
            messages,
            members,
            typing,
            turns,
            ..
        } => {
            let said: usize = messages.iter().map(message).sum();
            let typing: usize = typing.iter().map(String::len).sum();
            let live = turns
                .iter()
                .map(|turn| turn.text.len() + turn.asked.len() + turn.asked_by.len() + FRAME_BYTES);
            let live: usize = live.sum();
            said + typing + live + members.iter().map(member).sum::<usize>()
        }
        ServerFrame::Messages { messages, .. } | ServerFrame::Kept { messages, .. } => {
            messages.iter().map(message).sum()
        }
        ServerFrame::Turn { turn, .. } => turn.text.len() + turn.asked.len(),
        ServerFrame::Typing { users, .. } => users.iter().map(String::len).sum(),
        ServerFrame::Presence { joins, leaves, .. } => {
            joins.iter().map(member).sum::<usize>() + leaves.len() * FRAME_BYTES
        }
        ServerFrame::Conversations { conversations } => {
            let lines = conversations.iter();
            let line = |line: &ConversationLine| line.title.len() + line.conversation.len();
            lines.map(|one| line(one) + FRAME_BYTES).sum()
        }
        ServerFrame::Tree { nodes } => nodes.len() * FRAME_BYTES,
        ServerFrame::Error { message, .. } => message.len(),
        _ => 0,
    };
    texts + FRAME_BYTES
}

/// What a message weighs, in bytes, about.
pub(crate) fn message(message: &RoomMessage) -> usize {
    let html = message.html.as_ref().map_or(0, String::len);
    let names = [&message.user, &message.turn, &message.nonce];
    let names: usize = names.into_iter().flatten().map(String::len).sum();
    message.text.len() + html + names + FRAME_BYTES
}

fn member(member: &Member) -> usize {
    member.user.len() + member.connection.len() + FRAME_BYTES
}
