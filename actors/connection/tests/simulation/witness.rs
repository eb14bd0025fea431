//! Who sits in every room from the beginning: what they saw is what was said, and what the store would tell of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::{ConnectionId, ConversationId, RequestId, UserId};
use futures_util::future::BoxFuture;
use paraphym_connection::wire::room::ConversationLine;
use paraphym_connection::{History, Part, Said};
use room::record::AskedTurn;
use room::{Ending, Entry, Heard, Kept, LiveTurn, Member, Record, RoomEvent, Rooms, Seat, Speaker};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::dice::Dice;

pub const CONVERSATIONS: [&str; 2] = ["c", "d"];
/// Its connection.
pub const WITNESS: &str = "witness";

/// An answer that has ended.
#[derive(Clone, Debug)]
pub struct Told {
    pub turn: String,
    pub nonce: String,
    pub text: String,
    pub ending: Ending,
}

#[derive(Default)]
struct Book {
    seat: Option<Seat>,
    under_way: BTreeMap<String, LiveTurn>,
    ended: Vec<Told>,
    entries: Vec<Entry>,
    faults: Vec<String>,
}

pub struct Witness {
    books: Mutex<BTreeMap<String, Book>>,
    dice: Mutex<Dice>,
}

fn member() -> Member {
    Member {
        connection: ConnectionId::new(WITNESS),
        user: UserId::new(WITNESS),
        since_ms: 0,
    }
}

impl Witness {
    pub fn new(rooms: &Rooms, seed: u64) -> Self {
        let book = |name: &str| {
            let seat = rooms.sit(ConversationId::new(name), member()).ok();
            let book = Book {
                seat,
                ..Book::default()
            };
            (name.to_owned(), book)
        };
        Self {
            books: Mutex::new(CONVERSATIONS.into_iter().map(book).collect()),
            dice: Mutex::new(Dice::new(seed ^ 2)),
        }
    }

    /// Looks whenever something happens, so that it misses nothing.
    pub fn watch(self: &Arc<Self>, rooms: &Rooms) -> JoinSet<()> {
        let mut watching = JoinSet::new();
        for name in CONVERSATIONS {
            let me = Arc::clone(self);
            let seat = rooms.sit(ConversationId::new(name), member());
            watching.spawn(async move {
                let mut seat = seat.unwrap();
                loop {
                    seat.next().await;
                    me.look();
                }
            });
        }
        watching
    }

    /// Sees what happened since it last looked.
    fn look(&self) {
        for book in self.books.lock().unwrap().values_mut() {
            book.look();
        }
    }

    /// Leaves. All that ended in a room, and what was wrong with it.
    pub fn leave(&self) -> (BTreeMap<String, Vec<Told>>, Vec<String>) {
        self.look();
        let mut books = self.books.lock().unwrap();
        let mut faults = Vec::new();
        let ended = books.iter_mut().map(|(name, book)| {
            book.seat = None;
            faults.append(&mut book.faults);
            (name.clone(), book.ended.clone())
        });
        (ended.collect(), faults)
    }

    /// The newest of a part, as far as they are of use.
    fn read(&self, conversation: &str, part: Part) -> Said {
        let mut books = self.books.lock().unwrap();
        let mut said = Said::nothing(part.after);
        let Some(book) = books.get_mut(conversation) else {
            return said;
        };
        book.look();
        let before = part.before.unwrap_or(u64::MAX);
        let inside = |one: &&Entry| one.number > part.after && one.number < before;
        let all: Vec<&Entry> = book.entries.iter().filter(inside).collect();
        said.last = all.last().map_or(part.after, |one| one.number);
        let mut bytes = 0;
        for entry in all.into_iter().rev() {
            bytes += entry.text.len();
            if bytes > part.bytes && !said.entries.is_empty() {
                said.after = entry.number;
                break;
            }
            said.entries.insert(0, entry.clone());
        }
        said
    }

