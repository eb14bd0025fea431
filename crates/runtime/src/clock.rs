//! Why: a stamp on every message and every sweep must cost next to nothing, and must not need a thread that keeps a
//! copied clock fresh. The kernel keeps one: its coarse clocks are as old as its last tick, and it says how old that is.
//!
//! Two clocks for two questions. "How long ago?" is asked of [`Moment`]s, which no one can set back. "When?" is asked of
//! [`Stamp`]s, which people read, and which step when the wall clock is set.
//!
//! Nothing here ticks, waits, has to be started, or keeps a state: a reading is the kernel's, every time.
//!
//! Source: `clock_gettime(2)`, `CLOCK_MONOTONIC_COARSE` and `CLOCK_REALTIME_COARSE`, since Linux 2.6.32.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time that only goes forward. Only the distance between two of one clock means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A point on the wall clock: milliseconds since 1970-01-01 UTC, below zero before. Every value is a time: whoever has
/// none says so with an `Option`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub i64);

impl Stamp {
    /// The same as the standard library has it.
    pub fn system_time(self) -> SystemTime {
        let distance = Duration::from_millis(self.0.unsigned_abs());
        let time = if self.0 < 0 {
            UNIX_EPOCH.checked_sub(distance)
        } else {
            UNIX_EPOCH.checked_add(distance)
        };
        time.unwrap_or(UNIX_EPOCH)
    }
}

impl From<SystemTime> for Stamp {
    /// Rounded down to a millisecond; what does not fit is the nearest that does.
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)),
            Err(before) => {
                let millis = before.duration().as_nanos().div_ceil(1_000_000);
                Self(i64::try_from(millis).map_or(i64::MIN, |millis| -millis))
            }
        }
    }
}

/// Tells the time, as of a moment ago.
pub trait Clock: Send + Sync + 'static {
    /// For intervals.
    fn moment(&self) -> Moment;

    /// For people.
    fn stamp(&self) -> Stamp;

    /// How old a reading may be: the length of the kernel's tick, or of the finest step of a clock without one. A machine
    /// that is stopped and resumed catches up at its first tick.
    fn staleness(&self) -> Duration;
}

/// The kernel's coarse clocks; elsewhere than on Linux the standard library's.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseClock {
    /// The standard library's instants have no zero of their own.
    #[cfg(not(target_os = "linux"))]
    zero: coarse::Zero,
}

#[cfg(target_os = "linux")]
mod coarse {
    use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

    use super::{Clock, CoarseClock, Duration, Moment, Stamp};

    /// A clock of the kernel's that does not go below zero: time since boot, or a length.
    fn length(time: Timespec) -> Duration {
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        // Below a thousand million by contract.
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    }

    impl Clock for CoarseClock {
        fn moment(&self) -> Moment {
            Moment(length(clock_gettime(ClockId::MonotonicCoarse)))
        }

        fn stamp(&self) -> Stamp {
            let time = clock_gettime(ClockId::RealtimeCoarse);
            let millis = time.tv_sec.saturating_mul(1000);
            // Nanoseconds count forward from the second, before 1970 too.
            Stamp(millis.saturating_add(time.tv_nsec / 1_000_000))
        }

        fn staleness(&self) -> Duration {
            let of = |clock| length(clock_getres(clock));
            of(ClockId::MonotonicCoarse).max(of(ClockId::RealtimeCoarse))
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod coarse {
    use std::time::Instant;

    use super::{Clock, CoarseClock, Duration, Moment, Stamp, SystemTime};

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Zero(Instant);

    impl Default for Zero {
        #[allow(clippy::disallowed_methods, reason = "this is the clock")]
        fn default() -> Self {
            Self(Instant::now())
        }
    }

    impl Clock for CoarseClock {
        #[allow(clippy::disallowed_methods, reason = "this is the clock")]
        fn moment(&self) -> Moment {
            Moment(Instant::now().saturating_duration_since(self.zero.0))
        }

        #[allow(clippy::disallowed_methods, reason = "this is the clock")]
        fn stamp(&self) -> Stamp {
            Stamp::from(SystemTime::now())
        }

        /// What a stamp shows at its finest.
        fn staleness(&self) -> Duration {
            Duration::from_millis(1)
        }
    }
}

/// A clock that a test moves. Its two hands move apart as those of a real machine do.
#[derive(Debug, Default)]
pub struct ManualClock {
    moment: AtomicU64,
    stamp: AtomicI64,
}

impl ManualClock {
    /// Time goes on by so many milliseconds.
    pub fn advance(&self, millis: u32) {
        self.moment.fetch_add(millis.into(), Ordering::SeqCst);
        self.stamp.fetch_add(millis.into(), Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, stamp: Stamp) {
        self.stamp.store(stamp.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn moment(&self) -> Moment {
        Moment(Duration::from_millis(self.moment.load(Ordering::SeqCst)))
    }

    fn stamp(&self) -> Stamp {
        Stamp(self.stamp.load(Ordering::SeqCst))
    }

    fn staleness(&self) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reading_is_the_time_and_never_ahead_of_the_fine_clock() {
        let clock = CoarseClock::default();
        let (moment, stamp) = (clock.moment(), clock.stamp());
        #[allow(clippy::disallowed_methods, reason = "the clock to compare with")]
        let fine = Stamp::from(SystemTime::now());
        assert!(stamp <= fine, "{stamp:?} {fine:?}");
        // 2020: whoever copies a clock into a variable and forgets to, is at zero.
        assert!(stamp > Stamp(1_577_836_800_000), "{stamp:?}");
        let mut last = moment;
        for _ in 0..10_000 {
            let now = clock.moment();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn its_staleness_is_stated_and_a_tick() {
        let staleness = CoarseClock::default().staleness();
        // Linux ticks 100 to 1000 times a second.
        assert!(
            staleness > Duration::ZERO && staleness <= Duration::from_millis(10),
            "{staleness:?}"
        );
    }

    #[test]
    fn a_stamp_before_1970_is_a_time_like_any_other() {
        let before = |nanos| UNIX_EPOCH - Duration::from_nanos(nanos);
        for (time, stamp) in [
            (UNIX_EPOCH, 0),
            (UNIX_EPOCH + Duration::from_nanos(1_999_999), 1),
            (before(1), -1),
            (before(1_000_000), -1),
            (before(1_000_001), -2),
        ] {
            assert_eq!(Stamp::from(time), Stamp(stamp), "{time:?}");
        }
        for stamp in [-86_400_000, -1, 0, 1, 1_700_000_000_123] {
            assert_eq!(Stamp::from(Stamp(stamp).system_time()), Stamp(stamp));
        }
        assert_eq!(Some(Stamp(0)), Some(Stamp::from(UNIX_EPOCH)));
        assert_ne!(Some(Stamp(0)), None, "unset is another thing");
    }

    #[test]
    fn a_wall_clock_that_is_set_back_makes_nothing_younger() {
        let clock = ManualClock::default();
        clock.set_wall(Stamp(1_000_000));
        let (begun, stamped) = (clock.moment(), clock.stamp());
        clock.advance(500);
        clock.set_wall(Stamp(-7));
        clock.advance(500);
        assert_eq!(clock.moment().since(begun), Duration::from_secs(1));
        assert_eq!(clock.stamp(), Stamp(493));
        assert!(clock.stamp() < stamped);
        assert_eq!(begun.since(clock.moment()), Duration::ZERO);
    }
}
