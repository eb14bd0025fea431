//! What is asked to go when memory is needed, of whom, and when nobody is left to ask.
//!
//! One order is out at a time, those of an earlier stage first, so that no more goes than has to: whoever is asked next
//! is asked for what is missing then. Invariants: no target has two orders, nobody who was asked for nothing new is asked
//! again, a need is never called spent before everyone was asked, and waiting ends with the last deadline. Times are
//! since the ledger was opened; nothing here sends, reads a clock or waits.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Bytes;

use crate::line::WaiterId;
use crate::orders::Stage;

/// How long a target that had less than was wanted is left alone, unless something changes: long enough not to ask an
/// empty cache all day, short enough that what became idle meanwhile is found.
pub const REST: Duration = Duration::from_secs(30);

/// How long an order of a stage is waited for. Dropping entries takes milliseconds; a model goes after the step its lane
/// is in, which takes seconds on a slow processor.
pub const fn deadline(stage: Stage) -> Duration {
    match stage {
        Stage::Caches => Duration::from_secs(2),
        Stage::IdleModels => Duration::from_secs(5),
    }
}

/// Memory that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// How much. Above zero.
    pub bytes: Bytes,
    /// Which need this is. Whoever gave all that was wanted for one is asked again only for another, or if that was not
    /// all of it that counts: see [`Round::Waiter`].
    pub round: Round,
}

impl Need {
    const fn waits(&self) -> bool {
        matches!(self.round, Round::Waiter(_))
    }
}

/// Which need it is: one waiter is one need, and one reading of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Of one who waits. Not all that a target frees is leased; while each order makes the shortfall smaller, whoever said
    /// that it gave all is asked for the rest.
    Waiter(WaiterId),
    /// The reading of this number.
    Reading(u64),
}

/// What to do about a need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Send this order, and ask for the next move.
    Send {
        /// The order's number.
        number: u64,
        /// To whom.
        target: String,
        /// Bytes that are wanted.
        wanted: Bytes,
        /// How long its answer is waited for.
        until: Duration,
    },
    /// An order is out: grants wait for its answer, but not longer than this.
    Hold {
        /// The order's deadline.
        until: Duration,
    },
    /// Everyone was asked, and the need is still there. With `asked` false there was nobody to ask.
    Spent {
        /// Whether that is the last word: there was someone to ask, and nobody whose late answer may still help who waits.
        asked: bool,
    },
    /// There is no need.
    Rest,
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The order's number.
    pub number: u64,
    /// Bytes that were wanted.
    pub wanted: Bytes,
    /// Bytes that the target says it freed; `None` if it did not answer in time.
    pub freed: Option<Bytes>,
    /// From the order to its answer, or to its deadline.
    pub took: Duration,
}

/// An order whose answer is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderInfo {
    /// Its number.
    pub number: u64,
    /// Bytes that are wanted.
    pub wanted: Bytes,
    /// When it was sent, since the ledger was opened.
    pub since: Duration,
    /// Until when it is waited for; after that the target is not asked again before it has answered.
    pub until: Duration,
}

/// All targets' orders.
#[derive(Default)]
pub struct Response {
    numbers: u64,
    tracks: BTreeMap<String, Track>,
}

/// One target.
struct Track {
    stage: Stage,
    out: Option<Out>,
    rest: Option<Tired>,
    last: Option<Answer>,
}

struct Out {
    order: OrderInfo,
    round: Round,
    late: bool,
}

/// Why a target is not asked.
enum Tired {
    /// It gave all that was wanted for this need.
    Need(Need),
    /// It had less than was wanted, and is left alone until then.
    Until(Duration),
}

impl Tired {
    fn is_over(&self, now: Duration, need: Need) -> bool {
        match self {
            Self::Need(Need { bytes, round }) => {
                *round != need.round || (need.waits() && need.bytes < *bytes)
            }
            Self::Until(until) => now >= *until,
        }
    }
}

impl Response {
    /// There is a target of this name, or it comes in another stage now. Its order, if one is out, stays out.
    pub fn enlist(&mut self, name: &str, stage: Stage) {
        if let Some(track) = self.tracks.get_mut(name) {
            track.stage = stage;
            track.rest = None;
        } else {
            let track = Track {
                stage,
                out: None,
                rest: None,
                last: None,
            };
            self.tracks.insert(name.to_owned(), track);
        }
    }

