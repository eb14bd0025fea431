//! How many refusals for a level go into the audit log: pure. A client that is refused all day long must not push out what
//! was done.

use std::time::Duration;

use rate::Rate;
use tokio::time::Instant;

/// As many at once: somebody who tries one verb after another.
const BURST: u32 = 10;
/// Then one each so often: in the 30 days that an entry is kept less than half of what the log holds.
const EVERY: Duration = Duration::from_mins(10);

/// Counts them, for the whole server.
#[derive(Debug)]
pub(super) struct Denials {
    rate: Rate,
    /// Refusals since the last entry that have none.
    silent: u64,
}

impl Denials {
    pub(super) fn new(now: Instant) -> Self {
        let rate = Rate::new(EVERY, BURST, now);
        Self { rate, silent: 0 }
    }

    /// One more. If it gets an entry: how many before it got none.
    pub(super) fn one(&mut self, now: Instant) -> Option<u64> {
        if self.rate.take(now).is_err() {
            self.silent = self.silent.saturating_add(1);
            return None;
        }
        Some(std::mem::take(&mut self.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_each_ten_minutes_and_the_others_are_counted() {
        let begun = Instant::now();
        let mut denials = Denials::new(begun);
        let told = |denials: &mut Denials, at: Duration| denials.one(begun + at);
        for _ in 0..BURST {
            assert_eq!(told(&mut denials, Duration::ZERO), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(told(&mut denials, Duration::from_secs(599)), None);
        }
        assert_eq!(told(&mut denials, EVERY), Some(7));
        assert_eq!(told(&mut denials, EVERY), None);
        // What was saved up in a quiet week is a burst, and no more.
        let week = Duration::from_hours(7 * 24);
        let entries = (0..100).filter_map(|_| told(&mut denials, week));
        assert_eq!(entries.collect::<Vec<_>>(), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_month_of_refusals_leaves_room_for_what_was_done() {
        let begun = Instant::now();
        let mut denials = Denials::new(begun);
        let seconds = 0..30 * 24 * 3600_u64;
        let at = |second| begun + Duration::from_secs(second);
        let entries = seconds.filter_map(|second| denials.one(at(second))).count();
        assert!(
            entries < conversation_store::control_log::KEPT / 2,
            "{entries}"
        );
    }
}
