//! How long messages are handled, counted in buckets: plain numbers under the lock of the actor's place.
//!
//! A clock read costs a fifth of a message, so not every handler is timed. Those that wait are, each from its first wait
//! on. Of the others one in [`ONE_IN`] is, from its beginning, and stands for all of them.

use std::time::Duration;

/// Of the messages whose handlers never wait, one in so many is timed and counts so often.
pub(crate) const ONE_IN: u64 = 64;

/// How many messages were handled within which time; an estimate for handlers that never wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handling {
    /// For each of [`Handling::BOUNDS`], and then beyond all of them: messages that took so long and longer than the bound
    /// before.
    pub counts: [u64; 9],
    /// All of them together.
    pub total: Duration,
}

impl Handling {
    /// Upper bounds: from an empty handler to one that is past the default budget.
    pub const BOUNDS: [Duration; 8] = [
        Duration::from_micros(10),
        Duration::from_micros(100),
        Duration::from_millis(1),
        Duration::from_millis(10),
        Duration::from_millis(100),
        Duration::from_secs(1),
        Duration::from_secs(10),
        Duration::from_mins(1),
    ];

    /// All that were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn note(&mut self, took: Duration, weight: u64) {
        let bounds = Self::BOUNDS.iter();
        let at = bounds.take_while(|bound| took > **bound).count();
        if let Some(count) = self.counts.get_mut(at) {
            *count += weight;
        }
        let times = u32::try_from(weight).unwrap_or(u32::MAX);
        self.total = self.total.saturating_add(took.saturating_mul(times));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, more) in self.counts.iter_mut().zip(other.counts) {
            *mine += more;
        }
        self.total = self.total.saturating_add(other.total);
    }

    /// Never less than before.
    pub(crate) fn at_least(&mut self, before: &Self) {
        for (mine, least) in self.counts.iter_mut().zip(before.counts) {
            *mine = least.max(*mine);
        }
        self.total = self.total.max(before.total);
    }
}

/// What one place has done, over all its lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) handled: u64,
    pub(crate) handling: Handling,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.handled += other.handled;
        self.handling.add(&other.handling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_falls_into_the_first_bucket_that_holds_it() {
        let mut seen = Handling::default();
        let table = [
            (Duration::ZERO, 0),
            (Duration::from_micros(10), 0),
            (Duration::from_micros(11), 1),
            (Duration::from_secs(10), 6),
            (Duration::from_mins(2), 8),
        ];
        for (took, bucket) in table {
            let before = seen.counts[bucket];
            seen.note(took, 2);
            assert_eq!(seen.counts[bucket], before + 2, "{took:?}");
        }
        assert_eq!(seen.count(), 10);
        let total: Duration = table.iter().map(|(took, _)| *took * 2).sum();
        assert_eq!(seen.total, total);
    }
}
