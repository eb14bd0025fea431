//! When a supervisor stops hoping: the sliding window of OTP's `supervisor:add_restart/1`.
//!
//! Nothing here reads the clock; `now` is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// At most `max_restarts` restarts within `period`; one more and the supervisor gives up.
#[derive(Clone, Debug)]
pub struct Intensity {
    max_restarts: u32,
    period: Duration,
    restarts: VecDeque<Instant>,
}

impl Intensity {
    /// `max_restarts` may be 0: then the first crash is one too many.
    pub fn new(max_restarts: u32, period: Duration) -> Self {
        Self {
            max_restarts,
            period,
            restarts: VecDeque::new(),
        }
    }

    /// Restarts allowed within the period.
    pub fn max_restarts(&self) -> u32 {
        self.max_restarts
    }

    /// The length of the window.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Counts one restart at `now`. `false` means too many: more than `max_restarts` lie within `period`, this one
    /// included. As in OTP, a restart exactly `period` ago still counts, an older one is forgotten.
    #[must_use]
    pub fn allows(&mut self, now: Instant) -> bool {
        while let Some(oldest) = self.restarts.front() {
            if now.saturating_duration_since(*oldest) <= self.period {
                break;
            }
            self.restarts.pop_front();
        }
        self.restarts.push_back(now);
        self.restarts.len() <= self.max_restarts as usize
    }

    /// How many restarts the window held when it was last asked.
    pub fn counted(&self) -> usize {
        self.restarts.len()
    }

    /// How long ago each counted restart was, the oldest first, without those the next verdict would forget.
    #[cfg(test)]
    pub(crate) fn ages(&self, now: Instant) -> impl Iterator<Item = Duration> {
        let ages = self.restarts.iter().map(move |at| now - *at);
        ages.filter(|age| *age <= self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdicts(max: u32, period_ms: u64, at_ms: &[u64]) -> Vec<bool> {
        let start = Instant::now();
        let mut window = Intensity::new(max, Duration::from_millis(period_ms));
        at_ms
            .iter()
            .map(|ms| window.allows(start + Duration::from_millis(*ms)))
            .collect()
    }

    #[test]
    fn the_window_slides_exactly_as_otp_says() {
        let table: &[(u32, u64, &[u64], &[bool])] = &[
            (0, 1000, &[0], &[false]),
            (1, 1000, &[0, 500], &[true, false]),
            // exactly one period later the first restart still counts
            (1, 1000, &[0, 1000], &[true, false]),
            (1, 1000, &[0, 1001], &[true, true]),
            // the third is judged by those within the period, not by the gap since the last
            (2, 200, &[0, 150, 300], &[true, true, true]),
            (2, 200, &[0, 150, 200], &[true, true, false]),
            (3, 100, &[0, 0, 0, 0], &[true, true, true, false]),
        ];
        for (max, period, at, expected) in table {
            assert_eq!(
                verdicts(*max, *period, at),
                *expected,
                "max {max}, period {period}, at {at:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_verdict_counts_exactly_the_restarts_within_the_period(
            max in 0_u32..5, period in 0_u64..50, gaps in prop::collection::vec(0_u64..30, 1..40),
        ) {
            let mut at = Vec::new();
            let mut clock = 0;
            for gap in gaps {
                clock += gap;
                at.push(clock);
            }
            let got = verdicts(max, period, &at);
            for (i, verdict) in got.iter().enumerate() {
                let within = at[..=i].iter().filter(|t| at[i] - **t <= period).count();
                prop_assert_eq!(*verdict, within <= max as usize);
            }
        }
    }
}
