//! What becomes of those in the book while a step or a load is at a stand.
//!
//! Invariant: nothing of what the thread still uses is taken from it: a sequence that leaves meanwhile leaves an orphan in
//! the engine, and its KV lease stays with the step. Nothing here waits.

use std::time::Duration;

use domain::GenerationError;
use engine::{Engine, PrefixId, SequenceId};
use tokio::time::Instant;

use super::{Live, Pages};
use crate::kv::KvLeases;
use crate::underway::{Budgets, News, Underway};

/// What the engine has of a sequence that left while it was away, with the leases for it.
pub(crate) struct Orphan {
    sequence: Option<SequenceId>,
    /// What it was to take over, and nobody else can.
    prefix: Option<PrefixId>,
    memory: KvLeases,
}

impl Orphan {
    /// The engine is home: the memory goes, then its leases.
    pub(crate) fn bury(self, engine: &mut dyn Engine) {
        if let Some(sequence) = self.sequence {
            engine.close(sequence);
        }
        if let Some(prefix) = self.prefix {
            engine.forget(prefix);
        }
        drop(self.memory);
    }
}

impl Pages {
    /// How long is long now.
    pub(crate) fn budgets(&self) -> Budgets {
        let rules = self.rules.now();
        Budgets {
            budget: rules.step_budget,
            limit: rules.step_limit,
        }
    }

    /// What is under way has come to a stand, or is given up: then everyone hears of it.
    pub(crate) fn look_underway(&mut self, now: Instant) -> Option<News> {
        let budgets = self.budgets();
        let news = self.underway.as_mut()?.look(budgets, now);
        if let Some(News::GivenUp(elapsed)) = news {
            let error = self.stuck(elapsed);
            self.fail_waiting(now, |_| true, &error);
            let mut live = std::mem::take(&mut self.live);
            for live in &mut live {
                self.orphan(live);
            }
            self.live = live;
            self.fail_live(&error, now);
        }
        news
    }

    /// It leaves while the engine is away: what the engine has of it is kept for the way home.
    pub(crate) fn orphan(&mut self, live: &mut Live) {
        let takes_over = live.begins.take().filter(|found| found.takes_over);
        let prefix = takes_over.map(|found| found.from.prefix);
        let sequence = live.open.then_some(SequenceId(live.key));
        if sequence.is_some() || prefix.is_some() {
            self.orphans.push(Orphan {
                sequence,
                prefix,
                memory: std::mem::take(&mut live.kv),
            });
        }
    }

    /// When to look again.
    pub(crate) fn look_at(&self) -> Option<Instant> {
        self.underway?.look_at(self.budgets())
    }

    /// How long it has been at a stand.
    pub(crate) fn stuck_for(&self, now: Instant) -> Option<Duration> {
        self.underway?.stuck_for(now)
    }

    /// Nobody is let in to wait for what was given up.
    pub(super) fn refuse_if_given_up(&self, now: Instant) -> Result<(), GenerationError> {
        match self.underway.filter(Underway::is_given_up) {
            Some(underway) => Err(self.stuck(underway.stuck_for(now).unwrap_or_default())),
            None => Ok(()),
        }
    }

    fn stuck(&self, elapsed: Duration) -> GenerationError {
        GenerationError::EngineStuck {
            model: self.model.clone(),
            seconds: elapsed.as_secs(),
        }
    }
}
