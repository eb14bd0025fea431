//! When a model that keeps failing is left alone, and who may try it again.
//!
//! Closed: everybody passes. It opens after one failed load (reading a broken file for every request would be slower
//! than saying so) or after several engine crashes without a finished answer between them. Open: everybody is refused
//! at once, until the rest is over; each rest is twice as long as the one before. Half open: one request, the probe, is
//! let in; its success closes, its failure opens again, and if it goes without either the next one is the probe.
//!
//! Failures count in a row: a success begins anew, and so does time without any. What failed is remembered apart, so
//! that an engine that loads well and crashes is not excused by its loads. What was cancelled, or found no memory, is
//! neither success nor failure. Invariants: never two probes; nothing here waits, reads a clock or knows a request.

use std::time::Duration;

use tokio::time::Instant;

/// The first rest, doubling up to the second: a mended file is found within a minute.
const REST_FIRST: Duration = Duration::from_secs(1);
const REST_MOST: Duration = Duration::from_mins(1);
/// A failure this long after the last rest begins to count anew.
const FORGET_AFTER: Duration = Duration::from_mins(1);
/// How soon those are told to come again who find a probe under way: it may take seconds, and a guess is all there is.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// What failed, or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Load,
    /// An engine that crashed, or an answer that was finished.
    Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { probe: Option<u64>, since: Instant },
}

/// Where it is, for those who look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// All is well, or not bad enough.
    #[default]
    Closed,
    /// Requests are refused.
    Open {
        /// When one will be let in to try.
        retry_in: Duration,
    },
    /// The next request is let in to try, or one is trying.
    HalfOpen,
}

/// One model's breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
    /// Failed loads in a row.
    loads: u32,
    /// Crashes without a finished answer between them.
    crashes: u32,
    /// How often it opened in a row.
    openings: u32,
    /// What went wrong last.
    reason: String,
    /// What it was.
    last: What,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            loads: 0,
            crashes: 0,
            openings: 0,
            reason: String::new(),
            last: What::Load,
        }
    }
}

impl Breaker {
    /// Lets a request pass, or says when it may come again. One that passes while the breaker is half open is the probe.
    pub(crate) fn admit(&mut self, key: u64, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed => Ok(()),
            State::Open { until } if until > now => Err(until.saturating_duration_since(now)),
            State::HalfOpen { probe: Some(_), .. } => Err(PROBE_WAIT),
            State::Open { .. } | State::HalfOpen { probe: None, .. } => {
                let (probe, since) = (Some(key), now);
                self.state = State::HalfOpen { probe, since };
                Ok(())
            }
        }
    }

    /// Gives the probe's place to the next one if the probe has left without success or failure.
    pub(crate) fn check_probe(&mut self, is_here: impl FnOnce(u64) -> bool) {
        if let State::HalfOpen { probe, .. } = &mut self.state
            && probe.is_some_and(|key| !is_here(key))
        {
            *probe = None;
        }
    }

    /// A load or an engine failed. `crashes` engine crashes in a row open it. Returns whether it opened.
    pub(crate) fn failed(&mut self, what: What, reason: &str, crashes: u32, now: Instant) -> bool {
        reason.clone_into(&mut self.reason);
        self.last = what;
        let most = match what {
            What::Load => {
                self.loads = self.loads.saturating_add(1);
                true
            }
            What::Answer => {
                self.crashes = self.crashes.saturating_add(1);
                self.crashes >= crashes.max(1)
            }
        };
        let opens = most || matches!(self.state, State::HalfOpen { .. });
        if opens {
            self.openings = self.openings.saturating_add(1);
            let until = now + rest(self.openings);
            self.state = State::Open { until };
        }
        opens
    }

    /// A load succeeded, or an answer was finished. A load alone does not excuse crashes.
    pub(crate) fn worked(&mut self, what: What) {
        self.loads = 0;
        if what == What::Answer {
            self.crashes = 0;
        }
        if self.crashes == 0 {
            *self = Self::default();
        }
    }

    /// Begins anew if the last rest is long over and nobody tried.
    pub(crate) fn forget(&mut self, now: Instant) {
        if self.forget_at().is_some_and(|at| at <= now) {
            *self = Self::default();
        }
    }

    /// When the failures do not count any more; `None` while there are none, or one tries.
    pub(crate) fn forget_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until + FORGET_AFTER),
            State::HalfOpen { probe: None, since } => Some(since + FORGET_AFTER),
            State::Closed | State::HalfOpen { .. } => None,
        }
    }

    /// The end of the rest, if it rests.
    pub(crate) fn rests_until(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Open { until } if until > now => Some(until),
            _ => None,
        }
    }

    /// Where it is.
    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match (self.state, self.rests_until(now)) {
            (State::Closed, _) => BreakerState::Closed,
            (_, Some(until)) => BreakerState::Open {
                retry_in: until.saturating_duration_since(now),
            },
            (_, None) => BreakerState::HalfOpen,
        }
    }

    /// What went wrong last, and what it was.
    pub(crate) fn last(&self) -> (What, &str) {
        (self.last, &self.reason)
    }
}

