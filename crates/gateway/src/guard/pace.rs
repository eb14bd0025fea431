//! How slowly an answer may be taken. A client that stops reading, or takes a byte now and then, must not hold an answer,
//! its memory and its place for ever; one that reads slowly but in earnest is left alone.
//!
//! Only the time in which bytes wait for room counts: for every `patience` of it at least `least_bytes` must be taken.
//! Nothing here waits.

use std::time::Duration;

use tokio::time::Instant;

/// How one client keeps up.
#[derive(Debug)]
pub(crate) struct Pace {
    patience: Duration,
    least_bytes: usize,
    /// Time spent waiting for room, and what was taken since that began.
    waited: Duration,
    taken: usize,
    /// The wait that is going on.
    since: Option<Instant>,
}

impl Pace {
    /// Never less than a byte.
    pub(crate) fn new(patience: Duration, least_bytes: usize) -> Self {
        Self {
            patience,
            least_bytes: least_bytes.max(1),
            waited: Duration::ZERO,
            taken: 0,
            since: None,
        }
    }

    /// There was room for `bytes`; for none of them if nothing more is to be said.
    pub(crate) fn took(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        if self.waited.is_zero() {
            return;
        }
        self.taken = self.taken.saturating_add(bytes);
        if self.taken >= self.least_bytes {
            (self.waited, self.taken) = (Duration::ZERO, 0);
        }
    }

    /// There is no room. The answer is given up if there is still none at the time returned.
    pub(crate) fn waits(&mut self, now: Instant) -> Instant {
        let since = *self.since.get_or_insert(now);
        since + self.patience.saturating_sub(self.waited)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);
    const LEAST: usize = 1000;

    /// `(seconds of waiting, bytes then taken, seconds of silence of the model)` again and again; when it is given up, in
    /// seconds of waiting.
    fn given_up(steps: impl IntoIterator<Item = (u64, usize, u64)>) -> Option<u64> {
        let mut now = Instant::now();
        let mut pace = Pace::new(PATIENCE, LEAST);
        let mut waited = 0;
        for (waits, bytes, silence) in steps {
            let deadline = pace.waits(now);
            let left = deadline.saturating_duration_since(now).as_secs();
            if left <= waits {
                return Some(waited + left);
            }
            now += Duration::from_secs(waits);
            waited += waits;
            pace.took(bytes, now);
            pace.took(0, now);
            now += Duration::from_secs(silence);
        }
        None
    }

    #[test]
    fn what_is_taken_in_a_minute_of_waiting_decides() {
        let steadily = |waits, bytes, silence| vec![(waits, bytes, silence); 500];
        for (steps, end) in [
            (vec![(61, 0, 0)], Some(60)),
            (steadily(1, 1, 0), Some(60)),
            (steadily(59, 1, 0), Some(60)),
            (steadily(1, 16, 0), Some(60)),
            (steadily(1, 17, 0), None),
            (steadily(59, 1000, 0), None),
            (steadily(59, 999, 0), Some(60)),
            // A silent model is no fault of the reader's, but no excuse either.
            (steadily(1, 17, 3600), None),
            (steadily(1, 16, 3600), Some(60)),
            // What was taken counts from the first wait on, and a debt that is paid is forgotten.
            (vec![(59, 1000, 0), (59, 0, 0), (2, 0, 0)], Some(119)),
            (vec![(59, 1000, 0), (61, 0, 0)], Some(119)),
        ] {
            assert_eq!(given_up(steps.clone()), end, "{:?}", steps.first());
        }
    }

    proptest! {
        #[test]
        fn who_takes_enough_is_never_given_up_and_who_takes_too_little_always_is(
            steps in proptest::collection::vec((1u64..20, 0usize..600, 0u64..100), 1..80),
        ) {
            let fast = steps.iter().map(|&(waits, bytes, silence)| (waits, bytes + 50 * waits as usize, silence));
            prop_assert_eq!(given_up(fast), None);
            let slow = steps.iter().map(|&(waits, bytes, silence)| (waits, (bytes / 40).min(16 * waits as usize), silence));
            let waited: u64 = steps.iter().map(|step| step.0).sum();
            prop_assert_eq!(given_up(slow).is_some(), waited >= 60);
        }

        #[test]
        fn the_same_wait_has_one_end_and_none_is_longer_than_the_patience(
            steps in proptest::collection::vec((0u64..70, 0usize..1200, 0u64..100), 1..80),
        ) {
            let mut now = Instant::now();
            let mut pace = Pace::new(PATIENCE, LEAST);
            for (waits, bytes, _) in steps {
                let deadline = pace.waits(now);
                prop_assert!(deadline <= now + PATIENCE);
                prop_assert_eq!(pace.waits(now + Duration::from_secs(1)), deadline, "the same wait has one end");
                now += Duration::from_secs(waits);
                pace.took(bytes, now);
            }
        }
    }
}
