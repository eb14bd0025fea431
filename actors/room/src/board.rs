//! Shell: every room of a tree, each with the channel to those who look. It outlives whoever asks and whoever answers.
//!
//! Invariants: nobody waits while it is held; an event goes out before the next change is made, so that all hear the same
//! in the same order; a seat is left however its holder ends, and an answer ends however its task does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{ConnectionId, ConversationId, RequestId, UserId};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};

use crate::room::{Ending, Member, Room, RoomError, RoomEvent};

/// Events a viewer may be behind before it looks at the whole room anew: seconds of a fast model.
const BEHIND: usize = 64;
/// Rooms that are kept, though nobody is there, before the idle ones are looked for: what was said lately is known in them.
const IDLE: usize = 1024;

#[derive(Debug)]
struct Open {
    room: Room,
    /// Seats of each connection: for a moment it has two, when it comes anew before its old seat was left.
    seats: BTreeMap<ConnectionId, usize>,
    events: broadcast::Sender<Arc<RoomEvent>>,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            room: Room::default(),
            seats: BTreeMap::new(),
            events: broadcast::Sender::new(BEHIND),
        }
    }
}

#[derive(Debug, Default)]
struct Rooms {
    open: BTreeMap<ConversationId, Open>,
    /// As many were open when idle ones were last looked for.
    looked: usize,
}

/// The rooms. Cloning gives another hold on the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    shared: Arc<Mutex<Rooms>>,
    /// How often something was written down.
    written: Arc<watch::Sender<u64>>,
    /// How many answers have ended.
    ended: Arc<watch::Sender<u64>>,
}

impl Board {
    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is written down has changed, somewhere.
    pub(crate) fn wrote(&self) {
        self.written.send_modify(|count| *count += 1);
    }

    /// Changes whenever what is written down may have.
    pub(crate) fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Changes a room; what changed is told to those who look.
    pub(crate) fn turn<R>(
        &self,
        conversation: &ConversationId,
        act: impl FnOnce(&mut Room) -> (Option<RoomEvent>, R),
    ) -> R {
        let mut rooms = self.rooms();
        rooms.drop_idle();
        let open = rooms.open.entry(conversation.clone()).or_default();
        let (event, result) = act(&mut open.room);
        if let Some(event) = event {
            if matches!(event, RoomEvent::Ended { .. }) {
                self.ended.send_modify(|count| *count += 1);
            }
            // Fails only when nobody looks.
            let _ = open.events.send(Arc::new(event));
        }
        result
    }

    /// The answers under way, of all rooms.
    pub(crate) fn under_way(&self) -> Vec<RequestId> {
        let rooms = self.rooms();
        let turns = rooms.open.values().flat_map(|open| open.room.turns());
        turns.map(|live| live.question.turn.clone()).collect()
    }

    /// The turn that answers what they said under this name, if they did lately.
    pub(crate) fn asked(
        &self,
        conversation: &ConversationId,
        by: &UserId,
        nonce: &str,
    ) -> Option<RequestId> {
        let rooms = self.rooms();
        let room = &rooms.open.get(conversation)?.room;
        room.asked(by, nonce).cloned()
    }

    /// The rooms in which an answer is under way.
    pub(crate) fn answering(&self) -> Vec<ConversationId> {
        let rooms = self.rooms();
        let answering = rooms.open.iter();
        let answering = answering.filter(|(_, open)| !open.room.turns().is_empty());
        answering
            .map(|(conversation, _)| conversation.clone())
            .collect()
    }

    /// Whether every viewer has heard all that was told so far.
    pub(crate) fn is_heard(&self) -> bool {
        let rooms = self.rooms();
        rooms.open.values().all(|open| open.events.is_empty())
    }

    /// Changes whenever an answer ends.
    pub(crate) fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Whoever sits down sees the room and hears each event since.
    pub(crate) fn sit(
        &self,
        conversation: ConversationId,
        member: Member,
    ) -> Result<Seat, RoomError> {
        let connection = member.connection.clone();
        let mut rooms = self.rooms();
        rooms.drop_idle();
        let open = rooms.open.entry(conversation.clone()).or_default();
        if let Some(event) = open.room.join(member)? {
            let _ = open.events.send(Arc::new(event));
        }
        *open.seats.entry(connection.clone()).or_default() += 1;
        let events = open.events.subscribe();
        drop(rooms);
        Ok(Seat {
            board: self.clone(),
            conversation,
            connection,
            events,
            lagged: 0,
        })
    }

    /// The room as it is; an empty one if nobody was ever there.
    pub(crate) fn look(&self, conversation: &ConversationId) -> Room {
        let rooms = self.rooms();
        let open = rooms.open.get(conversation);
        open.map_or_else(Room::default, |open| open.room.clone())
    }

    /// Rooms that are kept.
    pub(crate) fn len(&self) -> usize {
        self.rooms().open.len()
    }
}

impl Rooms {
    fn drop_idle(&mut self) {
        if self.open.len() >= self.looked.saturating_mul(2).max(IDLE) {
            let looked_at = |open: &Open| open.events.receiver_count() > 0;
            self.open
                .retain(|_, open| looked_at(open) || !open.room.is_idle());
            self.looked = self.open.len();
        }
    }
}

/// What a viewer hears next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something changed.
    Event(Arc<RoomEvent>),
    /// So many events were missed: here is the room as it is, and each event since will follow.
    Missed(u64, Room),
}

