//! The history as text, a line a revision, so that a half readable one is half kept: it lies beside the settings file, and
//! every process that changes settings goes on counting where it ends.
//!
//! Nothing here decides what holds: that is the settings file's.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::flat::Flat;
use crate::revisions::{Cause, Revision};

/// One revision as it is kept. It holds what the file set, secrets included, since a rollback needs them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) number: u64,
    /// Milliseconds since 1970.
    at_ms: u64,
    pub(crate) who: String,
    cause: Word,
    /// With `rolled_back`: to which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<u64>,
    pub(crate) own: Flat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Started,
    Updated,
    RolledBack,
    Reloaded,
}

impl Record {
    fn of(revision: &Revision) -> Self {
        let (cause, to) = match revision.cause {
            Cause::Started => (Word::Started, None),
            Cause::Updated => (Word::Updated, None),
            Cause::RolledBack { to } => (Word::RolledBack, Some(to)),
            Cause::Reloaded => (Word::Reloaded, None),
        };
        let at = revision.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            number: revision.number,
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            who: revision.who.clone(),
            cause,
            to,
            own: revision.own().clone(),
        }
    }

    pub(crate) fn at(&self) -> SystemTime {
        let at = UNIX_EPOCH.checked_add(Duration::from_millis(self.at_ms));
        at.unwrap_or(UNIX_EPOCH)
    }

    pub(crate) fn cause(&self) -> Cause {
        match self.cause {
            Word::Started => Cause::Started,
            Word::Updated => Cause::Updated,
            Word::RolledBack => Cause::RolledBack {
                to: self.to.unwrap_or_default(),
            },
            Word::Reloaded => Cause::Reloaded,
        }
    }
}

/// The records of a history, oldest first, and how many of its lines are none. A number that does not grow is none.
pub(crate) fn parse(text: &str) -> (Vec<Record>, usize) {
    let (mut records, mut bad) = (Vec::<Record>::new(), 0_usize);
    for line in text.lines() {
        let last = records.last().map_or(0, |last| last.number);
        match serde_json::from_str::<Record>(line) {
            Ok(record) if record.number > last => records.push(record),
            _ => bad = bad.saturating_add(1),
        }
    }
    (records, bad)
}

/// The text of a history of these revisions, oldest first; the oldest are left out where it would be longer than `most`
/// bytes.
///
/// # Errors
/// A value that JSON cannot hold; validated settings have none.
pub(crate) fn print<'a>(
    revisions: impl Iterator<Item = &'a Arc<Revision>>,
    most: usize,
) -> Result<String, serde_json::Error> {
    let lines: Result<Vec<String>, _> = revisions
        .map(|revision| serde_json::to_string(&Record::of(revision)))
        .collect();
    let lines = lines?;
    let (mut left, mut first) = (most, lines.len());
    for line in lines.iter().rev() {
        let Some(rest) = left.checked_sub(line.len().saturating_add(1)) else {
            break;
        };
        left = rest;
        first = first.saturating_sub(1);
    }
    let kept = lines.iter().skip(first);
    Ok(kept.flat_map(|line| [line.as_str(), "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> String {
        format!(
            r#"{{"number":{number},"at_ms":5,"who":"ada","cause":"updated","own":{{"ui.font_px":20}}}}"#
        )
    }

    #[test]
    fn what_is_damaged_is_left_out_and_counted() {
        let text = format!("{}\n{}\nnonsense\n{}\n{{\n", line(2), line(3), line(3));
        let (records, bad) = parse(&text);
        let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
        assert_eq!((numbers, bad), (vec![2, 3], 3));
        assert_eq!(records[0].at(), UNIX_EPOCH + Duration::from_millis(5));
        assert_eq!(records[0].cause(), Cause::Updated);
    }
}
