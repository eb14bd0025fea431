//! What a server says beside the protocol goes to the log, line by line, but no log is filled by it.

use std::time::Duration;

use tokio::time::Instant;

/// Lines of one server within a second that are logged; the others are counted.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

/// Lets some lines of each second through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    window: Instant,
    passed: u32,
    dropped: u64,
}

impl Throttle {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            window: now,
            passed: 0,
            dropped: 0,
        }
    }

    /// Whether a line is logged; if so, how many were not since the last that was.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.window) >= WINDOW {
            (self.window, self.passed) = (now, 0);
        }
        if self.passed >= LINES {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        self.passed += 1;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn twenty_lines_a_second_and_a_count_of_the_rest() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let passed = (0..100).filter(|_| throttle.pass(start).is_some()).count();
        assert_eq!(passed, 20);
        let later = start + WINDOW;
        assert_eq!(throttle.pass(later), Some(80));
        assert_eq!(throttle.pass(later), Some(0));
    }
}
