//! Why something was refused, and why the budget or the pressure is what it is: the last decisions with their figures.
//!
//! Bounded, because whoever is refused asks again: the same decision twice in a row is one entry that counts, and the
//! oldest entry goes when a new one comes. Invariants: entries are in order, `number` has no gaps, nothing here grows.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use domain::Bytes;

use crate::events::Grown;
use crate::limit::Readings;
use crate::line::Waiter;
use crate::orders::Stage;
use crate::pressure::{Level, Pressure};
use crate::reserve_error::ReserveError;

/// Entries kept: enough for a bad hour, in little more than 100 KiB with the longest words.
pub const KEPT: usize = 256;
/// Bytes of an owner or a purpose that are kept: they are for a person to read, and who wrote them is not asked.
const WORDS: usize = 120;

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// A lease was refused.
    Refused {
        /// Who asked.
        owner: String,
        /// What for.
        purpose: String,
        /// Bytes asked for; zero is always refused.
        needed: Bytes,
        /// Bytes that could be leased then.
        available: Bytes,
        /// The budget then.
        limit: Bytes,
        /// How many waited before it; they were not overtaken.
        waiting: usize,
    },
    /// A lease was granted to one who waited.
    Granted {
        /// Who waited.
        owner: String,
        /// What for.
        purpose: String,
        /// How many bytes.
        bytes: Bytes,
        /// How long.
        waited: Duration,
    },
    /// Someone waited to their deadline in vain.
    GaveUp {
        /// Who waited.
        owner: String,
        /// What for.
        purpose: String,
        /// Bytes asked for.
        needed: Bytes,
        /// Bytes that were free then.
        available: Bytes,
        /// The budget then.
        limit: Bytes,
        /// How long.
        waited: Duration,
        /// How many were before it.
        ahead: usize,
    },
    /// Someone was asked to let memory go, and answered, or did not in time. One that did not is told again when it does.
    Ordered {
        /// The order's number.
        order: u64,
        /// Who was asked.
        target: String,
        /// What of.
        stage: Stage,
        /// Bytes that were wanted.
        wanted: Bytes,
        /// Bytes that it says it freed; `None` if it had not answered at the deadline.
        freed: Option<Bytes>,
        /// From the order to the answer, or to the deadline.
        took: Duration,
        /// Why it was asked.
        reason: String,
    },
    /// The kernel had no memory left for a control group of this process, or killed a process in it.
    OutOfMemory {
        /// Where, and how often since the look before.
        grown: Grown,
    },
    /// The budget changed.
    Budget {
        /// What it was.
        from: Bytes,
        /// What it is.
        to: Bytes,
        /// What was leased then; it may be more than `to`.
        leased: Bytes,
        /// What the machine said.
        readings: Readings,
        /// What was configured.
        configured: Option<Bytes>,
    },
    /// The pressure changed its level.
    Level {
        /// What it was.
        from: Level,
        /// What it is, and of what how much is in use.
        to: Pressure,
    },
}

impl Decided {
    /// The entry for a refusal, when `limit` held and `available` was left.
    pub fn refused(
        (owner, purpose): (&str, &str),
        error: &ReserveError,
        (limit, available): (Bytes, Bytes),
    ) -> Self {
        let (owner, purpose) = (cut(owner), cut(purpose));
        if let ReserveError::GaveUp { waited, ahead, .. } = error {
            return Self::GaveUp {
                owner,
                purpose,
                needed: error.needed(),
                available,
                limit,
                waited: *waited,
                ahead: *ahead,
            };
        }
        Self::Refused {
            owner,
            purpose,
            needed: error.needed(),
            // A full machine lends nothing, whatever the ledger has left.
            available: match error {
                ReserveError::Refused { available, .. } => *available,
                _ => available,
            },
            limit,
            waiting: error.waiting(),
        }
    }

    /// The entry for the end of a wait.
    pub fn granted(waiter: &Waiter, at: Duration) -> Self {
        Self::Granted {
            owner: cut(&waiter.owner),
            purpose: cut(&waiter.purpose),
            bytes: waiter.bytes,
            waited: at.saturating_sub(waiter.since),
        }
    }
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused {
                owner,
                purpose,
                needed,
                available,
                limit,
                waiting,
            } => {
                write!(
                    f,
                    "refused {owner} {needed} for {purpose}: {available} available of {limit}"
                )?;
                match waiting {
                    0 => Ok(()),
                    waiting => write!(f, ", {waiting} wait before it"),
                }
            }
            Self::Granted {
                owner,
                purpose,
                bytes,
                waited,
            } => write!(
                f,
                "granted {owner} {bytes} for {purpose} after {waited:?} in line"
            ),
            Self::GaveUp {
                owner,
                purpose,
                needed,
                available,
                limit,
                waited,
                ahead,
            } => write!(
                f,
                "{owner} gave up after {waited:?} in line, {ahead} before it: {needed} needed for {purpose}, {available} \
                 available of {limit}"
            ),
            Self::Ordered {
                order,
                target,
                stage,
                wanted,
                freed,
                took,
                reason,
            } => {
                write!(f, "order {order} to {target} for {wanted} of {stage}: ")?;
                match freed {
                    Some(freed) => write!(f, "{freed} freed after {took:?}")?,
                    None => write!(f, "no answer within {took:?}")?,
                }
                write!(f, "; {reason}")
            }
            Self::OutOfMemory { grown } => write!(f, "the kernel ran out of memory in {grown}"),
            Self::Budget {
                from, to, leased, ..
            } => write!(f, "budget from {from} to {to}, {leased} leased"),
            Self::Level { from, to } => write!(f, "pressure from {from} to {to}"),
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Counts from 1 over the life of the ledger.
    pub number: u64,
    /// When it was last decided, since the ledger was opened.
    pub at: Duration,
    /// How often in a row.
    pub times: u64,
    /// What.
    pub what: Decided,
}