    /// The targets are these and no others; what was asked of others is not waited for.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.tracks.retain(|name, _| is_there(name));
    }

    /// Something changed that may let a target find what it did not have: it is asked again.
    pub fn changed(&mut self) {
        for track in self.tracks.values_mut() {
            // Who gave all had enough: only another need asks for more.
            track.rest.take_if(|rest| matches!(rest, Tired::Until(_)));
        }
    }

    /// As [`Response::changed`], but not for this one: it was being asked, and it may be its own doing.
    pub fn changed_beside(&mut self, asked: &str) {
        for (_, track) in self.tracks.iter_mut().filter(|(name, _)| *name != asked) {
            track.rest.take_if(|rest| matches!(rest, Tired::Until(_)));
        }
    }

    /// What to do at `now` about `need`.
    pub fn next(&mut self, now: Duration, need: Option<Need>) -> Move {
        let Some(need) = need else {
            return Move::Rest;
        };
        if let Some(until) = self.deadline() {
            return Move::Hold { until };
        }
        let ready = self
            .tracks
            .iter_mut()
            .filter(|(_, track)| track.is_ready(now, need))
            .min_by_key(|(_, track)| track.stage);
        let Some((name, track)) = ready else {
            let may_come = need.waits() && self.is_any_out();
            let asked = !self.tracks.is_empty() && !may_come;
            return Move::Spent { asked };
        };
        self.numbers = self.numbers.saturating_add(1);
        let until = now.saturating_add(deadline(track.stage));
        track.out = Some(Out {
            order: OrderInfo {
                number: self.numbers,
                wanted: need.bytes,
                since: now,
                until,
            },
            round: need.round,
            late: false,
        });
        Move::Send {
            number: self.numbers,
            target: name.clone(),
            wanted: need.bytes,
            until,
        }
    }

    /// An order was answered: who it was, and how it ended. `None` for one that nobody is waiting for any more. An answer
    /// after the deadline is told, too; only now its target may be asked again.
    pub fn answered(
        &mut self,
        now: Duration,
        number: u64,
        freed: Bytes,
    ) -> Option<(String, Answer)> {
        let (name, track) = self
            .tracks
            .iter_mut()
            .find(|(_, track)| track.out.as_ref().is_some_and(|o| o.order.number == number))?;
        let Out { order, round, .. } = track.out.take()?;
        let answer = Answer {
            number,
            wanted: order.wanted,
            freed: Some(freed),
            took: now.saturating_sub(order.since),
        };
        track.rest = Some(if freed >= order.wanted {
            let bytes = order.wanted;
            Tired::Need(Need { bytes, round })
        } else {
            Tired::Until(now.saturating_add(REST))
        });
        track.last = Some(answer.clone());
        Some((name.clone(), answer))
    }

    /// Orders whose deadline is over at `now`, once each: they are not waited for any more.
    pub fn lapsed(&mut self, now: Duration) -> Vec<(String, Answer)> {
        let mut lapsed = Vec::new();
        for (name, track) in &mut self.tracks {
            let due = |out: &&mut Out| !out.late && now >= out.order.until;
            let Some(out) = track.out.as_mut().filter(due) else {
                continue;
            };
            out.late = true;
            let answer = Answer {
                number: out.order.number,
                wanted: out.order.wanted,
                freed: None,
                took: now.saturating_sub(out.order.since),
            };
            track.last = Some(answer.clone());
            lapsed.push((name.clone(), answer));
        }
        lapsed
    }

    /// Whether any order has no answer, late or not.
    fn is_any_out(&self) -> bool {
        self.tracks.values().any(|track| track.out.is_some())
    }

    /// Whether this order has no answer, late or not.
    pub fn is_out(&self, number: u64) -> bool {
        let outs = self.tracks.values().filter_map(|track| track.out.as_ref());
        outs.into_iter().any(|out| out.order.number == number)
    }

    /// When the order that is waited for is given up.
    pub fn deadline(&self) -> Option<Duration> {
        let waited_for = |out: &&Out| !out.late;
        self.tracks
            .values()
            .filter_map(|track| track.out.as_ref().filter(waited_for))
            .map(|out| out.order.until)
            .min()
    }

    /// Whose order is waited for.
    pub fn asked(&self) -> Option<&str> {
        let waited_for = |track: &Track| track.out.as_ref().is_some_and(|out| !out.late);
        let asked = self.tracks.iter().find(|(_, track)| waited_for(track));
        asked.map(|(name, _)| name.as_str())
    }

    /// Each target: its name, its stage, its order and how the last one ended.
    pub fn tracks(
        &self,
    ) -> impl Iterator<Item = (&str, Stage, Option<&OrderInfo>, Option<&Answer>)> {
        self.tracks.iter().map(|(name, track)| {
            let out = track.out.as_ref().map(|out| &out.order);
            (name.as_str(), track.stage, out, track.last.as_ref())
        })
    }
}

impl Track {
    fn is_ready(&self, now: Duration, need: Need) -> bool {
        let rested = self.rest.as_ref().is_none_or(|r| r.is_over(now, need));
        self.out.is_none() && rested
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
