//! What is under way on a blocking thread, and whether it has come to a stand.
//!
//! A thread cannot be stopped. So what is too long under way is told once, and given up once; what the thread computes
//! with stays leased until it is done, and when it is, it is taken back as if nothing had been. Nothing here waits or
//! reads a clock.

use std::time::Duration;

use tokio::time::Instant;

/// How long is long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budgets {
    /// After this it is told.
    pub(crate) budget: Duration,
    /// After this nobody is left waiting for it.
    pub(crate) limit: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Stuck,
    GivenUp,
}

/// What a look finds that was not told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Stuck(Duration),
    GivenUp(Duration),
}

/// A step, or a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Underway {
    /// When it began, or last showed progress.
    since: Instant,
    told: Told,
}

impl Underway {
    pub(crate) fn begin(now: Instant) -> Self {
        Self {
            since: now,
            told: Told::Nothing,
        }
    }

    /// It goes on.
    pub(crate) fn progress(&mut self, now: Instant) {
        *self = Self::begin(now);
    }

    /// What is to be told now, once.
    pub(crate) fn look(&mut self, budgets: Budgets, now: Instant) -> Option<News> {
        let elapsed = self.lasted(now);
        let (told, news) = if elapsed >= budgets.limit {
            (Told::GivenUp, News::GivenUp(elapsed))
        } else if elapsed >= budgets.budget {
            (Told::Stuck, News::Stuck(elapsed))
        } else {
            return None;
        };
        (self.told < told).then(|| {
            self.told = told;
            news
        })
    }

    /// When to look again; `None` once everything was told.
    pub(crate) fn look_at(&self, budgets: Budgets) -> Option<Instant> {
        let after = match self.told {
            Told::Nothing => budgets.budget.min(budgets.limit),
            Told::Stuck => budgets.limit,
            Told::GivenUp => return None,
        };
        self.since.checked_add(after)
    }

    /// How long it has been at a stand, if that was told.
    pub(crate) fn stuck_for(&self, now: Instant) -> Option<Duration> {
        (self.told > Told::Nothing).then(|| self.lasted(now))
    }

    /// Whether nobody is to wait for it.
    pub(crate) fn is_given_up(&self) -> bool {
        self.told == Told::GivenUp
    }

    fn lasted(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGETS: Budgets = Budgets {
        budget: Duration::from_secs(30),
        limit: Duration::from_mins(5),
    };

    #[test]
    fn each_thing_is_told_once_and_progress_begins_anew() {
        let origin = Instant::now();
        let at = |seconds| origin + Duration::from_secs(seconds);
        let secs = Duration::from_secs;
        let mut underway = Underway::begin(origin);
        for (seconds, news, next) in [
            (0, None, Some(30)),
            (29, None, Some(30)),
            (30, Some(News::Stuck(secs(30))), Some(300)),
            (31, None, Some(300)),
            (299, None, Some(300)),
            (301, Some(News::GivenUp(secs(301))), None),
            (900, None, None),
        ] {
            assert_eq!(underway.look(BUDGETS, at(seconds)), news, "{seconds}");
            assert_eq!(underway.look_at(BUDGETS), next.map(at), "{seconds}");
        }
        assert!(underway.is_given_up());
        assert_eq!(underway.stuck_for(at(900)), Some(secs(900)));
        underway.progress(at(900));
        assert_eq!(underway.stuck_for(at(929)), None);
        assert_eq!(underway.look_at(BUDGETS), Some(at(930)));
    }

    #[test]
    fn a_limit_below_the_budget_gives_up_at_the_limit() {
        let budgets = Budgets {
            limit: Duration::from_secs(10),
            ..BUDGETS
        };
        let origin = Instant::now();
        let at = |seconds| origin + Duration::from_secs(seconds);
        let mut underway = Underway::begin(origin);
        assert_eq!(underway.look_at(budgets), Some(at(10)));
        let news = underway.look(budgets, at(10));
        assert_eq!(news, Some(News::GivenUp(Duration::from_secs(10))));
        assert_eq!(underway.look_at(budgets), None);
    }
}
