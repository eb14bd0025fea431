//! What was said last, and by whom: what somebody who comes into a conversation wants to see first.
//!
//! Invariant: what is read has no gap; what is left out is older than all of it, and is told to be there.

use domain::UserId;
use rusqlite::{Row, params};

use crate::archive::{Archive, Failure};
use crate::conversations::{Read, at_most, calls, counted, find, numbered, read};
use crate::error::StoreError;
use crate::limits;
use crate::messages::{Asker, Attributed, NameAsker, Newest, PAGE, PAGE_BYTES, ReadNewest};
use crate::work::Work;

const SQL: &str = "SELECT m.id AS id, m.number AS number, m.role AS role, m.content AS content,
    m.answers AS answers, m.turn AS turn, m.said_ms AS said_ms, t.asker AS asker, t.nonce AS nonce
    FROM messages m LEFT JOIN turns t ON m.role = 'user' AND t.request = m.turn
    WHERE m.conversation = ?1 AND m.number > ?2 AND m.number < ?3
    ORDER BY m.number DESC LIMIT ?4";

pub(crate) fn asker(row: &Row<'_>) -> rusqlite::Result<Option<Asker>> {
    let user: Option<String> = row.get("asker")?;
    let nonce: Option<String> = row.get("nonce")?;
    Ok(user.map(|user| Asker {
        user: UserId::new(user),
        nonce: nonce.unwrap_or_default(),
    }))
}

impl Work for ReadNewest {
    type Answer = Newest;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        limits::conversation(&self.conversation)?;
        limits::between("bytes", self.bytes, PAGE_BYTES, "1 to 33554432")?;
        Ok(limits::between("limit", self.limit, PAGE, "1 to 10000")?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Newest, Failure> {
        let at = &archive.connection;
        let Some(conversation) = find(at, &self.conversation)? else {
            return Ok(Newest::default());
        };
        let given = params![
            conversation,
            numbered(self.after),
            numbered(self.before.unwrap_or(u64::MAX)),
            at_most(self.limit.saturating_add(1))
        ];
        let last = at
            .prepare_cached("SELECT last_number FROM conversations WHERE id = ?1")?
            .query_row([conversation], |row| row.get(0))?;
        let mut statement = at.prepare_cached(SQL)?;
        let mut rows = statement.query(given)?;
        let (mut newest, mut bytes) = (Newest::default(), 0);
        newest.last = counted(last);
        while let Some(row) = rows.next()? {
            let (asker, Read { row, mut stored }) = (asker(row)?, read(row)?);
            stored.message.tool_calls = calls(at, row)?;
            bytes += limits::weight(&stored.message);
            let taken = newest.messages.len();
            if taken >= self.limit || (bytes > self.bytes && taken > 0) {
                newest.more = true;
                break;
            }
            newest.messages.push(Attributed { stored, asker });
        }
        newest.messages.reverse();
        Ok(newest)
    }
}

impl Work for NameAsker {
    type Answer = bool;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        limits::turn(&self.turn)?;
        limits::name("asker", self.asker.user.as_str())?;
        Ok(limits::name("nonce", &self.asker.nonce)?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<bool, Failure> {
        let Asker { user, nonce } = &self.asker;
        let named = archive
            .connection
            .prepare_cached("UPDATE turns SET asker = ?2, nonce = ?3 WHERE request = ?1")?
            .execute(params![self.turn.as_str(), user.as_str(), nonce])?;
        Ok(named > 0)
    }
}

#[cfg(test)]
mod tests {
    use domain::{ConversationId, Message, RequestId};

    use super::*;
    use crate::messages::{BeginTurn, EndTurn, TurnState};
    use crate::proving::{NOW, ask, in_memory};

    fn turn(archive: &Archive, name: &str, words: &str) {
        let (turn, conversation) = (RequestId::new(name), ConversationId::new("c"));
        let user = Message::user(words);
        let begin = BeginTurn {
            conversation,
            turn: turn.clone(),
            user: user.clone(),
            now_ms: NOW,
        };
        ask(archive, begin).unwrap();
        let end = EndTurn {
            turn,
            state: TurnState::Done,
            messages: vec![user, Message::assistant(words)],
            now_ms: NOW,
        };
        ask(archive, end).unwrap();
    }

    fn wish(after: u64, before: Option<u64>, limit: usize, bytes: usize) -> ReadNewest {
        ReadNewest {
            conversation: ConversationId::new("c"),
            after,
            before,
            limit,
            bytes,
        }
    }

    #[test]
    fn the_newest_of_a_part_comes_and_whether_there_is_more_before_it() {
        let archive = in_memory();
        for number in 0..5 {
            turn(&archive, &format!("t{number}"), "ten bytes.");
        }
        let all = PAGE_BYTES;
        for (wish, numbers, more) in [
            (wish(0, None, 100, all), 1..=10, false),
            (wish(0, None, 10, all), 1..=10, false),
            (wish(0, None, 4, all), 7..=10, true),
            (wish(6, None, 100, all), 7..=10, false),
            (wish(6, None, 3, all), 8..=10, true),
            (wish(0, Some(5), 100, all), 1..=4, false),
            (wish(0, Some(5), 2, all), 3..=4, true),
            (wish(2, Some(5), 2, all), 3..=4, false),
            (wish(0, None, 100, 30), 8..=10, true),
            (wish(0, None, 100, 29), 9..=10, true),
            (wish(0, None, 100, 1), 10..=10, true),
            (wish(9, None, 100, 1), 10..=10, false),
        ] {
            let found = ask(&archive, wish.clone()).unwrap();
            let seen: Vec<u64> = found.messages.iter().map(|one| one.stored.number).collect();
            assert_eq!(seen, numbers.collect::<Vec<u64>>(), "{wish:?}");
            assert_eq!((found.more, found.last), (more, 10), "{wish:?}");
        }
        let nothing = ask(&archive, wish(10, None, 1, 1)).unwrap();
        assert_eq!(
            (nothing.messages.len(), nothing.more, nothing.last),
            (0, false, 10)
        );
        let mut nowhere = wish(0, None, 1, 1);
        nowhere.conversation = ConversationId::new("nowhere");
        assert_eq!(ask(&archive, nowhere).unwrap(), Newest::default());
        for wrong in [wish(0, None, 0, 1), wish(0, None, 1, 0)] {
            assert!(matches!(ask(&archive, wrong), Err(StoreError::Invalid(_))));
        }
    }

    #[test]
    fn who_asked_is_known_of_what_a_person_said_and_of_nothing_else() {
        let archive = in_memory();
        turn(&archive, "t1", "one");
        turn(&archive, "t2", "two");
        let asker = Asker {
            user: UserId::new("ann"),
            nonce: "n".into(),
        };
        let name = |turn: &str| NameAsker {
            turn: RequestId::new(turn),
            asker: asker.clone(),
        };
        assert!(ask(&archive, name("t2")).unwrap());
        assert!(!ask(&archive, name("nowhere")).unwrap());
        let found = ask(&archive, wish(0, None, 10, PAGE_BYTES))
            .unwrap()
            .messages;
        let askers: Vec<Option<Asker>> = found.into_iter().map(|one| one.asker).collect();
        assert_eq!(askers, [None, None, Some(asker.clone()), None]);
        let long = NameAsker {
            asker: Asker {
                nonce: "n".repeat(201),
                ..asker.clone()
            },
            ..name("t2")
        };
        assert!(matches!(ask(&archive, long), Err(StoreError::Invalid(_))));
    }
}
