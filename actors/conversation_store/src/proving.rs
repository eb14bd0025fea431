//! For tests of the cores: one request, or some together, carried out without an actor.

use crate::archive::{Archive, Failure};
use crate::batch::{self, Errand};
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::work::Work;

pub(crate) const NOW: i64 = 1_700_000_000_000;

/// A request that keeps its answer.
pub(crate) struct Once<W: Work> {
    work: W,
    pub(crate) answer: Option<Result<W::Answer, StoreError>>,
}

impl<W: Work> Once<W> {
    pub(crate) fn new(work: W) -> Self {
        let answer = work.check().err().map(Err);
        Self { work, answer }
    }
}

impl<W: Work> Errand for Once<W> {
    fn name(&self) -> &'static str {
        std::any::type_name::<W>()
    }

    fn writes(&self) -> bool {
        W::WRITES
    }

    fn carry_out(&mut self, archive: &Archive) -> Result<(), Failure> {
        self.answer = Some(Ok(self.work.carry_out(archive)?));
        Ok(())
    }

    fn refuse(&mut self, error: StoreError) {
        self.answer = Some(Err(error));
    }
}

/// Does one thing, in a transaction of its own.
pub(crate) fn ask<W: Work>(archive: &Archive, work: W) -> Result<W::Answer, StoreError> {
    let mut one = [Box::new(Once::new(work))];
    if one[0].answer.is_none() {
        batch::carry_out(archive, &mut one);
    }
    let [one] = one;
    one.answer.unwrap()
}

pub(crate) fn in_memory() -> Archive {
    Archive::open(&StoreConfig::in_memory(), NOW).unwrap()
}
