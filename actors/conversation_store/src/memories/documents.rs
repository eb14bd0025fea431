//! Documents, cut by whoever read them. One path is one document: put again with another digest, its old pieces go in the
//! same transaction as the new ones come. They are copies of files, so the one unused for longest makes room.

use domain::FieldError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::kept::{check_count, check_text, forget_source};
use super::{ContentHash, Document, DocumentId, MemoryKind, Piece};
use crate::archive::{Archive, Failure};
use crate::conversations::at_most;
use crate::error::StoreError;
use crate::work::Work;

/// Pieces of one document: a book.
pub const DOCUMENT_PIECES: usize = 8_192;
/// Pieces of all documents together: some twenty books. A recall looks only at the documents it is told.
pub const PIECES: usize = 32_768;
/// What a piece of a document weighs, next to a memory's importance.
pub const IMPORTANCE: f32 = 0.5;
/// A path as the system takes it.
const PATH_BYTES: usize = 4096;

/// Wishes a document kept. Answered with a [`DocumentPut`].
#[derive(Clone, Debug, PartialEq)]
pub struct PutDocument {
    /// Its path, as it will be cited; 1 to 4096 bytes.
    pub path: String,
    /// The sha256 of its bytes.
    pub digest: ContentHash,
    /// What it was cut into; at most 8192.
    pub pieces: Vec<Piece>,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: i64,
}

/// The document is here.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentPut {
    /// Which.
    pub document: Document,
    /// Whether its pieces were written; false if the same digest was here.
    pub is_changed: bool,
    /// The paths of documents that had to make room.
    pub dropped: Vec<String>,
}

/// Asks for the document of a path. Answered with a [`Document`], if it is here.
#[derive(Clone, Debug, PartialEq)]
pub struct FindDocument {
    /// As it was put.
    pub path: String,
}

/// Asks for documents, the last used first. Answered with [`Document`]s.
#[derive(Clone, Debug, PartialEq)]
pub struct ListDocuments {
    /// 1 to 1000.
    pub limit: usize,
}

impl Work for PutDocument {
    type Answer = DocumentPut;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        check_path(&self.path)?;
        if self.pieces.len() > DOCUMENT_PIECES {
            let (what, limit) = ("one document", DOCUMENT_PIECES);
            let way_out = "give it in parts";
            return Err(StoreError::NoRoom {
                what,
                limit,
                way_out,
            });
        }
        self.pieces
            .iter()
            .try_for_each(|piece| check_text("pieces[].text", &piece.text))
    }

    fn bytes(&self) -> usize {
        self.pieces
            .iter()
            .map(|piece| piece.text.len() + size_of::<Piece>())
            .sum()
    }

    fn carry_out(&self, archive: &Archive) -> Result<DocumentPut, Failure> {
        let at = &archive.connection;
        let known = find(at, &self.path)?;
        let is_changed = known
            .as_ref()
            .is_none_or(|known| known.digest != self.digest);
        let mut dropped = Vec::new();
        if is_changed {
            let made_ms = known.map_or(self.now_ms, |known| known.made_ms);
            forget_source(at, true, &self.path)?;
            dropped = make_room(at, self.pieces.len())?;
            let source = at.query_row(
                "INSERT INTO sources (is_file, name, digest, made_ms, used_ms) VALUES (1, ?1, ?2, ?3, ?4)
                 RETURNING id",
                params![self.path, self.digest, made_ms, self.now_ms],
                |row| row.get(0),
            )?;
            for piece in &self.pieces {
                insert(at, source, piece, self.now_ms)?;
            }
        } else {
            at.execute(
                "UPDATE sources SET used_ms = max(used_ms, ?2) WHERE is_file = 1 AND name = ?1",
                params![self.path, self.now_ms],
            )?;
        }
        let document = find(at, &self.path)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        Ok(DocumentPut {
            document,
            is_changed,
            dropped,
        })
    }
}

impl Work for FindDocument {
    type Answer = Option<Document>;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        check_path(&self.path)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Option<Document>, Failure> {
        Ok(find(&archive.connection, &self.path)?)
    }
}

impl Work for ListDocuments {
    type Answer = Vec<Document>;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        check_count("limit", self.limit, 1)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Vec<Document>, Failure> {
        let mut statement = archive.connection.prepare_cached(&format!(
            "{SELECT} WHERE s.is_file = 1 ORDER BY s.used_ms DESC, s.id DESC LIMIT ?1"
        ))?;
        let rows = statement.query_map([at_most(self.limit)], document)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn find(at: &Connection, path: &str) -> rusqlite::Result<Option<Document>> {
    at.prepare_cached(&format!("{SELECT} WHERE s.is_file = 1 AND s.name = ?1"))?
        .query_row([path], document)
        .optional()
}

const SELECT: &str =
    "SELECT s.id, s.name, s.digest, s.made_ms, s.used_ms, s.memories FROM sources s";

fn document(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        id: DocumentId(row.get(0)?),
        path: row.get(1)?,
        digest: row.get(2)?,
        made_ms: row.get(3)?,
        used_ms: row.get(4)?,
        pieces: row.get(5)?,
    })
}

/// The same words twice in one document are one piece: the first.
fn insert(db: &Connection, source: i64, piece: &Piece, now_ms: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR IGNORE INTO memories
             (source, kind, text, hash, importance, made_ms, used_ms, first_line, last_line, first_byte, end_byte)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        source,
        MemoryKind::Semantic.name(),
        piece.text,
        piece.hash,
        IMPORTANCE,
        now_ms,
        piece.lines.0,
        piece.lines.1,
        piece.bytes.start.cast_signed(),
        piece.bytes.end.cast_signed(),
    ])?;
    Ok(())
}

/// Drops what was unused for longest until `wanted` pieces fit.
fn make_room(db: &Connection, wanted: usize) -> rusqlite::Result<Vec<String>> {
    let mut dropped = Vec::new();
    loop {
        let there: i64 = db.query_row(
            "SELECT coalesce(sum(memories), 0) FROM sources WHERE is_file = 1",
            [],
            |row| row.get(0),
        )?;
        if there as usize + wanted <= PIECES {
            return Ok(dropped);
        }
        let oldest: Option<String> = db
            .query_row(
                "SELECT name FROM sources WHERE is_file = 1 ORDER BY used_ms, id LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()?;
        let Some(oldest) = oldest else {
            return Ok(dropped);
        };
        forget_source(db, true, &oldest)?;
        dropped.push(oldest);
    }
}

fn check_path(path: &str) -> Result<(), StoreError> {
    let fits = (1..=PATH_BYTES).contains(&path.len());
    let refused = || FieldError::new("path", path, "1 to 4096 bytes").into();
    fits.then_some(()).ok_or_else(refused)
}
