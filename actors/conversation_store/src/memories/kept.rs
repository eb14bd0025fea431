//! Remembering, using, listing and forgetting. A content that is there already gets younger instead of a second row; how
//! old anything is, is for the reader to compute, and is never written.

use domain::FieldError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::vectors;
use super::{ContentHash, DocumentId, Memory, MemoryId, MemoryKind, Origin, Place, Scope, Vector};
use crate::archive::{Archive, Failure};
use crate::conversations::at_most;
use crate::error::StoreError;
use crate::limits;
use crate::work::Work;

/// A memory is a few sentences; longer texts are documents, and are cut. Also what a model's prompt could ever take.
pub const TEXT_BYTES: usize = 16 * 1024;
/// Memories of all spaces together: a recall looks at each vector, and this many take a few tenths of a second.
pub const MEMORIES: usize = 100_000;
/// Rows in one answer.
pub const LISTED: usize = 1000;

/// Wishes a memory kept, or the one with the same content made young again. Answered with a [`Remembered`].
#[derive(Clone, Debug, PartialEq)]
pub struct Remember {
    /// For which purpose; 1 to 200 bytes without control characters.
    pub space: String,
    /// Its words; 1 byte to 16 KiB.
    pub text: String,
    /// The sha256 of the normalised text.
    pub hash: ContentHash,
    /// What sort of knowledge it is.
    pub kind: MemoryKind,
    /// From 0 to 1.
    pub importance: f32,
    /// Its meaning, if a model was there to say; it is found by its words alone until then.
    pub vector: Option<Vector>,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: i64,
}

/// It is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its name.
    pub id: MemoryId,
    /// False if the same content was there already: it is as young as a new one now.
    pub is_new: bool,
}

/// The memories of one space, newest first. Answered with [`Memory`]s.
#[derive(Clone, Debug, PartialEq)]
pub struct ListMemories {
    /// Which space.
    pub space: String,
    /// 1 to 1000.
    pub limit: usize,
    /// Only those that came before this one.
    pub before: Option<MemoryId>,
}

/// Wishes something forgotten, with its words and vectors. Answered with how many memories or pieces went.
#[derive(Clone, Debug, PartialEq)]
pub enum Forget {
    /// One memory.
    Memory(MemoryId),
    /// All of a space.
    Space(String),
    /// A document, by the path it was put under.
    Document(String),
}

/// Says that memories were of use: their age, and that of their documents, counts from now. Answered with nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Used {
    /// Which; at most 1000. Those that are gone are passed over.
    pub ids: Vec<MemoryId>,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Work for Remember {
    type Answer = Remembered;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        check_space(&self.space)?;
        check_text("text", &self.text)?;
        check_importance(self.importance)?;
        self.vector.as_ref().map_or(Ok(()), vectors::check)
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.vector.as_ref().map_or(0, vectors::weight)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Remembered, Failure> {
        let at = &archive.connection;
        let source = space(at, &self.space, self.now_ms)?;
        let known: Option<i64> = at
            .prepare_cached("SELECT id FROM memories WHERE source = ?1 AND hash = ?2")?
            .query_row(params![source, self.hash], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => {
                refresh(at, id, self)?;
                id
            }
            None => insert(at, source, self)?,
        };
        if let Some(vector) = &self.vector {
            vectors::put(at, MemoryId(id), vector)?;
        }
        Ok(Remembered {
            id: MemoryId(id),
            is_new: known.is_none(),
        })
    }
}

/// Asked twice with one stamp, it counts once.
fn refresh(at: &Connection, id: i64, wish: &Remember) -> rusqlite::Result<()> {
    at.prepare_cached(
        "UPDATE memories SET times = times + (?2 > used_ms), used_ms = max(used_ms, ?2),
             importance = max(importance, ?3)
         WHERE id = ?1",
    )?
    .execute(params![id, wish.now_ms, wish.importance])?;
    Ok(())
}

fn insert(at: &Connection, source: i64, wish: &Remember) -> Result<i64, Failure> {
    check_room(at)?;
    let given = params![
        source,
        wish.kind.name(),
        wish.text,
        wish.hash,
        wish.importance,
        wish.now_ms
    ];
    let id = at
        .prepare_cached(
            "INSERT INTO memories (source, kind, text, hash, importance, made_ms, used_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) RETURNING id",
        )?
        .query_row(given, |row| row.get(0))?;
    Ok(id)
}

impl Work for Used {
    type Answer = ();
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        check_count("ids", self.ids.len(), 0)
    }

    fn bytes(&self) -> usize {
        self.ids.len() * size_of::<MemoryId>()
    }

    fn carry_out(&self, archive: &Archive) -> Result<(), Failure> {
        let at = &archive.connection;
        for id in &self.ids {
            at.prepare_cached("UPDATE memories SET used_ms = max(used_ms, ?2) WHERE id = ?1")?
                .execute(params![id.0, self.now_ms])?;
            at.prepare_cached(
                "UPDATE sources SET used_ms = max(used_ms, ?2)
                 WHERE id = (SELECT source FROM memories WHERE id = ?1)",
            )?
            .execute(params![id.0, self.now_ms])?;
        }
        Ok(())
    }
}

