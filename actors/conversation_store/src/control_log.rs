//! Acts of control: who changed what while the process ran. Kept for a time, and no more than so many.

use rusqlite::{Connection, Row, params};

use crate::archive::{Archive, Failure};
use crate::conversations::{at_most, counted, numbered};
use crate::error::StoreError;
use crate::limits;
use crate::messages::{ControlRecord, LISTED, LogControl, ReadControlLog};
use crate::work::Work;

/// Acts that are kept: months of a busy host, in some megabytes.
pub const KEPT: usize = 10_000;
/// How long one is kept, in milliseconds: 30 days.
pub const KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// The longest detail, in bytes: a page of settings.
pub const DETAIL: usize = 64 << 10;

impl Work for LogControl {
    type Answer = ();
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        limits::name("actor", &self.actor)?;
        limits::name("action", &self.action)?;
        if self.detail.len() > DETAIL {
            let bytes = self.detail.len();
            return Err(domain::FieldError::new("detail", bytes, "at most 64 KiB").into());
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.detail.len()
    }

    fn carry_out(&self, archive: &Archive) -> Result<(), Failure> {
        let at = &archive.connection;
        at.prepare_cached(
            "INSERT INTO control_log (at_ms, actor, action, detail) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![self.now_ms, self.actor, self.action, self.detail])?;
        let oldest = at.last_insert_rowid().saturating_sub(at_most(KEPT));
        at.prepare_cached("DELETE FROM control_log WHERE number <= ?1")?
            .execute([oldest])?;
        archive.touch_log();
        Ok(())
    }
}

impl Work for ReadControlLog {
    type Answer = Vec<ControlRecord>;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        Ok(limits::between("limit", self.limit, LISTED, "1 to 1000")?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Vec<ControlRecord>, Failure> {
        let mut statement = archive.connection.prepare_cached(
            "SELECT number, at_ms, actor, action, detail FROM control_log WHERE number < ?1
             ORDER BY number DESC LIMIT ?2",
        )?;
        let before = self.before.map_or(i64::MAX, numbered);
        let one = |row: &Row<'_>| {
            Ok(ControlRecord {
                number: counted(row.get(0)?),
                at_ms: row.get(1)?,
                actor: row.get(2)?,
                action: row.get(3)?,
                detail: row.get(4)?,
            })
        };
        let records: rusqlite::Result<_> = statement
            .query_map(params![before, at_most(self.limit)], one)?
            .collect();
        Ok(records?)
    }
}

/// What the log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) records: usize,
    /// When the oldest is due to go.
    pub(crate) due_ms: Option<i64>,
}

pub(crate) fn holding(at: &Connection) -> rusqlite::Result<Holding> {
    at.prepare_cached("SELECT count(*), min(at_ms) FROM control_log")?
        .query_row([], |row| {
            let (records, oldest): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
            Ok(Holding {
                records: usize::try_from(records).unwrap_or_default(),
                due_ms: oldest.map(|oldest| oldest.saturating_add(KEPT_MS)),
            })
        })
}

/// Asks to drop what is too old. Answered with how many were dropped, and what is left.
pub(crate) struct DropOld {
    pub(crate) now_ms: i64,
}

impl Work for DropOld {
    type Answer = (usize, Holding);
    const WRITES: bool = true;

    fn carry_out(&self, archive: &Archive) -> Result<Self::Answer, Failure> {
        let old = self.now_ms.saturating_sub(KEPT_MS);
        let dropped = archive
            .connection
            .prepare_cached("DELETE FROM control_log WHERE at_ms <= ?1")?
            .execute([old])?;
        archive.touch_log();
        Ok((dropped, holding(&archive.connection)?))
    }
}
