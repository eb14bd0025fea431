//! How often something may happen: the generic cell rate algorithm, as ATM has it (ITU-T I.371). It keeps one point in
//! time, so that a limit costs next to nothing and never lets more through than it says, whatever the rhythm. Whoever limits
//! anything limits it by this: requests of a token, frames of a client, entries of a log.
//!
//! Our own, because time is an argument here: `governor` reads a clock inside, and brings nine crates for these lines.
//! Nothing here waits.

use std::time::Duration;

use tokio::time::Instant;

/// What a minute's worth is.
const MINUTE: Duration = Duration::from_mins(1);

/// At most one in each step of time, and a few at once after a rest.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// What one takes.
    step: Duration,
    /// How many may come at once.
    at_once: u32,
    /// When all that was used will have come back; in the past, if nothing is used.
    whole: Instant,
}

/// How a rate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many may come at once after a rest.
    pub limit: u32,
    /// How many may come at once now.
    pub remaining: u32,
    /// When all of it will have come back.
    pub reset: Duration,
}

impl Rate {
    /// One comes back each `step`, and `at_once` may come together. Nothing is used at `now`. 0 at once are taken for 1.
    pub fn new(step: Duration, at_once: u32, now: Instant) -> Self {
        Self {
            step,
            at_once: at_once.max(1),
            whole: now,
        }
    }

    /// So many a minute, a minute's worth at once. 0 are taken for 1.
    pub fn per_minute(times: u32, now: Instant) -> Self {
        let times = times.max(1);
        Self::new(MINUTE / times, times, now)
    }

    /// One more.
    ///
    /// # Errors
    /// How long until there may be; then nothing was used.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let used = self.used(now) + self.step;
        let over = used.saturating_sub(self.most());
        if !over.is_zero() {
            return Err(over);
        }
        self.whole = now + used;
        Ok(())
    }

    /// How it stands at `now`.
    pub fn standing(&self, now: Instant) -> Standing {
        let used = self.used(now);
        let free = self.most().saturating_sub(used).as_nanos();
        let remaining = free / self.step.as_nanos().max(1);
        Standing {
            limit: self.at_once,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: used,
        }
    }

    fn used(&self, now: Instant) -> Duration {
        self.whole.saturating_duration_since(now)
    }

    /// What all take. Not a whole minute where that is no multiple.
    fn most(&self) -> Duration {
        self.step * self.at_once
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_minutes_worth_comes_at_once_and_then_one_by_one() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut rate = Rate::per_minute(3, start);
        let standing = |remaining, seconds| Standing {
            limit: 3,
            remaining,
            reset: Duration::from_secs(seconds),
        };
        assert_eq!(rate.standing(start), standing(3, 0));
        for left in [2, 1, 0] {
            assert_eq!(rate.take(start), Ok(()));
            assert_eq!(
                rate.standing(start),
                standing(left, 60 - 20 * u64::from(left))
            );
        }
        assert_eq!(rate.take(at(0)), Err(Duration::from_secs(20)));
        assert_eq!(rate.take(at(19_999)), Err(Duration::from_millis(1)));
        assert_eq!(rate.take(at(20_000)), Ok(()));
        assert_eq!(rate.take(at(20_000)), Err(Duration::from_secs(20)));
        assert_eq!(rate.standing(at(80_000)), standing(3, 0));
        assert_eq!(rate.standing(at(1_000_000)), standing(3, 0));
    }

    #[test]
    fn a_few_at_once_then_at_the_pace_and_a_rest_is_not_saved_up_beyond_a_few() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let wait = |ms: u64| Err(Duration::from_millis(ms));
        let mut rate = Rate::new(Duration::from_millis(100), 3, start);
        for _ in 0..3 {
            assert_eq!(rate.take(start), Ok(()));
        }
        assert_eq!(rate.take(start), wait(100));
        assert_eq!(rate.take(at(60)), wait(40));
        assert_eq!(rate.take(at(100)), Ok(()));
        assert_eq!(rate.take(at(100)), wait(100));
        for _ in 0..3 {
            assert_eq!(rate.take(at(5000)), Ok(()));
        }
        assert_eq!(rate.take(at(5000)), wait(100));
    }

    proptest! {
        /// In no window of a minute, closed on one side, come more than twice the limit's worth; none is refused that has
        /// rested as long as it was told; and what `standing` promises can be had.
        #[test]
        fn whatever_the_rhythm_the_limit_holds(per_minute in 1_u32..500, gaps in proptest::collection::vec(0_u64..3000, 1..200)) {
            let start = Instant::now();
            let (mut now, mut rate) = (start, Rate::per_minute(per_minute, start));
            let mut taken = 0_u64;
            for gap in gaps {
                now += Duration::from_millis(gap);
                let before = rate.standing(now);
                match rate.take(now) {
                    Ok(()) => {
                        taken += 1;
                        prop_assert_eq!(rate.standing(now).remaining, before.remaining - 1);
                    }
                    Err(wait) => {
                        prop_assert_eq!(before.remaining, 0);
                        let mut later = rate;
                        prop_assert!(later.take(now + wait).is_ok());
                        prop_assert!(rate.take(now + wait.saturating_sub(Duration::from_nanos(1))).is_err());
                    }
                }
                // A burst, and what came back since.
                let back = now.duration_since(start).as_nanos() / rate.step.as_nanos();
                prop_assert!(u128::from(taken) <= u128::from(per_minute) + back);
            }
        }
    }
}
