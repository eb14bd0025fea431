//! Conversations and what was said in them.
//!
//! Invariant: a number is given to one message of a conversation and never again, and numbers only grow.

use domain::{ConversationId, Message, RequestId, ToolCall, ToolCallId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::archive::{Archive, Failure};
use crate::error::StoreError;
use crate::limits;
use crate::messages::{
    Appended, Conversations, LISTED, ListConversations, ListCursor, Overview, PAGE, PAGE_BYTES,
    Page, ReadConversation, ReadHistory, ReadMessages, RemoveConversation, Removed, ReplaceHistory,
    StoredMessage, TITLE,
};
use crate::wire;
use crate::work::Work;

/// Bytes of the first thing said that are looked at for a title.
const TITLE_LOOK: i64 = 400;

/// The row of a conversation.
pub(crate) fn find(at: &Connection, id: &ConversationId) -> rusqlite::Result<Option<i64>> {
    at.prepare_cached("SELECT id FROM conversations WHERE name = ?1")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()
}

/// The row of a conversation that must be there.
pub(crate) fn found(at: &Connection, id: &ConversationId) -> Result<i64, Failure> {
    find(at, id)?.ok_or_else(|| StoreError::NoConversation(id.clone()).into())
}

/// The row of a conversation, made if there was none.
pub(crate) fn find_or_make(
    at: &Connection,
    id: &ConversationId,
    now_ms: i64,
) -> rusqlite::Result<i64> {
    at.prepare_cached(
        "INSERT INTO conversations (name, created_ms, updated_ms) VALUES (?1, ?2, ?2)
         ON CONFLICT (name) DO NOTHING",
    )?
    .execute(params![id.as_str(), now_ms])?;
    at.prepare_cached("SELECT id FROM conversations WHERE name = ?1")?
        .query_row([id.as_str()], |row| row.get(0))
}

/// A message on its way in.
pub(crate) struct New<'a> {
    pub(crate) message: &'a Message,
    pub(crate) turn: Option<&'a RequestId>,
    pub(crate) said_ms: i64,
}

/// Adds messages at the end of a conversation.
pub(crate) fn append<'a>(
    at: &Connection,
    conversation: i64,
    messages: impl IntoIterator<Item = New<'a>>,
    now_ms: i64,
) -> rusqlite::Result<Appended> {
    let last: i64 = at
        .prepare_cached("SELECT last_number FROM conversations WHERE id = ?1")?
        .query_row([conversation], |row| row.get(0))?;
    let mut count = 0;
    let mut number = last;
    for new in messages {
        number += 1;
        count += 1;
        insert(at, conversation, number, &new)?;
    }
    at.prepare_cached(
        "UPDATE conversations SET last_number = ?2, updated_ms = max(updated_ms, ?3) WHERE id = ?1",
    )?
    .execute(params![conversation, number, now_ms])?;
    Ok(Appended {
        first: counted(last + 1),
        count,
    })
}

fn insert(at: &Connection, conversation: i64, number: i64, new: &New<'_>) -> rusqlite::Result<()> {
    let New {
        message,
        turn,
        said_ms,
    } = new;
    at.prepare_cached(
        "INSERT INTO messages (conversation, number, role, content, answers, turn, said_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        conversation,
        number,
        message.role.as_str(),
        message.content,
        message.answers.as_ref().map(ToolCallId::as_str),
        turn.map(RequestId::as_str),
        said_ms
    ])?;
    let row = at.last_insert_rowid();
    for (place, call) in (1_i64..).zip(&message.tool_calls) {
        at.prepare_cached(
            "INSERT INTO tool_calls (message, place, call, name, arguments)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            row,
            place,
            call.id.as_str(),
            call.name,
            call.arguments
        ])?;
    }
    Ok(())
}

