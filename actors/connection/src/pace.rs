//! How many frames a client may send: so many a second, and a few at once.
//!
//! Invariant: whoever keeps to the pace is never refused, and who was refused is told when the next one is taken.

use std::time::Duration;

use tokio::time::Instant;

/// The pace that is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Frames a second, on average. 20: who types fast, says it, and beats sends two.
    pub per_second: u32,
    /// Frames at once. 60: a client that comes back joins its conversations again.
    pub at_once: u32,
    /// Refusals without one that was taken, after which the client is closed. 200.
    pub patience: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            per_second: 20,
            at_once: 60,
            patience: 200,
        }
    }
}

/// A frame too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooFast {
    /// It is refused; the next is taken after so long.
    Wait(Duration),
    /// It does not listen: close it.
    Enough,
}

/// One client's, by the generic cell rate algorithm (ITU-T I.371): one moment is all it keeps.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    pace: Pace,
    /// When all that was taken would have come at exactly the pace.
    paid: Instant,
    refused: u32,
}

impl Meter {
    /// Nothing came yet.
    pub fn new(pace: Pace, now: Instant) -> Self {
        Self {
            pace,
            paid: now,
            refused: 0,
        }
    }

    /// A frame comes.
    ///
    /// # Errors
    /// [`TooFast`]: then it is not to be looked at.
    pub fn take(&mut self, now: Instant) -> Result<(), TooFast> {
        let each = Duration::from_secs(1) / self.pace.per_second.max(1);
        let ahead = self.paid.saturating_duration_since(now);
        let room = each * self.pace.at_once.saturating_sub(1);
        if ahead > room {
            self.refused += 1;
            if self.refused > self.pace.patience {
                return Err(TooFast::Enough);
            }
            return Err(TooFast::Wait(ahead.saturating_sub(room)));
        }
        self.refused = 0;
        self.paid = self.paid.max(now) + each;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace {
        per_second: 10,
        at_once: 3,
        patience: 2,
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_few_at_once_then_at_the_pace() {
        let now = Instant::now();
        let mut meter = Meter::new(PACE, now);
        for _ in 0..3 {
            assert_eq!(meter.take(now), Ok(()));
        }
        assert_eq!(meter.take(now), Err(TooFast::Wait(ms(100))));
        assert_eq!(meter.take(now + ms(60)), Err(TooFast::Wait(ms(40))));
        assert_eq!(meter.take(now + ms(100)), Ok(()));
        assert_eq!(meter.take(now + ms(100)), Err(TooFast::Wait(ms(100))));
        for _ in 0..3 {
            assert_eq!(
                meter.take(now + ms(5000)),
                Ok(()),
                "a rest is not saved up beyond a few"
            );
        }
        assert!(meter.take(now + ms(5000)).is_err());
    }

    #[test]
    fn who_does_not_listen_is_closed_and_who_waits_is_not() {
        let now = Instant::now();
        let mut meter = Meter::new(PACE, now);
        for _ in 0..3 {
            meter.take(now).unwrap();
        }
        for _ in 0..2 {
            assert!(matches!(meter.take(now), Err(TooFast::Wait(_))));
        }
        assert_eq!(meter.take(now + ms(100)), Ok(()));
        for _ in 0..2 {
            assert!(matches!(meter.take(now + ms(100)), Err(TooFast::Wait(_))));
        }
        assert_eq!(meter.take(now + ms(100)), Err(TooFast::Enough));
    }

    proptest! {
        /// In no window is more taken than the pace and a few; and who comes at the pace is always taken.
        #[test]
        fn no_window_has_more_than_it_may(gaps in proptest::collection::vec(0u64..200, 1..80)) {
            let start = Instant::now();
            let mut meter = Meter::new(PACE, start);
            let mut now = start;
            let mut taken = Vec::new();
            for gap in gaps {
                now += ms(gap);
                match meter.take(now) {
                    Ok(()) => taken.push(now),
                    Err(TooFast::Wait(long)) => {
                        let mut later = meter;
                        prop_assert_eq!(later.take(now + long), Ok(()));
                    }
                    Err(TooFast::Enough) => {}
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let window = to.duration_since(*from).as_millis();
                    let may = 3 + window / 100;
                    prop_assert!(((last - first) as u128) < may);
                }
            }
        }
    }
}