/// How long the `openings`th rest in a row is (from 1).
fn rest(openings: u32) -> Duration {
    let doublings = openings.saturating_sub(1).min(10);
    REST_FIRST.saturating_mul(1 << doublings).min(REST_MOST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CRASHES: u32 = 3;

    fn at(origin: Instant, seconds: u64) -> Instant {
        origin + Duration::from_secs(seconds)
    }

    fn fail(breaker: &mut Breaker, what: What, now: Instant) -> bool {
        breaker.failed(what, "r", CRASHES, now)
    }

    #[test]
    fn rests_double_to_a_minute() {
        let seconds: Vec<u64> = [1, 2, 3, 6, 7, 8, u32::MAX]
            .map(|n| rest(n).as_secs())
            .to_vec();
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60, 60]);
    }

    #[test]
    fn one_failed_load_opens_and_each_failed_probe_doubles_the_rest() {
        let origin = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.admit(1, origin), Ok(()));
        assert_eq!(breaker.state(origin), BreakerState::Closed);
        let mut now = origin;
        for seconds in [1, 2, 4, 8] {
            assert!(fail(&mut breaker, What::Load, now));
            let retry_in = Duration::from_secs(seconds);
            assert_eq!(breaker.state(now), BreakerState::Open { retry_in });
            assert_eq!(breaker.admit(2, now), Err(retry_in));
            now += retry_in;
            assert_eq!(breaker.state(now), BreakerState::HalfOpen);
            assert_eq!(breaker.admit(3, now), Ok(()));
        }
        breaker.worked(What::Load);
        assert_eq!(breaker.state(now), BreakerState::Closed);
        assert!(fail(&mut breaker, What::Load, now));
        assert_eq!(breaker.admit(4, now), Err(REST_FIRST));
    }

    #[test]
    fn crashes_open_in_a_row_only_and_loads_do_not_excuse_them() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert!(!fail(&mut breaker, What::Answer, now));
        assert!(!fail(&mut breaker, What::Answer, now));
        breaker.worked(What::Answer);
        assert!(!fail(&mut breaker, What::Answer, now));
        breaker.worked(What::Load);
        assert!(!fail(&mut breaker, What::Answer, now));
        assert!(fail(&mut breaker, What::Answer, now));
        let now = at(now, 1);
        assert_eq!(breaker.admit(7, now), Ok(()));
        // It loads: the probe goes on, until it has an answer.
        breaker.worked(What::Load);
        assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(8, now), Err(PROBE_WAIT));
        breaker.worked(What::Answer);
        assert_eq!(breaker.admit(8, now), Ok(()));
        assert_eq!(breaker.state(now), BreakerState::Closed);
    }

    #[test]
    fn a_probe_that_leaves_makes_room_for_the_next() {
        let origin = Instant::now();
        let mut breaker = Breaker::default();
        fail(&mut breaker, What::Load, origin);
        let now = at(origin, 1);
        assert_eq!(breaker.admit(1, now), Ok(()));
        breaker.check_probe(|key| key == 1);
        assert_eq!(breaker.admit(2, now), Err(PROBE_WAIT));
        breaker.check_probe(|_| false);
        assert_eq!(breaker.admit(3, now), Ok(()));
        // Its failure is the second in a row.
        assert!(fail(&mut breaker, What::Load, now));
        assert_eq!(breaker.admit(4, now), Err(2 * REST_FIRST));
    }

    #[test]
    fn failures_are_forgotten_in_the_end_but_not_under_a_probe() {
        let origin = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.forget_at(), None);
        fail(&mut breaker, What::Load, origin);
        assert_eq!(breaker.forget_at(), Some(at(origin, 61)));
        breaker.forget(at(origin, 60));
        assert_eq!(breaker.state(at(origin, 60)), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(1, at(origin, 60)), Ok(()));
        breaker.forget(at(origin, 1000));
        assert_eq!(breaker.admit(2, at(origin, 1000)), Err(PROBE_WAIT));
        breaker.check_probe(|_| false);
        breaker.forget(at(origin, 1000));
        assert_eq!(breaker.state(at(origin, 1000)), BreakerState::Closed);
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Ask,
        Leave,
        Fail(What),
        Work(What),
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let what = || prop_oneof![Just(What::Load), Just(What::Answer)];
        prop_oneof![
            3 => Just(Event::Ask),
            1 => Just(Event::Leave),
            2 => what().prop_map(Event::Fail),
            1 => what().prop_map(Event::Work),
            3 => (0u64..100).prop_map(Event::Pass),
        ]
    }

    proptest! {
        /// Whatever happens: never two probes, nobody is refused by a closed breaker, whoever is refused by an open one
        /// is right to come when it was told, and no rest is longer than a minute.
        #[test]
        fn there_is_one_probe_at_most(events in prop::collection::vec(event(), 0..200)) {
            let mut now = Instant::now();
            let mut breaker = Breaker::default();
            let mut probe: Option<u64> = None;
            for (key, event) in (1..).zip(events) {
                let before = breaker.state(now);
                match event {
                    Event::Ask => {
                        let answer = breaker.admit(key, now);
                        match (before, answer) {
                            (BreakerState::Closed, answer) => prop_assert_eq!(answer, Ok(())),
                            (BreakerState::Open { retry_in }, answer) => {
                                prop_assert_eq!(answer, Err(retry_in));
                                prop_assert!(retry_in > Duration::ZERO && retry_in <= REST_MOST);
                            }
                            (BreakerState::HalfOpen, Ok(())) => {
                                prop_assert_eq!(probe.replace(key), None, "two probes");
                            }
                            (BreakerState::HalfOpen, Err(_)) => prop_assert!(probe.is_some()),
                        }
                    }
                    Event::Leave => {
                        breaker.check_probe(|_| false);
                        probe = None;
                    }
                    Event::Fail(what) => {
                        if fail(&mut breaker, what, now) {
                            probe = None;
                            let rests = matches!(breaker.state(now), BreakerState::Open { .. });
                            prop_assert!(rests);
                        } else {
                            prop_assert_eq!(before, breaker.state(now));
                        }
                    }
                    Event::Work(what) => {
                        breaker.worked(what);
                        if breaker.state(now) == BreakerState::Closed {
                            probe = None;
                        }
                    }
                    Event::Pass(seconds) => {
                        now = at(now, seconds);
                        breaker.forget(now);
                        if breaker.state(now) == BreakerState::Closed {
                            prop_assert_eq!(probe, None, "a probe is not forgotten");
                        }
                    }
                }
                prop_assert!(probe.is_none() || breaker.state(now) == BreakerState::HalfOpen);
            }
        }
    }
}
