//! The last sweeps, so that "who dropped this, and when" has an answer.
//!
//! Bounded: the oldest goes when a new one comes. Nothing here grows.

use std::collections::VecDeque;
use std::time::Duration;

use domain::Bytes;
use runtime::clock::Stamp;

use crate::roster::{Goal, Swept};

/// Sweeps kept: enough for a bad hour of some caches, in less than 100 KiB with the longest names.
pub const KEPT: usize = 256;

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was carried out.
    Swept(Swept),
    /// It was dropped: nothing was swept.
    Dropped,
    /// No answer in time.
    Silent,
    /// The cache's channel was full: an earlier order still lies there.
    Full,
}

impl Ending {
    /// What it freed, as far as is known.
    pub fn freed(self) -> Bytes {
        match self {
            Self::Swept(swept) => swept.freed_bytes,
            Self::Dropped | Self::Silent | Self::Full => Bytes::ZERO,
        }
    }
}

/// One sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Counts from 1 since the tree began.
    pub number: u64,
    /// Which cache.
    pub cache: String,
    /// What was asked for.
    pub goal: Goal,
    /// How it ended.
    pub ending: Ending,
    /// When it ended.
    pub at: Stamp,
    /// From the order to its end.
    pub took: Duration,
}

/// The last sweeps.
#[derive(Default)]
pub struct Sweeps {
    entries: VecDeque<Sweep>,
    count: u64,
}

impl Sweeps {
    /// Writes a sweep down, and gives it its number.
    pub fn note(&mut self, mut sweep: Sweep) -> Sweep {
        self.count += 1;
        sweep.number = self.count;
        if self.entries.len() >= KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(sweep.clone());
        sweep
    }

    /// Those that are kept, oldest first.
    pub fn kept(&self) -> Vec<Sweep> {
        self.entries.iter().cloned().collect()
    }

    /// How many are not kept any more.
    pub fn forgotten(&self) -> u64 {
        self.count.saturating_sub(self.entries.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_and_the_others_counted() {
        let mut sweeps = Sweeps::default();
        let sweep = Sweep {
            number: 0,
            cache: "a".to_owned(),
            goal: Goal::default(),
            ending: Ending::Silent,
            at: Stamp(0),
            took: Duration::ZERO,
        };
        for number in 1..=KEPT as u64 + 3 {
            assert_eq!(sweeps.note(sweep.clone()).number, number);
        }
        let kept = sweeps.kept();
        assert_eq!((kept.len(), kept[0].number), (KEPT, 4));
        assert_eq!(sweeps.forgotten(), 3);
    }
}
