//! How often something may happen: the generic cell rate algorithm, as ATM has it (ITU-T I.371). It keeps one point in
//! time, so that a limit costs next to nothing and never lets more through than it says, whatever the rhythm.
//!
//! Our own, because time is an argument here: `governor` reads a clock inside, and brings nine crates for these lines.
//! Nothing here waits.

use std::time::Duration;

use tokio::time::Instant;

/// What a minute's worth is.
const MINUTE: Duration = Duration::from_mins(1);

/// At most so many a minute; a minute's worth at once after a minute's rest.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    per_minute: u32,
    /// When all that was used will have come back; in the past, if nothing is used.
    whole: Instant,
}

/// How a rate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// What it is.
    pub(crate) limit: u32,
    /// How many may come at once now.
    pub(crate) remaining: u32,
    /// When all of it will have come back.
    pub(crate) reset: Duration,
}

impl Rate {
    /// Nothing is used at `now`. 0 a minute are taken for 1.
    pub(crate) fn new(per_minute: u32, now: Instant) -> Self {
        Self {
            per_minute: per_minute.max(1),
            whole: now,
        }
    }

    /// One more, or when there may be.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let used = self.used(now) + self.step();
        let over = used.saturating_sub(self.most());
        if !over.is_zero() {
            return Err(over);
        }
        self.whole = now + used;
        Ok(())
    }

    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let used = self.used(now);
        let free = self.most().saturating_sub(used).as_nanos();
        let remaining = free / self.step().as_nanos().max(1);
        Standing {
            limit: self.per_minute,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: used,
        }
    }

    fn used(&self, now: Instant) -> Duration {
        self.whole.saturating_duration_since(now)
    }

    /// What one takes.
    fn step(&self) -> Duration {
        MINUTE / self.per_minute
    }

    /// What all take. Not a minute where that is no multiple.
    fn most(&self) -> Duration {
        self.step() * self.per_minute
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
        let mut rate = Rate::new(3, start);
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

    proptest! {
        /// In no window of a minute, closed on one side, come more than twice the limit's worth; none is refused that has
        /// rested as long as it was told; and what `standing` promises can be had.
        #[test]
        fn whatever_the_rhythm_the_limit_holds(per_minute in 1_u32..500, gaps in proptest::collection::vec(0_u64..3000, 1..200)) {
            let start = Instant::now();
            let (mut now, mut rate) = (start, Rate::new(per_minute, start));
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
                        let mut later = rate.clone();
                        prop_assert!(later.take(now + wait).is_ok());
                        prop_assert!(rate.clone().take(now + wait.saturating_sub(Duration::from_nanos(1))).is_err());
                    }
                }
                // A burst, and what came back since.
                let back = now.duration_since(start).as_nanos() / rate.step().as_nanos();
                prop_assert!(u128::from(taken) <= u128::from(per_minute) + back);
            }
        }
    }
}
