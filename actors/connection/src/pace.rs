//! How many frames a client may send: so many a second, and a few at once.
//!
//! Invariant: whoever keeps to the pace is never refused, and who was refused is told when the next one is taken.

use std::time::Duration;

use rate::Rate;
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

/// One client's.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    rate: Rate,
    patience: u32,
    refused: u32,
}

impl Meter {
    /// Nothing came yet.
    pub fn new(pace: Pace, now: Instant) -> Self {
        let step = Duration::from_secs(1) / pace.per_second.max(1);
        Self {
            rate: Rate::new(step, pace.at_once, now),
            patience: pace.patience,
            refused: 0,
        }
    }

    /// A frame comes.
    ///
    /// # Errors
    /// [`TooFast`]: then it is not to be looked at.
    pub fn take(&mut self, now: Instant) -> Result<(), TooFast> {
        let Err(wait) = self.rate.take(now) else {
            self.refused = 0;
            return Ok(());
        };
        self.refused += 1;
        if self.refused > self.patience {
            return Err(TooFast::Enough);
        }
        Err(TooFast::Wait(wait))
    }
}

#[cfg(test)]
mod tests {
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
}
