//! Candidates for a recall: the best by words, and the best by meaning, each as its own list in order. How the two become
//! one, and what age does to it, is for the asker to compute; nothing is written here.

use std::cmp::Ordering;

use domain::FieldError;
use rusqlite::{Connection, params};

use super::kept::{SELECT, check_count, check_scope, memory, sources};
use super::{Memory, MemoryId, Scope, Vector, query, vectors};
use crate::archive::{Archive, Failure};
use crate::conversations::at_most;
use crate::error::StoreError;
use crate::work::Work;

/// The longest text to look for, in bytes: only its first words count.
pub const TEXT: usize = 64 * 1024;

/// Asks what is remembered of something. Answered with a [`Recalled`].
#[derive(Clone, Debug, PartialEq)]
pub struct Recall {
    /// Where to look.
    pub scope: Scope,
    /// Any words, at most 64 KiB; none of them is syntax.
    pub text: String,
    /// What it means. `None`: by words alone.
    pub vector: Option<Vector>,
    /// The longest that either list may be; 1 to 1000.
    pub candidates: usize,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recalled {
    /// By words, the best first.
    pub by_words: Vec<MemoryId>,
    /// By meaning, the best first, each with the cosine of the angle, from -1 to 1.
    pub by_meaning: Vec<(MemoryId, f32)>,
    /// All of both lists, each once.
    pub memories: Vec<Memory>,
    /// How many of the scope were not compared by meaning, because their vector is missing or of another model.
    pub not_compared: usize,
}

impl Work for Recall {
    type Answer = Recalled;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        check_scope(&self.scope)?;
        check_count("candidates", self.candidates, 1)?;
        if self.text.len() > TEXT {
            return Err(FieldError::new("text", &self.text, "at most 64 KiB").into());
        }
        self.vector.as_ref().map_or(Ok(()), vectors::check)
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.vector.as_ref().map_or(0, vectors::weight)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Recalled, Failure> {
        let at = &archive.connection;
        let sources = sources(at, &self.scope)?;
        let by_words = by_words(at, &sources, &self.text, self.candidates)?;
        let (by_meaning, not_compared) = match &self.vector {
            Some(vector) => by_meaning(at, &sources, vector, self.candidates)?,
            None => (Vec::new(), count(at, &sources)?),
        };
        let mut ids: Vec<i64> = by_words.iter().map(|id| id.0).collect();
        ids.extend(by_meaning.iter().map(|(id, _)| id.0));
        ids.sort_unstable();
        ids.dedup();
        let mut statement = at.prepare_cached(&format!("{SELECT} WHERE m.id = ?1"))?;
        let memories = ids.iter().map(|id| statement.query_row([id], memory));
        Ok(Recalled {
            memories: memories.collect::<Result<_, _>>()?,
            by_words,
            by_meaning,
            not_compared,
        })
    }
}

fn by_words(
    db: &Connection,
    sources: &str,
    text: &str,
    limit: usize,
) -> Result<Vec<MemoryId>, rusqlite::Error> {
    let Some(query) = query::any_word_of(text) else {
        return Ok(Vec::new());
    };
    let mut statement = db.prepare_cached(
        "SELECT m.id FROM memories_fts JOIN memories m ON m.id = memories_fts.rowid
         WHERE memories_fts MATCH ?1 AND m.source IN (SELECT value FROM json_each(?2))
         ORDER BY bm25(memories_fts), m.used_ms DESC, m.id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![query, sources, at_most(limit)], |row| {
        row.get(0).map(MemoryId)
    })?;
    rows.collect()
}

/// Every vector of the scope is looked at: exact, and for the memories of a person fast enough. They are read in the order
/// they lie in the file; in any other order most of the time goes into reading pages again.
fn by_meaning(
    db: &Connection,
    sources: &str,
    vector: &Vector,
    limit: usize,
) -> Result<(Vec<(MemoryId, f32)>, usize), rusqlite::Error> {
    let bytes = vectors::bytes(vector);
    let mut statement = db.prepare_cached(
        "SELECT v.memory, 1.0 - vec_distance_cosine(v.embedding, ?2)
         FROM memories m INDEXED BY memories_by_source CROSS JOIN vectors v ON v.memory = m.id
         WHERE m.source IN (SELECT value FROM json_each(?1)) AND v.model = ?3 AND v.dimensions = ?4",
    )?;
    let dimensions = at_most(vector.values.len());
    let mut rows = statement.query(params![sources, bytes, vector.model, dimensions])?;
    let mut compared = 0;
    let mut best: Vec<(MemoryId, f32)> = Vec::new();
    while let Some(row) = rows.next()? {
        compared += 1;
        best.push((MemoryId(row.get(0)?), row.get(1)?));
        // Now and then, so that the list stays a few times as long as what is asked for.
        if best.len() >= limit.saturating_mul(8) {
            best.sort_unstable_by(nearest_first);
            best.truncate(limit);
        }
    }
    best.sort_unstable_by(nearest_first);
    best.truncate(limit);
    Ok((best, count(db, sources)?.saturating_sub(compared)))
}

/// The younger id first where two are as near.
fn nearest_first(one: &(MemoryId, f32), other: &(MemoryId, f32)) -> Ordering {
    other.1.total_cmp(&one.1).then(other.0.cmp(&one.0))
}

fn count(db: &Connection, sources: &str) -> Result<usize, rusqlite::Error> {
    let count: i64 = db
        .prepare_cached(
            "SELECT coalesce(sum(memories), 0) FROM sources WHERE id IN (SELECT value FROM json_each(?1))",
        )?
        .query_row([sources], |row| row.get(0))?;
    Ok(count as usize)
}