/// The last decisions.
#[derive(Default)]
pub struct Decisions {
    entries: VecDeque<Decision>,
    count: u64,
}

impl Decisions {
    /// Writes a decision down.
    pub fn note(&mut self, at: Duration, what: Decided) {
        if let Some(last) = self.entries.back_mut()
            && last.what == what
        {
            last.times = last.times.saturating_add(1);
            last.at = at;
            return;
        }
        if self.entries.len() >= KEPT {
            self.entries.pop_front();
        }
        self.count = self.count.saturating_add(1);
        self.entries.push_back(Decision {
            number: self.count,
            at,
            times: 1,
            what,
        });
    }

    /// Those kept, oldest first.
    pub fn kept(&self) -> Vec<Decision> {
        self.entries.iter().cloned().collect()
    }

    /// How many older ones are gone.
    pub fn forgotten(&self) -> u64 {
        self.count
            .saturating_sub(u64::try_from(self.entries.len()).unwrap_or(u64::MAX))
    }
}

/// The beginning of `text`, whole characters only.
pub(crate) fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(WORDS);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(to: u64) -> Decided {
        Decided::Budget {
            from: Bytes::ZERO,
            to: Bytes(to),
            leased: Bytes(7),
            readings: Readings::default(),
            configured: None,
        }
    }

    #[test]
    fn the_same_again_is_one_entry_that_counts() {
        let mut log = Decisions::default();
        for (second, to) in [(1, 5), (2, 5), (3, 6), (4, 5)] {
            log.note(Duration::from_secs(second), budget(to));
        }
        let seen: Vec<_> = log
            .kept()
            .iter()
            .map(|d| (d.number, d.at.as_secs(), d.times))
            .collect();
        assert_eq!(seen, [(1, 2, 2), (2, 3, 1), (3, 4, 1)]);
        assert_eq!(log.forgotten(), 0);
    }

    #[test]
    fn a_refusal_keeps_its_figures_and_the_beginning_of_long_words() {
        let owner = "ü".repeat(100);
        let zero = ReserveError::ZeroBytes {
            owner: String::new(),
            purpose: String::new(),
        };
        let refused = ReserveError::Refused {
            purpose: "kv".to_owned(),
            needed: Bytes(31),
            available: Bytes(30),
            limit: Bytes(100),
            waiting: 2,
        };
        for (error, asked, tail) in [(zero, 0, ""), (refused, 31, ", 2 wait before it")] {
            let figures = (Bytes(100), Bytes(30));
            let what = Decided::refused((&owner, "kv"), &error, figures);
            assert_eq!(
                what.to_string(),
                format!(
                    "refused {} {asked} B for kv: 30 B available of 100 B{tail}",
                    "ü".repeat(60)
                )
            );
        }
    }

    #[test]
    fn the_end_of_a_wait_says_how_long_it_was() {
        let waiter = Waiter {
            owner: "lane".to_owned(),
            purpose: "kv".to_owned(),
            bytes: Bytes(31),
            since: Duration::from_secs(2),
            deadline: Duration::from_secs(9),
        };
        let granted = Decided::granted(&waiter, Duration::from_secs(5));
        assert_eq!(
            granted.to_string(),
            "granted lane 31 B for kv after 3s in line"
        );
        let error = ReserveError::GaveUp {
            purpose: "kv".to_owned(),
            needed: Bytes(31),
            available: Bytes(30),
            limit: Bytes(100),
            waited: Duration::from_secs(7),
            ahead: 1,
        };
        let figures = (Bytes(100), Bytes(30));
        assert_eq!(
            Decided::refused(("lane", "kv"), &error, figures).to_string(),
            "lane gave up after 7s in line, 1 before it: 31 B needed for kv, 30 B available of 100 B"
        );
    }

    #[test]
    fn changes_say_from_what_to_what() {
        assert_eq!(
            budget(1024).to_string(),
            "budget from 0 B to 1.0 KiB, 7 B leased"
        );
        let level = Decided::Level {
            from: Level::High,
            to: Pressure::default(),
        };
        assert_eq!(
            level.to_string(),
            "pressure from high to low: 0.0% of the budget is leased"
        );
    }

    proptest! {
        #[test]
        fn the_last_are_kept_in_order_and_no_more(all in prop::collection::vec(0u64..4, 0..700)) {
            let mut log = Decisions::default();
            for (at, to) in all.iter().enumerate() {
                log.note(Duration::from_secs(at as u64), budget(*to));
            }
            let kept = log.kept();
            let mut different = all.clone();
            different.dedup();
            prop_assert_eq!(kept.len(), different.len().min(KEPT));
            prop_assert_eq!(log.forgotten() + kept.len() as u64, different.len() as u64);
            for (entry, to) in kept.iter().rev().zip(different.iter().rev()) {
                prop_assert_eq!(&entry.what, &budget(*to));
            }
            prop_assert!(kept.windows(2).all(|two| two[0].number + 1 == two[1].number));
        }
    }
}