/// A number or a count of the file's; it holds none below zero.
pub(crate) fn counted(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

/// A number of the asker's; the file's end at the largest.
pub(crate) fn numbered(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A number of things; a list never has more than a number holds.
pub(crate) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(crate) struct Read {
    pub(crate) row: i64,
    pub(crate) stored: StoredMessage,
}

pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Read> {
    let role: String = row.get("role")?;
    let answers: Option<String> = row.get("answers")?;
    let turn: Option<String> = row.get("turn")?;
    Ok(Read {
        row: row.get("id")?,
        stored: StoredMessage {
            number: counted(row.get("number")?),
            message: Message {
                role: wire::role(&role)?,
                content: row.get("content")?,
                tool_calls: Vec::new(),
                answers: answers.map(ToolCallId::new),
            },
            turn: turn.map(RequestId::new),
            said_ms: row.get("said_ms")?,
        },
    })
}

/// Messages of a conversation in the order of `sql`, with their calls, until they are more than a page's bytes; and
/// whether there were more.
fn messages(
    at: &Connection,
    sql: &str,
    given: impl rusqlite::Params,
    limit: usize,
) -> rusqlite::Result<(Vec<StoredMessage>, bool)> {
    let mut statement = at.prepare_cached(sql)?;
    let mut rows = statement.query(given)?;
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let Read { row, mut stored } = read(row)?;
        stored.message.tool_calls = calls(at, row)?;
        bytes += limits::weight(&stored.message);
        let full = taken.len() >= limit || (bytes > PAGE_BYTES && !taken.is_empty());
        if full {
            return Ok((taken, true));
        }
        taken.push(stored);
    }
    Ok((taken, false))
}

pub(crate) fn calls(at: &Connection, message: i64) -> rusqlite::Result<Vec<ToolCall>> {
    let mut statement = at.prepare_cached(
        "SELECT call, name, arguments FROM tool_calls WHERE message = ?1 ORDER BY place",
    )?;
    let one = |row: &Row<'_>| {
        let id: String = row.get(0)?;
        Ok(ToolCall {
            id: ToolCallId::new(id),
            name: row.get(1)?,
            arguments: row.get(2)?,
        })
    };
    statement.query_map([message], one)?.collect()
}

