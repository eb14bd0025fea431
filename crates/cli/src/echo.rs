//! SIGTERM that comes twice at once is one word: GNU `timeout` says it to the process and then to its group. Another one, a
//! moment later, is somebody in a hurry.

use std::time::Duration;

use tokio::time::Instant;

/// Nobody changes their mind quicker.
const ECHO: Duration = Duration::from_millis(250);

/// When the last SIGTERM came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Echo(Option<Instant>);

impl Echo {
    /// There is one.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.0 = Some(now);
    }

    /// Whether one that comes now only repeats the one before.
    pub(crate) fn repeats(&self, now: Instant) -> bool {
        self.0
            .is_some_and(|before| now.saturating_duration_since(before) < ECHO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_at_once_is_once_and_a_moment_later_is_twice() {
        let start = Instant::now();
        let mut echo = Echo::default();
        let repeated = [0, 1, 249, 499, 5_000].map(|ms| {
            let now = start + Duration::from_millis(ms);
            let repeats = echo.repeats(now);
            echo.heard(now);
            repeats
        });
        assert_eq!(repeated, [false, true, true, false, false]);
    }
}
