//! When a server is started again: at once after a long life, later and later after short ones.
//!
//! The rest is supervision's backoff without its chance: a server is one process of ours, no herd of clients.

use std::time::Duration;

use supervision::Backoff;
use tokio::time::Instant;

/// 250 ms doubling to 30 s; forgotten after a minute of health. A server that cannot start costs next to nothing then, and
/// one that a person has just mended is back within half a minute.
pub(crate) const REST: Backoff = Backoff {
    base: Duration::from_millis(250),
    cap: Duration::from_secs(30),
    healthy_after: Duration::from_mins(1),
};

/// What is remembered of a server's lives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Course {
    streak: u32,
    up_since: Option<Instant>,
}

impl Course {
    /// It is ready, since the first time this is said.
    pub(crate) fn came_up(&mut self, now: Instant) {
        self.up_since.get_or_insert(now);
    }

    /// It ended; it is started again at the answer.
    pub(crate) fn ended(&mut self, now: Instant) -> Instant {
        let lived = self.up_since.take();
        let lived = lived.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if lived >= REST.healthy_after {
            self.streak = 0;
        }
        self.streak = self.streak.saturating_add(1);
        now + REST.ceiling(self.streak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rests_double_until_a_life_was_long() {
        let start = Instant::now();
        let mut course = Course::default();
        let rest = |course: &mut Course, lived: Option<u64>| {
            if let Some(lived) = lived {
                course.came_up(start);
                let now = start + Duration::from_secs(lived);
                return (course.ended(now) - now).as_millis();
            }
            (course.ended(start) - start).as_millis()
        };
        let lives = [
            (None, 250),
            (None, 500),
            (Some(59), 1000),
            (None, 2000),
            (None, 4000),
            (None, 8000),
            (None, 16_000),
            (None, 30_000),
            (None, 30_000),
            (Some(60), 250),
            (None, 500),
        ];
        for (lived, expected) in lives {
            assert_eq!(rest(&mut course, lived), expected, "{lived:?}");
        }
    }
}