    fn of_turn(&self, conversation: &ConversationId, turn: &RequestId) -> Kept {
        let mut books = self.books.lock().unwrap();
        let Some(book) = books.get_mut(conversation.as_str()) else {
            return Kept::default();
        };
        book.look();
        let of = |one: &&Entry| one.turn.as_ref() == Some(turn);
        let entries: Vec<Entry> = book.entries.iter().filter(of).cloned().collect();
        Kept {
            before: entries.first().map_or(0, |one| one.number - 1),
            last: entries.last().map_or(0, |one| one.number),
            entries,
        }
    }

    /// A disk takes a moment, before it looks and after.
    fn waits(&self) -> [Duration; 2] {
        let mut dice = self.dice.lock().unwrap();
        [dice.below(20), dice.below(20)].map(Duration::from_millis)
    }
}

impl Book {
    fn look(&mut self) {
        while let Some(heard) = self.seat.as_mut().and_then(Seat::ready) {
            match heard {
                Heard::Event(event) => self.hear(&event),
                Heard::Missed(missed, _) => {
                    self.faults.push(format!("the witness missed {missed}"));
                }
            }
        }
    }

    fn hear(&mut self, event: &RoomEvent) {
        match event {
            RoomEvent::Began(live) => {
                let turn = live.question.turn.to_string();
                if self.under_way.insert(turn.clone(), live.clone()).is_some() {
                    self.faults.push(format!("{turn} began twice"));
                }
            }
            RoomEvent::Text { turn, at, text } => match self.under_way.get_mut(turn.as_str()) {
                Some(live) if *at == live.text.chars().count() as u64 => live.text.push_str(text),
                other => self
                    .faults
                    .push(format!("{turn} says {text:?} at {at} behind {other:?}")),
            },
            RoomEvent::Ended { turn, ending, text } => match self.under_way.remove(turn.as_str()) {
                Some(live) if live.text == *text => self.write(&live, ending),
                other => {
                    let fault = format!("{turn} ends with {text:?} behind {other:?}");
                    self.faults.push(fault);
                }
            },
            RoomEvent::Joined(_)
            | RoomEvent::Left(_)
            | RoomEvent::Does { .. }
            | RoomEvent::Kept { .. } => {}
        }
    }

    fn write(&mut self, live: &LiveTurn, ending: &Ending) {
        let (question, turn) = (&live.question, live.question.turn.to_string());
        let asked = (Speaker::Person, Some(question.by.clone()), &question.text);
        for (speaker, by, text) in [asked, (Speaker::Agent, None, &live.text)] {
            self.entries.push(Entry {
                // There may be gaps.
                number: self.entries.len() as u64 * 2 + 1,
                speaker,
                nonce: by.is_some().then(|| question.nonce.clone()),
                by,
                text: text.as_str().into(),
                html: None,
                at_ms: 1,
                turn: Some(question.turn.clone()),
            });
        }
        self.ended.push(Told {
            turn,
            nonce: question.nonce.clone(),
            text: live.text.clone(),
            ending: ending.clone(),
        });
    }
}

/// What the witness knows, as the store has it.
pub struct Store(pub Arc<Witness>);

impl History for Store {
    fn messages(
        &self,
        conversation: ConversationId,
        part: Part,
    ) -> BoxFuture<'static, Result<Said, String>> {
        let (me, waits) = (Arc::clone(&self.0), self.0.waits());
        Box::pin(async move {
            sleep(waits[0]).await;
            let said = me.read(conversation.as_str(), part);
            sleep(waits[1]).await;
            Ok(said)
        })
    }

    fn conversations(&self) -> BoxFuture<'static, Result<Vec<ConversationLine>, String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl Record for Store {
    fn begun(&self, _: AskedTurn) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn ended(
        &self,
        conversation: ConversationId,
        turn: RequestId,
    ) -> BoxFuture<'static, Result<Kept, String>> {
        let (me, waits) = (Arc::clone(&self.0), self.0.waits());
        Box::pin(async move {
            sleep(waits[0]).await;
            let kept = me.of_turn(&conversation, &turn);
            sleep(waits[1]).await;
            Ok(kept)
        })
    }
}