/// The messages of a conversation behind a number, oldest first.
pub(crate) fn page(
    at: &Connection,
    conversation: i64,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Page> {
    let sql = "SELECT id, number, role, content, answers, turn, said_ms FROM messages
               WHERE conversation = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
    let given = params![
        conversation,
        numbered(after),
        at_most(limit.saturating_add(1))
    ];
    let (messages, more) = messages(at, sql, given, limit)?;
    Ok(Page { messages, more })
}

const OVERVIEW: &str = "SELECT c.id, c.name, c.created_ms, c.updated_ms,
    (SELECT count(*) FROM messages m WHERE m.conversation = c.id) AS messages,
    (SELECT substr(m.content, 1, ?1) FROM messages m
     WHERE m.conversation = c.id AND m.role = 'user' ORDER BY m.number LIMIT 1) AS said
    FROM conversations c";

fn overview(row: &Row<'_>) -> rusqlite::Result<(i64, Overview)> {
    let name: String = row.get("name")?;
    let said: Option<String> = row.get("said")?;
    let one = Overview {
        conversation: ConversationId::new(name),
        title: title(&said.unwrap_or_default()),
        messages: counted(row.get("messages")?),
        created_ms: row.get("created_ms")?,
        updated_ms: row.get("updated_ms")?,
    };
    Ok((row.get("id")?, one))
}

/// The first line that says something.
fn title(said: &str) -> String {
    let mut lines = said.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let whole: Vec<&str> = line.split_whitespace().collect();
    whole.join(" ").chars().take(TITLE).collect()
}

/// One conversation from afar.
pub(crate) fn one(at: &Connection, id: &ConversationId) -> Result<Overview, Failure> {
    let sql = format!("{OVERVIEW} WHERE c.name = ?2");
    let found = at
        .prepare_cached(&sql)?
        .query_row(params![TITLE_LOOK, id.as_str()], overview)
        .optional()?;
    let (_, found) = found.ok_or_else(|| StoreError::NoConversation(id.clone()))?;
    Ok(found)
}

impl Work for ReadHistory {
    type Answer = Vec<StoredMessage>;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        limits::conversation(&self.conversation)?;
        Ok(limits::between("last", self.last, PAGE, "1 to 10000")?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Self::Answer, Failure> {
        let at = &archive.connection;
        let Some(conversation) = find(at, &self.conversation)? else {
            return Ok(Vec::new());
        };
        let sql = "SELECT id, number, role, content, answers, turn, said_ms FROM messages
                   WHERE conversation = ?1 ORDER BY number DESC LIMIT ?2";
        let given = params![conversation, at_most(self.last)];
        let (mut last, _) = messages(at, sql, given, self.last)?;
        last.reverse();
        Ok(last)
    }
}

impl Work for ReadMessages {
    type Answer = Page;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        limits::conversation(&self.conversation)?;
        Ok(limits::between("limit", self.limit, PAGE, "1 to 10000")?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Page, Failure> {
        let at = &archive.connection;
        let conversation = found(at, &self.conversation)?;
        Ok(page(at, conversation, self.after, self.limit)?)
    }
}

impl Work for ReadConversation {
    type Answer = Overview;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        Ok(limits::conversation(&self.conversation)?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Overview, Failure> {
        one(&archive.connection, &self.conversation)
    }
}

impl Work for ListConversations {
    type Answer = Conversations;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        Ok(limits::between("limit", self.limit, LISTED, "1 to 1000")?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Conversations, Failure> {
        let sql = format!(
            "{OVERVIEW} WHERE (c.updated_ms, c.id) < (?2, ?3)
             ORDER BY c.updated_ms DESC, c.id DESC LIMIT ?4"
        );
        let ListCursor { updated_ms, row } = self.before.unwrap_or(ListCursor {
            updated_ms: i64::MAX,
            row: i64::MAX,
        });
        let mut statement = archive.connection.prepare_cached(&sql)?;
        let given = params![
            TITLE_LOOK,
            updated_ms,
            row,
            at_most(self.limit.saturating_add(1))
        ];
        let rows: rusqlite::Result<Vec<_>> = statement.query_map(given, overview)?.collect();
        let mut rows = rows?;
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let last = rows.last().filter(|_| more);
        let next = last.map(|(row, one)| ListCursor {
            updated_ms: one.updated_ms,
            row: *row,
        });
        let conversations = rows.into_iter().map(|(_, one)| one).collect();
        Ok(Conversations {
            conversations,
            next,
        })
    }
}

impl Work for ReplaceHistory {
    type Answer = Appended;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        limits::conversation(&self.conversation)?;
        Ok(limits::messages(self.messages.iter())?)
    }

    fn bytes(&self) -> usize {
        limits::weight_of(&self.messages)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Appended, Failure> {
        let at = &archive.connection;
        let conversation = find_or_make(at, &self.conversation, self.now_ms)?;
        at.prepare_cached("DELETE FROM messages WHERE conversation = ?1")?
            .execute([conversation])?;
        let new = self.messages.iter().map(|message| New {
            message,
            turn: None,
            said_ms: self.now_ms,
        });
        Ok(append(at, conversation, new, self.now_ms)?)
    }
}

impl Work for RemoveConversation {
    type Answer = Removed;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        Ok(limits::conversation(&self.conversation)?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Removed, Failure> {
        let at = &archive.connection;
        let conversation = found(at, &self.conversation)?;
        let messages = at
            .prepare_cached("DELETE FROM messages WHERE conversation = ?1")?
            .execute([conversation])?;
        at.prepare_cached("DELETE FROM conversations WHERE id = ?1")?
            .execute([conversation])?;
        Ok(Removed {
            messages: messages as u64,
        })
    }
}
