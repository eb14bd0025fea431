//! When a file that is being changed is read: when it has been left alone for a moment, and if it never is, all the same.

use std::time::Duration;

use tokio::time::Instant;

/// Left alone for so long, a file is done: an editor's steps (move away, write, move in) are milliseconds apart.
const QUIET: Duration = Duration::from_millis(100);
/// A file that is written without an end is read this often.
const LONGEST: Duration = Duration::from_secs(1);

/// Whether something changed, and when to look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quiet {
    first: Option<Instant>,
    due: Option<Instant>,
}

impl Quiet {
    /// Something changed.
    pub(crate) fn touched(&mut self, now: Instant) {
        let first = *self.first.get_or_insert(now);
        self.due = Some((now + QUIET).min(first + LONGEST));
    }

    /// When to look, if there is something to look for.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether to look now; then it starts anew.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            *self = Self::default();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_when_it_is_left_alone_and_at_least_each_second() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut quiet = Quiet::default();
        assert!(!quiet.take(at(0)));
        quiet.touched(at(0));
        quiet.touched(at(90));
        assert_eq!(quiet.due(), Some(at(190)));
        assert!(!quiet.take(at(189)));
        assert!(quiet.take(at(190)) && !quiet.take(at(191)));
        for ms in (200..1300).step_by(50) {
            quiet.touched(at(ms));
        }
        assert_eq!(quiet.due(), Some(at(1200)));
    }
}
