//! How many refusals for a level go into the audit log: pure. A client that is refused all day long must not push out what
//! was done.

use std::time::Duration;

use tokio::time::Instant;

/// As many at once: somebody who tries one verb after another.
const BURST: u32 = 10;
/// Then one each so often: in the 30 days that an entry is kept less than half of what the log holds.
const EVERY: Duration = Duration::from_mins(10);

/// Counts them, for the whole server.
#[derive(Debug)]
pub(super) struct Denials {
    /// Entries that may be written.
    left: u32,
    /// When one more may.
    next: Option<Instant>,
    /// Refusals since the last entry that have none.
    silent: u64,
}

impl Default for Denials {
    fn default() -> Self {
        Self {
            left: BURST,
            next: None,
            silent: 0,
        }
    }
}

impl Denials {
    /// One more. If it gets an entry: how many before it got none.
    pub(super) fn one(&mut self, now: Instant) -> Option<u64> {
        while let Some(next) = self.next.filter(|next| *next <= now) {
            self.left += 1;
            self.next = (self.left < BURST).then(|| next + EVERY);
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.silent = self.silent.saturating_add(1);
            return None;
        };
        self.left = left;
        self.next = self.next.or(Some(now + EVERY));
        Some(std::mem::take(&mut self.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_each_ten_minutes_and_the_others_are_counted() {
        let (begun, mut denials) = (Instant::now(), Denials::default());
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
        let (begun, mut denials) = (Instant::now(), Denials::default());
        let seconds = 0..30 * 24 * 3600_u64;
        let at = |second| begun + Duration::from_secs(second);
        let entries = seconds.filter_map(|second| denials.one(at(second))).count();
        assert!(
            entries < conversation_store::control_log::KEPT / 2,
            "{entries}"
        );
    }
}
