//! Meanings at rest: one vector for each memory, with the model that made it. When another model is used, what it has not
//! seen yet is listed, and its vector takes the place of the old one.

use domain::FieldError;
use rusqlite::{Connection, params};

use super::kept::{check_count, check_scope, sources};
use super::{MemoryId, Scope, Vector};
use crate::archive::{Archive, Failure};
use crate::conversations::at_most;
use crate::error::StoreError;
use crate::work::Work;

/// Numbers in a vector: several times what the models of this size have.
pub const DIMENSIONS: usize = 4096;

/// Wishes vectors kept that were computed later. Answered with how many had a memory: those of memories that are gone
/// meanwhile are passed over.
#[derive(Clone, Debug, PartialEq)]
pub struct PutVectors {
    /// At most 1000, each with its memory.
    pub vectors: Vec<(MemoryId, Vector)>,
}

/// Which memories one model has not seen yet, oldest first. Answered with their names and texts.
#[derive(Clone, Debug, PartialEq)]
pub struct ListUnembedded {
    /// Where to look.
    pub scope: Scope,
    /// The model.
    pub model: String,
    /// 1 to 1000.
    pub limit: usize,
}

impl Work for PutVectors {
    type Answer = usize;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        check_count("vectors", self.vectors.len(), 0)?;
        self.vectors
            .iter()
            .try_for_each(|(_, vector)| check(vector))
    }

    fn bytes(&self) -> usize {
        self.vectors.iter().map(|(_, vector)| weight(vector)).sum()
    }

    fn carry_out(&self, archive: &Archive) -> Result<usize, Failure> {
        let mut kept = 0;
        for (id, vector) in &self.vectors {
            kept += put(&archive.connection, *id, vector)?;
        }
        Ok(kept)
    }
}

impl Work for ListUnembedded {
    type Answer = Vec<(MemoryId, String)>;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        check_scope(&self.scope)?;
        check_count("limit", self.limit, 1)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Self::Answer, Failure> {
        let at = &archive.connection;
        let sources = sources(at, &self.scope)?;
        let mut statement = at.prepare_cached(
            "SELECT m.id, m.text FROM memories m LEFT JOIN vectors v ON v.memory = m.id AND v.model = ?2
             WHERE m.source IN (SELECT value FROM json_each(?1)) AND v.memory IS NULL ORDER BY m.id LIMIT ?3",
        )?;
        let given = params![sources, self.model, at_most(self.limit)];
        let rows = statement.query_map(given, |row| Ok((MemoryId(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

pub(super) fn put(at: &Connection, id: MemoryId, vector: &Vector) -> rusqlite::Result<usize> {
    at.prepare_cached(
        "INSERT INTO vectors (memory, model, dimensions, embedding)
         SELECT id, ?2, ?3, ?4 FROM memories WHERE id = ?1
         ON CONFLICT (memory) DO UPDATE SET
             model = excluded.model, dimensions = excluded.dimensions, embedding = excluded.embedding",
    )?
    .execute(params![id.0, vector.model, at_most(vector.values.len()), bytes(vector)])
}

/// As sqlite-vec reads them: 32-bit floats in the machine's order.
pub(super) fn bytes(vector: &Vector) -> Vec<u8> {
    vector
        .values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect()
}

/// What it weighs while it waits for the disk.
pub(super) fn weight(vector: &Vector) -> usize {
    size_of_val(vector.values.as_slice()) + vector.model.len()
}

pub(super) fn check(vector: &Vector) -> Result<(), StoreError> {
    let refuse = |value: String, allowed| Err(FieldError::new("vector", value, allowed).into());
    let count = vector.values.len();
    if !(1..=DIMENSIONS).contains(&count) {
        return refuse(format!("{count} numbers"), "1 to 4096 numbers");
    }
    let square: f32 = vector.values.iter().map(|value| value * value).sum();
    if !square.is_normal() {
        return refuse(
            format!("of length {}", square.sqrt()),
            "finite numbers, not all of them zero",
        );
    }
    Ok(crate::limits::name("vector.model", &vector.model)?)
}
