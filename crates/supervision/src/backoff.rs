//! How long a crashed child rests: exponential backoff with full jitter, forgotten after a healthy life.
//!
//! Nothing here waits, reads the clock or draws chance; all three are arguments.

use std::time::Duration;

/// The rest before the n-th restart in a row is drawn evenly from `0 .. min(cap, base · 2^(n-1))`: "full jitter" of
/// M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first rest.
    pub base: Duration,
    /// No rest is longer.
    pub cap: Duration,
    /// A child that was up for at least this long starts again from `base`.
    pub healthy_after: Duration,
}

impl Default for Backoff {
    /// 100 ms doubling to 10 s; forgotten after 30 s of health. A crash loop is then cheap for its neighbours, and a
    /// passing fault costs a user less than a blink.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            cap: Duration::from_secs(10),
            healthy_after: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// Restart at once, always. For children whose start is cheap and whose crash is rare, and for tests.
    pub fn none() -> Self {
        Self {
            base: Duration::ZERO,
            cap: Duration::ZERO,
            healthy_after: Duration::ZERO,
        }
    }

    /// The longest rest before the `streak`-th restart in a row (1 is the first).
    pub fn ceiling(&self, streak: u32) -> Duration {
        let doublings = streak.saturating_sub(1).min(31);
        self.base.saturating_mul(1_u32 << doublings).min(self.cap)
    }

    /// The rest before the `streak`-th restart in a row, where `chance` is in `[0, 1)`.
    pub fn delay(&self, streak: u32, chance: f64) -> Duration {
        self.ceiling(streak).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// How often in a row one child has crashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Streak(u32);

impl Streak {
    pub(crate) fn length(self) -> u32 {
        self.0
    }

    /// Counts a crash after a life of `lived` (zero if it never became ready) and returns the rest to take.
    pub(crate) fn crashed(&mut self, backoff: &Backoff, lived: Duration, chance: f64) -> Duration {
        if lived >= backoff.healthy_after {
            self.0 = 0;
        }
        self.0 = self.0.saturating_add(1);
        backoff.delay(self.0, chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn ceilings_double_up_to_the_cap() {
        let backoff = Backoff {
            base: MS(100),
            cap: MS(1000),
            healthy_after: MS(5000),
        };
        let table = [
            (1, 100),
            (2, 200),
            (3, 400),
            (4, 800),
            (5, 1000),
            (60, 1000),
            (u32::MAX, 1000),
        ];
        for (streak, ceiling) in table {
            assert_eq!(backoff.ceiling(streak), MS(ceiling), "streak {streak}");
        }
    }

    #[test]
    fn a_healthy_life_resets_the_streak_and_a_short_one_does_not() {
        let backoff = Backoff {
            base: MS(100),
            cap: MS(1000),
            healthy_after: MS(5000),
        };
        let mut streak = Streak::default();
        let table = [
            (MS(0), 100),
            (MS(4999), 200),
            (MS(10), 400),
            (MS(5000), 100),
            (MS(0), 200),
        ];
        for (lived, expected) in table {
            assert_eq!(
                streak.crashed(&backoff, lived, 1.0),
                MS(expected),
                "after {lived:?}"
            );
        }
    }

    #[test]
    fn none_never_rests() {
        assert_eq!(Backoff::none().delay(9, 0.999), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_rest_is_never_longer_than_its_ceiling_or_the_cap(
            base in 0_u64..10_000, cap in 0_u64..60_000, streak in 0_u32..u32::MAX, chance in 0.0_f64..1.0,
        ) {
            let backoff = Backoff { base: MS(base), cap: MS(cap), healthy_after: MS(1) };
            let rest = backoff.delay(streak, chance);
            prop_assert!(rest <= backoff.ceiling(streak));
            prop_assert!(rest <= MS(cap));
        }
    }
}
