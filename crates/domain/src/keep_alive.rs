//! How long a model stays in memory with nothing to do, in the words people know it by.

use std::time::Duration;

/// How long a model stays in memory after its last use. Five minutes by default.
///
/// As a number of seconds, as it is written elsewhere (`keep_alive`): 0 lets it go as soon as it has nothing to do, a
/// negative number keeps it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// This long; zero lets it go as soon as it has nothing to do.
    For(Duration),
    /// Until it is unloaded, or must make room for another.
    Forever,
}

impl KeepAlive {
    /// Let it go as soon as it has nothing to do.
    pub const NOT: Self = Self::For(Duration::ZERO);

    /// From a number of seconds: negative is for ever.
    pub const fn from_secs(seconds: i64) -> Self {
        if seconds < 0 {
            Self::Forever
        } else {
            Self::For(Duration::from_secs(seconds.unsigned_abs()))
        }
    }
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self::For(Duration::from_mins(5))
    }
}

impl From<Duration> for KeepAlive {
    fn from(time: Duration) -> Self {
        Self::For(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_mean_what_they_mean_elsewhere() {
        for (seconds, meant) in [
            (0, KeepAlive::NOT),
            (300, KeepAlive::default()),
            (-1, KeepAlive::Forever),
            (i64::MIN, KeepAlive::Forever),
            (
                i64::MAX,
                KeepAlive::For(Duration::from_secs(i64::MAX.unsigned_abs())),
            ),
        ] {
            assert_eq!(KeepAlive::from_secs(seconds), meant, "{seconds}");
        }
    }
}