impl Work for ListMemories {
    type Answer = Vec<Memory>;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        check_space(&self.space)?;
        check_count("limit", self.limit, 1)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Vec<Memory>, Failure> {
        let before = self.before.map_or(i64::MAX, |id| id.0);
        let mut statement = archive.connection.prepare_cached(&format!(
            "{SELECT} WHERE s.is_file = 0 AND s.name = ?1 AND m.id < ?2 ORDER BY m.id DESC LIMIT ?3"
        ))?;
        let rows = statement.query_map(params![self.space, before, at_most(self.limit)], memory)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Work for Forget {
    /// How many memories or pieces went.
    type Answer = usize;
    const WRITES: bool = true;

    fn carry_out(&self, archive: &Archive) -> Result<usize, Failure> {
        let at = &archive.connection;
        Ok(match self {
            Self::Memory(id) => at.execute("DELETE FROM memories WHERE id = ?1", [id.0])?,
            Self::Space(name) => forget_source(at, false, name)?,
            Self::Document(path) => forget_source(at, true, path)?,
        })
    }
}

/// Removes a source with all that is in it. Its memories go first and by name, so that their words go with them.
pub(super) fn forget_source(db: &Connection, is_file: bool, name: &str) -> rusqlite::Result<usize> {
    let gone = db.execute(
        "DELETE FROM memories WHERE source IN (SELECT id FROM sources WHERE is_file = ?1 AND name = ?2)",
        params![is_file, name],
    )?;
    db.execute(
        "DELETE FROM sources WHERE is_file = ?1 AND name = ?2",
        params![is_file, name],
    )?;
    Ok(gone)
}

/// The columns that [`memory`] reads.
pub(super) const SELECT: &str =
    "SELECT m.id, m.kind, m.text, m.importance, m.made_ms, m.used_ms, m.times,
    s.id, s.is_file, s.name, m.first_line, m.last_line, m.first_byte, m.end_byte
    FROM memories m JOIN sources s ON s.id = m.source";

/// A row of [`SELECT`].
pub(super) fn memory(row: &Row<'_>) -> rusqlite::Result<Memory> {
    let kind: String = row.get(1)?;
    let name: String = row.get(9)?;
    let origin = if row.get(8)? {
        Origin::Document(Place {
            document: DocumentId(row.get(7)?),
            path: name,
            lines: (row.get(10)?, row.get(11)?),
            bytes: row.get::<_, i64>(12)? as u64..row.get::<_, i64>(13)? as u64,
        })
    } else {
        Origin::Space(name)
    };
    Ok(Memory {
        id: MemoryId(row.get(0)?),
        // A kind that a newer version wrote is knowledge all the same.
        kind: MemoryKind::named(&kind).unwrap_or(MemoryKind::Semantic),
        text: row.get(2)?,
        importance: row.get(3)?,
        made_ms: row.get(4)?,
        used_ms: row.get(5)?,
        times: row.get(6)?,
        origin,
    })
}

/// The sources of a scope, as SQL takes a list. What does not exist is not in it.
pub(super) fn sources(db: &Connection, scope: &Scope) -> rusqlite::Result<String> {
    let mut ids: Vec<i64> = scope.documents.iter().map(|id| id.0).collect();
    if let Some(name) = &scope.space {
        let space: Option<i64> = db
            .prepare_cached("SELECT id FROM sources WHERE is_file = 0 AND name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        ids.extend(space);
    }
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    Ok(format!("[{}]", ids.join(",")))
}

fn space(db: &Connection, name: &str, now_ms: i64) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "INSERT INTO sources (is_file, name, made_ms, used_ms) VALUES (0, ?1, ?2, ?2)
         ON CONFLICT (is_file, name) DO UPDATE SET used_ms = max(used_ms, excluded.used_ms)",
    )?
    .execute(params![name, now_ms])?;
    let id = db
        .prepare_cached("SELECT id FROM sources WHERE is_file = 0 AND name = ?1")?
        .query_row([name], |row| row.get(0))?;
    Ok(id)
}

fn check_room(db: &Connection) -> Result<(), Failure> {
    let there: i64 = db
        .prepare_cached("SELECT coalesce(sum(memories), 0) FROM sources WHERE is_file = 0")?
        .query_row([], |row| row.get(0))?;
    if there as usize >= MEMORIES {
        let (what, limit) = ("the long-term memory", MEMORIES);
        let way_out = "forget a memory, or a space";
        return Err(StoreError::NoRoom {
            what,
            limit,
            way_out,
        }
        .into());
    }
    Ok(())
}

pub(super) fn check_scope(scope: &Scope) -> Result<(), StoreError> {
    check_count("documents", scope.documents.len(), 0)?;
    scope.space.as_deref().map_or(Ok(()), check_space)
}

pub(super) fn check_text(field: &'static str, text: &str) -> Result<(), StoreError> {
    let fits = !text.trim().is_empty() && text.len() <= TEXT_BYTES;
    let allowed = "1 byte to 16 KiB of text; a longer one is a document";
    let refused = || FieldError::new(field, text, allowed).into();
    fits.then_some(()).ok_or_else(refused)
}

fn check_space(name: &str) -> Result<(), StoreError> {
    Ok(limits::name("space", name)?)
}

fn check_importance(importance: f32) -> Result<(), StoreError> {
    let refused = || FieldError::new("importance", importance, "a number from 0 to 1").into();
    (0.0..=1.0)
        .contains(&importance)
        .then_some(())
        .ok_or_else(refused)
}

pub(super) fn check_count(
    field: &'static str,
    count: usize,
    least: usize,
) -> Result<(), StoreError> {
    let allowed = if least == 0 {
        "at most 1000"
    } else {
        "1 to 1000"
    };
    let refused = || FieldError::new(field, count, allowed).into();
    (least..=LISTED)
        .contains(&count)
        .then_some(())
        .ok_or_else(refused)
}
