//! What other processes did to the file, and what was done to it by hand: taken over as revisions of the same count, so
//! that whoever changes settings next knows what they change.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Author, Cause, Revision, Revisions, cut};
use crate::catalogue::Catalogue;
use crate::history::Record;
use crate::layers::Layers;
use crate::refusal::Refusals;

impl Revisions {
    /// Starts with what the history tells and the file sets. Without a history this is [`Revisions::start`]; `author` is
    /// who noticed what the history does not tell.
    ///
    /// # Errors
    /// All that is wrong with the file.
    pub(crate) fn resume(
        catalogue: Arc<Catalogue>,
        layers: Layers,
        records: &[Record],
        text: &str,
        author: Author,
    ) -> Result<Self, Refusals> {
        let mut revisions = Self::start(catalogue, layers, text, author.clone())?;
        let found = Arc::clone(&revisions.current);
        let mut records = records.iter();
        let first = records.find_map(|record| revisions.remembered(record));
        let Some(mut first) = first else {
            return Ok(revisions);
        };
        // What it changed is no longer known.
        first.changed = Vec::new();
        revisions.current = Arc::new(first);
        revisions.former = VecDeque::new();
        let rest: Vec<Record> = records.cloned().collect();
        revisions.follow(&rest);
        let number = revisions.after(&rest);
        if revisions.current.own != found.own {
            let own = found.own.clone();
            let planned = revisions.built(number, author, Cause::Reloaded, own)?;
            revisions.commit(planned);
        }
        Ok(revisions)
    }

    /// Takes over what was done to the file since it was read last; whether there was anything. With a bad file nothing
    /// is taken over.
    ///
    /// # Errors
    /// All that is wrong with the file.
    pub(crate) fn catch_up(
        &mut self,
        records: &[Record],
        text: &str,
        author: Author,
    ) -> Result<bool, Refusals> {
        let own = self.layers.read(&self.catalogue, text)?;
        let before = self.current.number;
        let number = self.after(records);
        // Goes on where we are, or begins after it because so much was done since; else it is another history.
        let goes_on = records.first().is_some_and(|first| first.number > before)
            || records
                .iter()
                .any(|record| record.number == before && record.own == self.current.own);
        if goes_on {
            self.follow(records);
        }
        if self.current.own != own {
            let planned = self.built(number, author, Cause::Reloaded, own)?;
            self.commit(planned);
        }
        Ok(self.current.number != before)
    }

    /// The revisions of the records that are later than the present one, each on the one before.
    fn follow(&mut self, records: &[Record]) {
        for record in records {
            if record.number > self.current.number
                && let Some(revision) = self.remembered(record)
            {
                self.commit(revision);
            }
        }
    }

    /// The number of the next revision after these and the present one.
    fn after(&self, records: &[Record]) -> u64 {
        let last = records.last().map_or(0, |record| record.number);
        last.max(self.current.number).saturating_add(1)
    }

    /// A record as a revision on the present one; `None` if this program knows other settings than the one that wrote
    /// it.
    fn remembered(&self, record: &Record) -> Option<Revision> {
        let author = Author {
            who: cut(record.who.clone()),
            at: record.at(),
        };
        self.built(record.number, author, record.cause(), record.own.clone())
            .ok()
    }
}