/// A place in a room. To drop it is to leave.
#[derive(Debug)]
pub struct Seat {
    board: Board,
    conversation: ConversationId,
    connection: ConnectionId,
    events: broadcast::Receiver<Arc<RoomEvent>>,
    lagged: u64,
}

impl Seat {
    /// Where it is.
    pub fn conversation(&self) -> &ConversationId {
        &self.conversation
    }

    /// The room as it is now. Events that were not heard yet are in it, and are not heard any more.
    pub fn look(&mut self) -> Room {
        let rooms = self.board.rooms();
        let Some(open) = rooms.open.get(&self.conversation) else {
            return Room::default();
        };
        self.events = open.events.subscribe();
        open.room.clone()
    }

    /// Waits for what happens next. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Heard {
        loop {
            match self.events.recv().await {
                Ok(event) => return Heard::Event(event),
                Err(RecvError::Lagged(missed)) => {
                    self.lagged += missed;
                    return Heard::Missed(missed, self.look());
                }
                // The room is kept as long as somebody sits in it.
                Err(RecvError::Closed) => std::future::pending::<()>().await,
            }
        }
    }

    /// What happened and was not heard yet, without waiting.
    pub fn ready(&mut self) -> Option<Heard> {
        match self.events.try_recv() {
            Ok(event) => Some(Heard::Event(event)),
            Err(TryRecvError::Lagged(missed)) => {
                self.lagged += missed;
                Some(Heard::Missed(missed, self.look()))
            }
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    /// Events that were missed since the beginning.
    pub fn lagged(&self) -> u64 {
        self.lagged
    }
}

impl Open {
    /// One seat fewer; who has none is there no more.
    fn leave(&mut self, connection: &ConnectionId) {
        let Some(seats) = self.seats.get_mut(connection) else {
            return;
        };
        *seats -= 1;
        if *seats > 0 {
            return;
        }
        self.seats.remove(connection);
        if let Some(event) = self.room.leave(connection) {
            // Fails only when nobody looks.
            let _ = self.events.send(Arc::new(event));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // It is kept as long as somebody sits in it.
        if let Some(open) = self.board.rooms().open.get_mut(&self.conversation) {
            open.leave(&self.connection);
        }
    }
}

/// Sees to it that an answer ends, whatever becomes of the task that carries it.
pub(crate) struct Carried {
    pub(crate) board: Board,
    pub(crate) conversation: ConversationId,
    pub(crate) turn: RequestId,
}

impl Drop for Carried {
    fn drop(&mut self) {
        let lost = "the part that carried this answer was stopped; ask again".to_owned();
        self.board.turn(&self.conversation, |room| {
            (room.end(&self.turn, Ending::Failed(lost)), ())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(connection: &str) -> Member {
        Member {
            connection: ConnectionId::new(connection),
            user: UserId::new("ann"),
            since_ms: 0,
        }
    }

    fn sit(board: &Board, conversation: &str, connection: &str) -> Seat {
        let conversation = ConversationId::new(conversation);
        board.sit(conversation, member(connection)).unwrap()
    }

    #[tokio::test]
    async fn who_sits_hears_who_comes_and_goes() {
        let board = Board::default();
        let mut first = sit(&board, "c", "1");
        assert_eq!(first.look().members().count(), 1);
        assert!(board.is_heard());
        let second = sit(&board, "c", "2");
        assert!(!board.is_heard(), "the first has yet to hear of the second");
        let joined = RoomEvent::Joined(member("2"));
        assert_eq!(first.next().await, Heard::Event(Arc::new(joined)));
        drop(second);
        let left = RoomEvent::Left(ConnectionId::new("2"));
        assert_eq!(first.next().await, Heard::Event(Arc::new(left)));
        assert_eq!(first.ready(), None);
    }

    #[tokio::test]
    async fn who_comes_anew_before_the_old_seat_was_left_is_there_until_the_last_is() {
        let board = Board::default();
        let mut other = sit(&board, "c", "other");
        let old = sit(&board, "c", "1");
        let new = sit(&board, "c", "1");
        assert!(matches!(other.ready(), Some(Heard::Event(_))));
        drop(old);
        assert_eq!(other.ready(), None, "nobody came or went");
        assert_eq!(other.look().members().count(), 2);
        drop(new);
        let left = RoomEvent::Left(ConnectionId::new("1"));
        assert_eq!(other.ready(), Some(Heard::Event(Arc::new(left))));
    }

    #[tokio::test]
    async fn who_is_too_far_behind_sees_the_room_anew_and_misses_nothing_after() {
        let board = Board::default();
        let mut slow = sit(&board, "c", "slow");
        let mut others = Vec::new();
        for number in 0..BEHIND * 2 {
            others.push(sit(&board, "c", &number.to_string()));
        }
        // Its own coming, which it hears too, is among those it missed.
        let Heard::Missed(missed, room) = slow.next().await else {
            unreachable!("it was not told that it missed something");
        };
        assert!(missed >= BEHIND as u64 && slow.lagged() == missed);
        assert_eq!(room.members().count(), BEHIND * 2 + 1);
        assert_eq!(slow.ready(), None);
        others.pop();
        assert!(matches!(slow.next().await, Heard::Event(_)));
    }

    #[test]
    fn rooms_that_nobody_is_in_are_not_kept_for_ever() {
        let board = Board::default();
        let stays = sit(&board, "stays", "1");
        for number in 0..IDLE * 10 {
            drop(sit(&board, &number.to_string(), "2"));
        }
        assert!(board.len() <= IDLE + 1, "{}", board.len());
        assert_eq!(board.look(stays.conversation()).members().count(), 1);
    }
}
